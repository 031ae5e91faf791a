#include "quantization/smooth_quant.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor_source.h"
#include "onnx/graph_editor.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "quantization/augmented_model.h"
#include "quantization/weight_only/divided_inputs.h"

namespace onnxport::quantization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

constexpr float kSmallest = 1e-5F;
/// Elements of a weight that are scaled at once.
constexpr std::int64_t kRun = 65536;

/// A node that multiplies a value with a constant matrix.
struct Product {
  NodeId node;
  std::string weight;
  bool is_rows;  ///< [N, K] instead of [K, N]
};

/// A value with all nodes that are to multiply it.
struct Layer {
  std::string value;
  std::int64_t size = 0;
  std::vector<Product> products;
};

std::vector<Layer> find_layers(const GraphEditor& editor, const std::function<bool(const Node&)>& is_chosen) {
  std::map<std::string, std::size_t> known;
  std::vector<Layer> layers;
  for (const NodeId id : editor.nodes()) {
    const Node& node = editor.node(id);
    const bool is_gemm = node.op_type == "Gemm";
    if ((!is_gemm && node.op_type != "MatMul") || !node.domain.empty() || !is_chosen(node)) continue;
    if (is_gemm && onnx::integer_attribute(node, "transA", 0) != 0) continue;
    const onnx::Initializer* weight = editor.initializer(node.inputs[1]);
    if (weight == nullptr || weight->source.data_type != DataType::Float32 || weight->source.shape.size() != 2 ||
        editor.initializer(node.inputs[0]) != nullptr)
      continue;
    const bool is_rows = is_gemm && onnx::integer_attribute(node, "transB", 0) != 0;
    const std::int64_t size = weight->source.shape[is_rows ? 1 : 0];
    const auto [found, is_new] = known.try_emplace(node.inputs[0], layers.size());
    if (is_new) layers.push_back({node.inputs[0], size, {}});
    if (layers[found->second].size == size) layers[found->second].products.push_back({id, node.inputs[1], is_rows});
  }
  return layers;
}

void raise(std::vector<float>& maxima, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    float& maximum = maxima[i % maxima.size()];
    // In this order a NaN stays.
    if (!(std::fabs(values[i]) <= maximum)) maximum = std::fabs(values[i]);
  }
}

/// max|x| of each channel of each layer's value.
std::vector<std::vector<float>> observe(const onnx::Model& model, const std::filesystem::path& file,
                                        const std::vector<Layer>& layers, const CalibrationDataOptions& data,
                                        const std::function<void(std::uint64_t)>& progress) {
  std::vector<std::string> values;
  std::vector<std::vector<float>> maxima;
  for (const Layer& layer : layers) {
    values.push_back(layer.value);
    maxima.emplace_back(static_cast<std::size_t>(layer.size));
  }
  CalibrationData samples(data, model_inputs(model.graph));
  const AugmentedModel augmented(model, values, AugmentedModel::Kind::Values, file);
  std::vector<std::string> outputs;
  for (const std::string& value : values) outputs.push_back(augmented.output_of(value));
  for (std::uint64_t done = 0; const std::optional<NamedArrays> inputs = samples.next();) {
    const std::vector<Array> results = augmented.session().run(*inputs, outputs);
    for (std::size_t i = 0; i < layers.size(); ++i) raise(maxima[i], results[i].values<float>());
    if (progress) progress(++done);
  }
  for (std::size_t i = 0; i < layers.size(); ++i)
    for (const float maximum : maxima[i])
      if (!std::isfinite(maximum))
        throw Error(ErrorKind::InvalidModel, file.string() + ": " + quote_json(layers[i].value) +
                                                 " holds infinities or NaN for the calibration data");
  return maxima;
}

/// max|w| of each of the K channels.
void raise_by_weight(std::vector<float>& maxima, const TensorSource& weight, bool is_rows) {
  const std::int64_t columns = weight.shape[1];
  const std::int64_t rows_at_once = std::max<std::int64_t>(kRun / columns, 1);
  std::vector<float> values(static_cast<std::size_t>(rows_at_once * columns));
  for (std::int64_t row = 0; row < weight.shape[0]; row += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, weight.shape[0] - row);
    const auto run = std::span(values).first(static_cast<std::size_t>(rows * columns));
    read_elements(weight, row * columns, std::as_writable_bytes(run));
    if (is_rows) {
      raise(maxima, run);
      continue;
    }
    for (std::int64_t i = 0; i < rows; ++i)
      for (const float value : run.subspan(static_cast<std::size_t>(i * columns), static_cast<std::size_t>(columns)))
        maxima[static_cast<std::size_t>(row + i)] =
            std::max(maxima[static_cast<std::size_t>(row + i)], std::fabs(value));
  }
}

/// Weights times the factor of their channel, computed while they are read.
TensorSource scaled(TensorSource weight, std::vector<float> factors, bool is_rows) {
  TensorSource result;
  result.data_type = DataType::Float32;
  result.shape = weight.shape;
  result.compute = [weight = std::move(weight), factors = std::move(factors), is_rows](std::int64_t first,
                                                                                       std::span<std::byte> out) {
    read_elements(weight, first, out);
    const std::int64_t columns = weight.shape[1];
    auto* values = reinterpret_cast<float*>(out.data());
    const auto count = static_cast<std::int64_t>(out.size() / sizeof(float));
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = first + i;
      values[i] *= factors[static_cast<std::size_t>(is_rows ? at % columns : at / columns)];
    }
  };
  return result;
}

std::vector<float> smooth_scales(const GraphEditor& editor, const Layer& layer, const std::vector<float>& activations,
                                 double alpha) {
  std::vector<float> weights(static_cast<std::size_t>(layer.size));
  for (const Product& product : layer.products)
    raise_by_weight(weights, editor.initializer(product.weight)->source, product.is_rows);
  std::vector<float> scales;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const float activation = std::pow(activations[k], static_cast<float>(alpha));
    const float weight = std::pow(std::max(weights[k], kSmallest), static_cast<float>(1 - alpha));
    scales.push_back(std::max(activation / weight, kSmallest));
  }
  return scales;
}

}  // namespace

std::vector<std::string> smooth(onnx::Model& model, const std::filesystem::path& file, const SmoothQuantConfig& config,
                                const CalibrationDataOptions& data, const std::function<bool(const Node&)>& is_chosen,
                                const std::function<void(std::uint64_t)>& progress) {
  const onnx::Model original = model;
  GraphEditor editor(model.graph);
  const std::vector<Layer> layers = find_layers(editor, is_chosen);
  std::vector<DividedInputs> divided;
  if (!layers.empty()) {
    const std::vector<std::vector<float>> maxima = observe(original, file, layers, data, progress);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::vector<float> scales = smooth_scales(editor, layers[i], maxima[i], config.alpha);
      std::map<std::pair<std::string, bool>, std::string> names;
      DividedInputs inputs{.values = {layers[i].value}, .weights = {}, .divisors = scales};
      for (const Product& product : layers[i].products) {
        // A weight that others use as well stays for them.
        std::string& name = names[{product.weight, product.is_rows}];
        if (name.empty()) {
          name = editor.add_initializer(product.weight + "_smooth",
                                        scaled(editor.initializer(product.weight)->source, scales, product.is_rows));
          inputs.weights.push_back(name);
        }
        editor.set_input(product.node, 1, name);
      }
      divided.push_back(std::move(inputs));
    }
  }
  editor.finish();
  return divide_inputs(model, divided, config.folding);
}

}  // namespace onnxport::quantization
