#include <cmath>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/add_and_normalize.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct RmsNorm {
  static constexpr std::string_view name = "rms_norm";
  float epsilon;
};

std::vector<TensorType> infer(const RmsNorm&, std::span<const TensorType> inputs) {
  if (inputs[0].shape.empty() || !(inputs[1].shape == Shape{inputs[0].shape.back()}))
    mismatch("the weight must have as many elements as the last axis");
  return {inputs[0]};
}

void lower(const RmsNorm& op, LowerContext& c) {
  if (std::optional<std::string> fused = add_and_normalize(c, "SkipSimplifiedLayerNormalization", op.epsilon))
    return c.output(std::move(*fused));
  const std::string x = c.input(0);
  if (c.target().contrib_operators)  // ONNX Runtime's, although it lies in the domain of ONNX
    return c.output(c.emit("SimplifiedLayerNormalization", {x, c.input(1)},
                           {{"axis", std::int64_t{-1}}, {"epsilon", op.epsilon}, {"stash_type", std::int64_t{1}}}));
  if (c.target().opset >= 23)
    return c.output(c.emit("RMSNormalization", {x, c.input(1)}, {{"axis", std::int64_t{-1}}, {"epsilon", op.epsilon}}));
  // The mean of squares leaves the range of float16, so it is computed in float32 whatever the target's type.
  const bool narrow = c.target().data_type != DataType::Float32;
  const auto to = [&](const std::string& value, DataType type) {
    return c.emit("Cast", {value}, {{"to", std::int64_t{onnx_data_type(type)}}});
  };
  const auto number = [&](float value) { return c.constant(Array::float32({}, {&value, 1}), true); };
  const std::string wide = narrow ? to(x, DataType::Float32) : x;
  const std::string squares = c.emit("Pow", {wide, number(2.0F)});
  const std::string mean = c.target().opset >= 18
                               ? c.emit("ReduceMean", {squares, c.int64s({-1})})
                               : c.emit("ReduceMean", {squares}, {{"axes", std::vector<std::int64_t>{-1}}});
  const std::string deviation = c.emit("Sqrt", {c.emit("Add", {mean, number(op.epsilon)})});
  const std::string normal = c.emit("Div", {wide, deviation});
  c.output(c.emit("Mul", {narrow ? to(normal, c.target().data_type) : normal, c.input(1)}));
}

void evaluate(const RmsNorm& op, EvaluateContext& context) {
  const Array x = context.input(0);
  const Array weight = context.input(1);
  Array out = context.new_output();
  const std::int64_t size = x.shape().back();
  const std::int64_t rows = size == 0 ? 0 : x.element_count() / size;
  parallel_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* p = x.data<float>() + row * size;
      double squares = 0;
      for (std::int64_t i = 0; i < size; ++i) squares += static_cast<double>(p[i]) * static_cast<double>(p[i]);
      const double factor = 1.0 / std::sqrt(squares / static_cast<double>(size) + static_cast<double>(op.epsilon));
      for (std::int64_t i = 0; i < size; ++i)
        out.mutable_data<float>()[row * size + i] = static_cast<float>(p[i] * factor) * weight.data<float>()[i];
    }
  });
  context.output(std::move(out));
}

}  // namespace

Tensor rms_norm(Tensor x, Tensor weight, float epsilon) { return x.graph().add(RmsNorm{epsilon}, {x, weight}); }

}  // namespace onnxport::ops
