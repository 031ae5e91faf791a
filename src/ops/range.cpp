#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Range {
  static constexpr std::string_view name = "range";
  Dim begin;
  Dim count;
};

struct Size {
  static constexpr std::string_view name = "size";
  Dim dim;
};

std::string scalar_of(LowerContext& context, const Dim& dim) {
  return dim.is_constant() ? context.int64_scalar(dim.constant())
                           : context.emit("Squeeze", {context.shape({dim}), context.int64s({0})});
}

std::vector<TensorType> infer(const Range& op, std::span<const TensorType>) { return {{DataType::Int64, {op.count}}}; }

void lower(const Range& op, LowerContext& context) {
  context.output(context.emit(
      "Range", {scalar_of(context, op.begin), scalar_of(context, op.begin + op.count), context.int64_scalar(1)}));
}

void evaluate(const Range& op, EvaluateContext& context) {
  Array out = context.new_output();
  const std::int64_t begin = context.size(op.begin);
  for (std::int64_t i = 0; i < out.element_count(); ++i) out.mutable_data<std::int64_t>()[i] = begin + i;
  context.output(std::move(out));
}

std::vector<TensorType> infer(const Size&, std::span<const TensorType>) { return {{DataType::Int64, {}}}; }

void lower(const Size& op, LowerContext& context) { context.output(scalar_of(context, op.dim)); }

void evaluate(const Size& op, EvaluateContext& context) {
  const std::int64_t size = context.size(op.dim);
  context.output(Array::int64({}, {&size, 1}));
}

}  // namespace

Tensor range(Graph& graph, Dim begin, Dim count) { return graph.add(Range{std::move(begin), std::move(count)}, {}); }

Tensor size(Graph& graph, Dim dim) { return graph.add(Size{std::move(dim)}, {}); }

}  // namespace onnxport::ops
