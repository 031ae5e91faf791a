#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Where {
  static constexpr std::string_view name = "where";
};

std::vector<TensorType> infer(const Where&, std::span<const TensorType> inputs) {
  if (inputs[0].data_type != DataType::Bool) mismatch("the condition must be bool");
  if (inputs[1].data_type != inputs[2].data_type) mismatch("both values must have one type");
  return {{inputs[1].data_type, broadcast(inputs[0].shape, broadcast(inputs[1].shape, inputs[2].shape))}};
}

void lower(const Where&, LowerContext& context) {
  context.output(context.emit("Where", {context.input(0), context.input(1), context.input(2)}));
}

template <typename T>
void choose(const Array& condition, const Array& a, const Array& b, Array& out) {
  const auto strides = {broadcast_strides(condition.shape(), out.shape()), broadcast_strides(a.shape(), out.shape()),
                        broadcast_strides(b.shape(), out.shape())};
  const std::uint8_t* c = condition.data<std::uint8_t>();
  T* z = out.mutable_data<T>();
  for_each_row(out.shape(), strides, [&](std::int64_t first, std::int64_t count, const auto& offset, const auto& step) {
    for (std::int64_t i = 0; i < count; ++i)
      z[first + i] =
          c[offset[0] + i * step[0]] ? a.data<T>()[offset[1] + i * step[1]] : b.data<T>()[offset[2] + i * step[2]];
  });
}

void evaluate(const Where&, EvaluateContext& context) {
  Array out = context.new_output();
  switch (out.data_type()) {
    case DataType::Float32:
      choose<float>(context.input(0), context.input(1), context.input(2), out);
      break;
    case DataType::Int64:
      choose<std::int64_t>(context.input(0), context.input(1), context.input(2), out);
      break;
    default:
      choose<std::uint8_t>(context.input(0), context.input(1), context.input(2), out);
      break;
  }
  context.output(std::move(out));
}

}  // namespace

Tensor where(Tensor condition, Tensor a, Tensor b) { return a.graph().add(Where{}, {condition, a, b}); }
Tensor where(Tensor condition, Tensor a, double b) {
  return where(condition, a, a.graph().add_scalar(a.data_type(), b));
}
Tensor where(Tensor condition, double a, Tensor b) {
  return where(condition, b.graph().add_scalar(b.data_type(), a), b);
}

}  // namespace onnxport::ops
