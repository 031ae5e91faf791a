#include <cmath>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Cast {
  static constexpr std::string_view name = "cast";
  DataType type;
};

std::vector<TensorType> infer(const Cast& op, std::span<const TensorType> inputs) {
  return {{op.type, inputs[0].shape}};
}

void lower(const Cast& op, LowerContext& context) { context.output(context.cast(context.input(0), op.type)); }

template <typename From>
void convert(std::span<const From> from, Array& out) {
  switch (out.data_type()) {
    case DataType::Float32:
      return map_elements(from, out.mutable_data<float>(), [](From v) { return static_cast<float>(v); });
    case DataType::Int64:
      return map_elements(from, out.mutable_data<std::int64_t>(), [](From v) { return static_cast<std::int64_t>(v); });
    default:
      return map_elements(from, out.mutable_data<std::uint8_t>(),
                          [](From v) { return static_cast<std::uint8_t>(v != From{}); });
  }
}

void evaluate(const Cast&, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  switch (x.data_type()) {
    case DataType::Float32:
      convert(x.values<float>(), out);
      break;
    case DataType::Int64:
      convert(x.values<std::int64_t>(), out);
      break;
    case DataType::Bool:
      convert(x.values<std::uint8_t>(), out);
      break;
    default:
      mismatch("cast from " + std::string(to_string(x.data_type())));
  }
  context.output(std::move(out));
}

}  // namespace

Tensor cast(Tensor a, DataType type) { return a.data_type() == type ? a : a.graph().add(Cast{type}, {a}); }

}  // namespace onnxport::ops
