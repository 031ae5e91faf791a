#include <cstring>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Concat {
  static constexpr std::string_view name = "concat";
  int axis;
};

std::vector<TensorType> infer(const Concat& op, std::span<const TensorType> inputs) {
  TensorType type = inputs[0];
  const std::size_t axis = static_cast<std::size_t>(op.axis);
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    if (inputs[i].data_type != type.data_type || inputs[i].shape.size() != type.shape.size())
      mismatch("parts differ in type or rank");
    for (std::size_t k = 0; k < type.shape.size(); ++k)
      if (k != axis && !(inputs[i].shape[k] == type.shape[k])) mismatch("parts differ beside the axis");
    type.shape[axis] = type.shape[axis] + inputs[i].shape[axis];
  }
  return {type};
}

void lower(const Concat& op, LowerContext& context) {
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < context.input_count(); ++i) inputs.push_back(context.input(i));
  context.output(context.emit("Concat", std::move(inputs), {{"axis", std::int64_t{op.axis}}}));
}

void evaluate(const Concat& op, EvaluateContext& context) {
  Array out = context.new_output();
  const AxisView whole = view_axis(out.shape(), op.axis);
  const std::size_t element = size_of(out.data_type());
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < context.input_count(); ++i) {
    const Array part = context.input(i);
    const AxisView view = view_axis(part.shape(), op.axis);
    const std::size_t block = static_cast<std::size_t>(view.size * view.inner) * element;
    if (block > 0)
      for (std::int64_t k = 0; k < view.outer; ++k)
        std::memcpy(
            out.mutable_data<std::byte>() + static_cast<std::size_t>((k * whole.size + begin) * whole.inner) * element,
            part.data<std::byte>() + static_cast<std::size_t>(k) * block, block);
    begin += view.size;
  }
  context.output(std::move(out));
}

}  // namespace

Tensor concat(std::vector<Tensor> parts, int axis) {
  const Tensor first = parts.at(0);
  return first.graph().add(Concat{normalize_axis(axis, first.rank())}, parts);
}

}  // namespace onnxport::ops
