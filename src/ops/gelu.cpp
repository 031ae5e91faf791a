#include <cmath>
#include <numbers>

#include "graph/evaluate_context.h"
#include "graph/lower_context.h"
#include "ops/kernels.h"
#include "ops/ops.h"

namespace onnxport::ops {
namespace {

struct Gelu {
  static constexpr std::string_view name = "gelu";
  GeluApproximation approximation;
};

std::vector<TensorType> infer(const Gelu&, std::span<const TensorType> inputs) { return {inputs[0]}; }

void lower(const Gelu& op, LowerContext& c) {
  const std::string x = c.input(0);
  const bool tanh = op.approximation == GeluApproximation::Tanh || c.target().gelu_approximation;
  if (c.target().contrib_operators) return c.output(c.emit(tanh ? "FastGelu" : "Gelu", {x}, {}, contrib_domain));
  if (c.target().opset >= 20)
    return c.output(c.emit("Gelu", {x}, {{"approximate", std::string(tanh ? "tanh" : "none")}}));
  if (tanh) {
    // The order of operations is the one that ONNX Runtime recognises as FastGelu.
    const std::string cubed = c.emit("Pow", {x, c.scalar(3.0F)});
    const std::string sum = c.emit("Add", {x, c.emit("Mul", {cubed, c.scalar(0.044715F)})});
    const std::string inner = c.emit("Mul", {sum, c.scalar(std::sqrt(2.0F / std::numbers::pi_v<float>))});
    const std::string factor = c.emit("Add", {c.emit("Tanh", {inner}), c.scalar(1.0F)});
    return c.output(c.emit("Mul", {c.emit("Mul", {x, c.scalar(0.5F)}), factor}));
  }
  // Likewise Gelu.
  const std::string erf = c.emit("Erf", {c.emit("Div", {x, c.scalar(std::numbers::sqrt2_v<float>)})});
  c.output(c.emit("Mul", {c.emit("Mul", {x, c.emit("Add", {erf, c.scalar(1.0F)})}), c.scalar(0.5F)}));
}

void evaluate(const Gelu& op, EvaluateContext& context) {
  const Array x = context.input(0);
  Array out = context.new_output();
  if (op.approximation == GeluApproximation::Tanh) {
    const float factor = std::sqrt(2.0F / std::numbers::pi_v<float>);
    map_elements(x.values<float>(), out.mutable_data<float>(),
                 [=](float v) { return 0.5F * v * (1.0F + std::tanh(factor * (v + 0.044715F * v * v * v))); });
  } else {
    map_elements(x.values<float>(), out.mutable_data<float>(),
                 [](float v) { return 0.5F * v * (1.0F + std::erf(v / std::numbers::sqrt2_v<float>)); });
  }
  context.output(std::move(out));
}

}  // namespace

Tensor gelu(Tensor a, GeluApproximation approximation) { return a.graph().add(Gelu{approximation}, {a}); }

}  // namespace onnxport::ops
