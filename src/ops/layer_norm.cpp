#include <cmath>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/add_and_normalize.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct LayerNorm {
  static constexpr std::string_view name = "layer_norm";
  float epsilon;
};

std::vector<TensorType> infer(const LayerNorm&, std::span<const TensorType> inputs) {
  if (inputs[0].shape.empty()) mismatch("a scalar has no axis to normalise");
  for (std::size_t i = 1; i < inputs.size(); ++i)
    if (!(inputs[i].shape == Shape{inputs[0].shape.back()}))
      mismatch("weight and bias must have " + inputs[0].shape.back().to_string() + " elements");
  return {inputs[0]};
}

void lower(const LayerNorm& op, LowerContext& c) {
  if (std::optional<std::string> fused = add_and_normalize(c, "SkipLayerNormalization", op.epsilon))
    return c.output(std::move(*fused));
  const std::string x = c.input(0);
  if (c.target().opset >= 17) {
    std::vector<std::string> inputs{x, c.input(1)};
    if (c.input_count() > 2) inputs.push_back(c.input(2));
    return c.output(
        c.emit("LayerNormalization", std::move(inputs), {{"axis", std::int64_t{-1}}, {"epsilon", op.epsilon}}));
  }
  const auto mean = [&](const std::string& value) {
    return c.emit("ReduceMean", {value}, {{"axes", std::vector<std::int64_t>{-1}}});
  };
  const std::string centered = c.emit("Sub", {x, mean(x)});
  const std::string variance = mean(c.emit("Pow", {centered, c.scalar(2.0F)}));
  const std::string deviation = c.emit("Sqrt", {c.emit("Add", {variance, c.scalar(op.epsilon)})});
  const std::string scaled = c.emit("Mul", {c.emit("Div", {centered, deviation}), c.input(1)});
  c.output(c.input_count() > 2 ? c.emit("Add", {scaled, c.input(2)}) : scaled);
}

void evaluate(const LayerNorm& op, EvaluateContext& context) {
  const Array x = context.input(0);
  const Array weight = context.input(1);
  const Array bias = context.input_count() > 2 ? context.input(2) : Array();
  Array out = context.new_output();
  const std::int64_t size = x.shape().back();
  const std::int64_t rows = size == 0 ? 0 : x.element_count() / size;
  parallel_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* p = x.data<float>() + row * size;
      float* z = out.mutable_data<float>() + row * size;
      double sum = 0;
      for (std::int64_t i = 0; i < size; ++i) sum += p[i];
      const double mean = sum / static_cast<double>(size);
      double squares = 0;
      for (std::int64_t i = 0; i < size; ++i) squares += (p[i] - mean) * (p[i] - mean);
      const double factor = 1.0 / std::sqrt(squares / static_cast<double>(size) + static_cast<double>(op.epsilon));
      for (std::int64_t i = 0; i < size; ++i) {
        const float value = static_cast<float>((p[i] - mean) * factor) * weight.data<float>()[i];
        z[i] = bias.element_count() > 0 ? value + bias.data<float>()[i] : value;
      }
    }
  });
  context.output(std::move(out));
}

}  // namespace

Tensor layer_norm(Tensor x, Tensor weight, std::optional<Tensor> bias, float epsilon) {
  return bias ? x.graph().add(LayerNorm{epsilon}, {x, weight, *bias}) : x.graph().add(LayerNorm{epsilon}, {x, weight});
}

}  // namespace onnxport::ops
