#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct CumulativeSum {
  static constexpr std::string_view name = "cumulative_sum";
  int axis;
};

std::vector<TensorType> infer(const CumulativeSum&, std::span<const TensorType> inputs) { return {inputs[0]}; }

void lower(const CumulativeSum& op, LowerContext& context) {
  context.output(context.emit("CumSum", {context.input(0), context.int64_scalar(op.axis)}));
}

template <typename T>
void accumulate(const Array& x, int axis, Array& out) {
  const AxisView view = view_axis(x.shape(), axis);
  for (std::int64_t i = 0; i < view.outer; ++i)
    for (std::int64_t j = 0; j < view.inner; ++j) {
      T sum{};
      for (std::int64_t k = 0; k < view.size; ++k) {
        const std::int64_t position = (i * view.size + k) * view.inner + j;
        out.mutable_data<T>()[position] = sum = static_cast<T>(sum + x.data<T>()[position]);
      }
    }
}

void evaluate(const CumulativeSum& op, EvaluateContext& context) {
  Array out = context.new_output();
  switch (out.data_type()) {
    case DataType::Float32:
      accumulate<float>(context.input(0), op.axis, out);
      break;
    case DataType::Int64:
      accumulate<std::int64_t>(context.input(0), op.axis, out);
      break;
    default:
      mismatch("cumulative sums take float or int64");
  }
  context.output(std::move(out));
}

}  // namespace

Tensor cumulative_sum(Tensor a, int axis) { return a.graph().add(CumulativeSum{normalize_axis(axis, a.rank())}, {a}); }

}  // namespace onnxport::ops
