#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Expand {
  static constexpr std::string_view name = "expand";
  Shape shape;
};

std::vector<TensorType> infer(const Expand& op, std::span<const TensorType> inputs) {
  if (!(broadcast(inputs[0].shape, op.shape) == op.shape))
    mismatch("cannot expand " + to_string(inputs[0].shape) + " to " + to_string(op.shape));
  return {{inputs[0].data_type, op.shape}};
}

void lower(const Expand& op, LowerContext& context) {
  context.output(context.emit("Expand", {context.input(0), context.shape(op.shape)}));
}

template <typename T>
void repeat(const Array& x, Array& out) {
  T* z = out.mutable_data<T>();
  const T* data = x.data<T>();
  for_each_row(out.shape(), {broadcast_strides(x.shape(), out.shape())},
               [&](std::int64_t first, std::int64_t count, const auto& offset, const auto& step) {
                 for (std::int64_t i = 0; i < count; ++i) z[first + i] = data[offset[0] + i * step[0]];
               });
}

void evaluate(const Expand&, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  switch (size_of(x.data_type())) {
    case 8:
      repeat<std::int64_t>(x, out);
      break;
    case 4:
      repeat<float>(x, out);
      break;
    default:
      repeat<std::uint8_t>(x, out);
      break;
  }
  context.output(std::move(out));
}

}  // namespace

Tensor expand(Tensor a, Shape shape) {
  if (a.shape() == shape) return a;
  return a.graph().add(Expand{std::move(shape)}, {a});
}

}  // namespace onnxport::ops
