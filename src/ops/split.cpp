#include <cstring>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Split {
  static constexpr std::string_view name = "split";
  int axis;
  std::vector<std::int64_t> sizes;
};

std::vector<TensorType> infer(const Split& op, std::span<const TensorType> inputs) {
  std::vector<TensorType> parts;
  std::int64_t sum = 0;
  for (std::int64_t size : op.sizes) {
    parts.push_back(inputs[0]);
    parts.back().shape[static_cast<std::size_t>(op.axis)] = size;
    sum += size;
  }
  if (!(inputs[0].shape[static_cast<std::size_t>(op.axis)] == Dim(sum)))
    mismatch("parts of " + std::to_string(sum) + " in all do not cover axis " + std::to_string(op.axis));
  return parts;
}

void lower(const Split& op, LowerContext& context) {
  const std::vector<std::string> inputs{context.input(0), context.int64s(op.sizes)};
  const std::vector<std::string> parts =
      context.emit_outputs("Split", inputs, {{"axis", std::int64_t{op.axis}}}, op.sizes.size());
  for (std::size_t i = 0; i < parts.size(); ++i) context.output(i, parts[i]);
}

void evaluate(const Split& op, EvaluateContext& context) {
  const Array whole = context.input(0);
  const AxisView view = view_axis(whole.shape(), op.axis);
  const std::size_t element = size_of(whole.data_type());
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < op.sizes.size(); ++i) {
    Array part = context.new_output(i);
    const std::size_t block = static_cast<std::size_t>(op.sizes[i] * view.inner) * element;
    if (block > 0)
      for (std::int64_t k = 0; k < view.outer; ++k)
        std::memcpy(part.mutable_data<std::byte>() + static_cast<std::size_t>(k) * block,
                    whole.data<std::byte>() + static_cast<std::size_t>((k * view.size + begin) * view.inner) * element,
                    block);
    begin += op.sizes[i];
    context.output(i, std::move(part));
  }
}

}  // namespace

std::vector<Tensor> split(Tensor a, int axis, std::vector<std::int64_t> sizes) {
  return a.graph().add_node(Split{normalize_axis(axis, a.rank()), std::move(sizes)}, std::vector{a});
}

std::vector<Tensor> split(Tensor a, int axis, int parts) {
  const Dim& dim = a.dim(axis);
  if (!dim.is_constant() || dim.constant() % parts != 0)
    mismatch(std::to_string(parts) + " equal parts of axis " + std::to_string(axis) + " of " + to_string(a.shape()));
  return split(a, axis, std::vector<std::int64_t>(static_cast<std::size_t>(parts), dim.constant() / parts));
}

}  // namespace onnxport::ops
