#include <algorithm>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct AssumeShape {
  static constexpr std::string_view name = "assume_shape";
  Shape shape;
};

std::vector<TensorType> infer(const AssumeShape& op, std::span<const TensorType> inputs) {
  if (inputs[0].shape.size() != op.shape.size())
    mismatch(to_string(inputs[0].shape) + " cannot have the shape " + to_string(op.shape));
  for (std::size_t i = 0; i < op.shape.size(); ++i)
    if (inputs[0].shape[i].is_constant() && op.shape[i].is_constant() && !(inputs[0].shape[i] == op.shape[i]))
      mismatch("the input has the shape " + to_string(inputs[0].shape) + ", the model takes " + to_string(op.shape));
  return {{inputs[0].data_type, op.shape}};
}

void lower(const AssumeShape&, LowerContext& context) { context.output(context.input(0)); }

void evaluate(const AssumeShape& op, EvaluateContext& context) {
  Array x = context.input(0);
  if (x.shape() != context.sizes(op.shape))
    mismatch("the input has the shape " + shape_to_string(x.shape()) + ", the model takes " + to_string(op.shape));
  context.output(std::move(x));
}

}  // namespace

Tensor assume_shape(Tensor a, Shape shape) {
  if (a.shape() == shape) return a;
  for (std::size_t i = 0; i < std::min(shape.size(), a.shape().size()); ++i)
    if (const Dim& dim = a.shape()[i]; dim.is_symbol() && shape[i].is_constant())
      a.graph().assume(dim.to_string(), shape[i].constant());
  return a.graph().add(AssumeShape{std::move(shape)}, {a});
}

}  // namespace onnxport::ops
