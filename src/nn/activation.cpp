// transformers' ACT2FN (activations.py).
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <vector>

#include "core/nearest.h"
#include "nn/layers.h"
#include "onnxport/error.h"

namespace onnxport::nn {
namespace {

Tensor gelu(Tensor x) { return ops::gelu(x); }
Tensor gelu_tanh(Tensor x) { return ops::gelu(x, ops::GeluApproximation::Tanh); }
Tensor silu(Tensor x) { return x * ops::sigmoid(x); }
Tensor relu_squared(Tensor x) {
  const Tensor positive = ops::relu(x);
  return positive * positive;
}

const std::map<std::string, std::function<Tensor(Tensor)>, std::less<>>& activations() {
  static const std::map<std::string, std::function<Tensor(Tensor)>, std::less<>> table{
      {"gelu", gelu},
      {"gelu_python", gelu},
      {"gelu_10", [](Tensor x) { return ops::maximum(ops::minimum(ops::gelu(x), 10.0), -10.0); }},
      {"gelu_new", gelu_tanh},
      {"gelu_fast", gelu_tanh},
      {"gelu_accurate", gelu_tanh},
      {"gelu_pytorch_tanh", gelu_tanh},
      {"gelu_python_tanh", gelu_tanh},
      {"quick_gelu", [](Tensor x) { return x * ops::sigmoid(x * 1.702); }},
      {"laplace",
       [](Tensor x) {
         return (ops::erf((x - std::numbers::sqrt2 / 2.0) / (0.282095 * std::numbers::sqrt2)) + 1.0) * 0.5;
       }},
      {"leaky_relu", [](Tensor x) { return ops::maximum(x, 0.0) + ops::minimum(x, 0.0) * 0.01; }},
      {"linear", [](Tensor x) { return x; }},
      {"mish", [](Tensor x) { return x * ops::tanh(ops::softplus(x)); }},
      {"relu", ops::relu},
      {"relu2", relu_squared},
      {"relu6", [](Tensor x) { return ops::minimum(ops::relu(x), 6.0); }},
      {"sigmoid", ops::sigmoid},
      {"silu", silu},
      {"swish", silu},
      {"tanh", ops::tanh},
  };
  return table;
}

}  // namespace

Tensor activation(std::string_view name, Tensor x) {
  const auto found = activations().find(name);
  if (found == activations().end()) {
    std::vector<std::string> names;
    for (const auto& [known, function] : activations()) names.push_back(known);
    throw Error(
        ErrorKind::UnsupportedArchitecture,
        "the activation \"" + std::string(name) + "\" of config.json is not supported" + describe_nearest(name, names));
  }
  return found->second(x);
}

}  // namespace onnxport::nn
