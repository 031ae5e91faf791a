#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Reshape {
  static constexpr std::string_view name = "reshape";
  Shape shape;
};

std::vector<TensorType> infer(const Reshape& op, std::span<const TensorType> inputs) {
  if (!(element_count(inputs[0].shape) == element_count(op.shape)))
    mismatch("cannot reshape " + to_string(inputs[0].shape) + " to " + to_string(op.shape));
  return {{inputs[0].data_type, op.shape}};
}

void lower(const Reshape& op, LowerContext& context) {
  context.output(context.reshape(context.input(0), context.input_type(0).shape, op.shape));
}

void evaluate(const Reshape& op, EvaluateContext& context) {
  context.output(context.input(0).reshaped(context.sizes(op.shape)));
}

}  // namespace

Tensor reshape(Tensor a, Shape shape) {
  if (a.shape() == shape) return a;
  return a.graph().add(Reshape{std::move(shape)}, {a});
}

Tensor unsqueeze(Tensor a, int axis) {
  Shape shape = a.shape();
  shape.insert(shape.begin() + normalize_axis(axis, a.rank() + 1), Dim(1));
  return reshape(a, std::move(shape));
}

Tensor squeeze(Tensor a, int axis) {
  Shape shape = a.shape();
  const int index = normalize_axis(axis, a.rank());
  if (!(shape[static_cast<std::size_t>(index)] == Dim(1)))
    mismatch("axis " + std::to_string(axis) + " of " + to_string(shape) + " is not 1");
  shape.erase(shape.begin() + index);
  return reshape(a, std::move(shape));
}

}  // namespace onnxport::ops
