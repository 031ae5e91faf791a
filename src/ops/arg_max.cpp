#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct ArgMax {
  static constexpr std::string_view name = "arg_max";
  int axis;
};

std::vector<TensorType> infer(const ArgMax& op, std::span<const TensorType> inputs) {
  Shape shape = inputs[0].shape;
  shape.erase(shape.begin() + op.axis);
  return {{DataType::Int64, std::move(shape)}};
}

void lower(const ArgMax& op, LowerContext& context) {
  context.output(
      context.emit("ArgMax", {context.input(0)}, {{"axis", std::int64_t{op.axis}}, {"keepdims", std::int64_t{0}}}));
}

template <typename T>
void find_maximum(const Array& x, int axis, Array& out) {
  const AxisView view = view_axis(x.shape(), axis);
  for (std::int64_t i = 0; i < view.outer; ++i)
    for (std::int64_t j = 0; j < view.inner; ++j) {
      const T* p = x.data<T>() + i * view.size * view.inner + j;
      std::int64_t best = 0;
      for (std::int64_t k = 1; k < view.size; ++k)
        if (p[k * view.inner] > p[best * view.inner]) best = k;
      out.mutable_data<std::int64_t>()[i * view.inner + j] = best;
    }
}

void evaluate(const ArgMax& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  switch (x.data_type()) {
    case DataType::Float32:
      find_maximum<float>(x, op.axis, out);
      break;
    case DataType::Int64:
      find_maximum<std::int64_t>(x, op.axis, out);
      break;
    default:
      mismatch("maxima take float or int64");
  }
  context.output(std::move(out));
}

}  // namespace

Tensor arg_max(Tensor a, int axis) { return a.graph().add(ArgMax{normalize_axis(axis, a.rank())}, {a}); }

}  // namespace onnxport::ops
