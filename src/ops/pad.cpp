#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Pad {
  static constexpr std::string_view name = "pad";
  int axis;
  Dim before;
  Dim after;
  double value;
};

std::vector<TensorType> infer(const Pad& op, std::span<const TensorType> inputs) {
  TensorType type = inputs[0];
  Dim& dim = type.shape[static_cast<std::size_t>(op.axis)];
  dim = op.before + dim + op.after;
  return {type};
}

void lower(const Pad& op, LowerContext& context) {
  // The opsets before 18 have no axes: zeros for the others.
  const std::size_t rank = context.input_type(0).shape.size();
  Shape pads(2 * rank, Dim(0));
  pads[static_cast<std::size_t>(op.axis)] = op.before;
  pads[rank + static_cast<std::size_t>(op.axis)] = op.after;
  const std::string value = context.input_type(0).data_type == DataType::Float32
                                ? context.scalar(static_cast<float>(op.value))
                                : context.int64_scalar(static_cast<std::int64_t>(op.value));
  context.output(context.emit("Pad", {context.input(0), context.shape(pads), value}));
}

template <typename T>
void copy_padded(const Array& x, const Pad& op, std::int64_t before, Array& out) {
  T* z = out.mutable_data<T>();
  const AxisView to = view_axis(out.shape(), op.axis);
  const AxisView from = view_axis(x.shape(), op.axis);
  std::fill_n(z, out.element_count(), static_cast<T>(op.value));
  for (std::int64_t i = 0; i < from.outer; ++i)
    std::copy_n(x.data<T>() + i * from.size * from.inner, from.size * from.inner,
                z + (i * to.size + before) * to.inner);
}

void evaluate(const Pad& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  const std::int64_t before = context.size(op.before);
  switch (x.data_type()) {
    case DataType::Float32:
      copy_padded<float>(x, op, before, out);
      break;
    case DataType::Int64:
      copy_padded<std::int64_t>(x, op, before, out);
      break;
    default:
      mismatch("padding takes float or int64");
  }
  context.output(std::move(out));
}

}  // namespace

Tensor pad(Tensor a, int axis, Dim before, Dim after, double value) {
  return a.graph().add(Pad{normalize_axis(axis, a.rank()), std::move(before), std::move(after), value}, {a});
}

}  // namespace onnxport::ops
