#include "quantization/static_parameters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::quantization {

using onnx::Graph;
using onnx::Node;

std::unordered_map<std::string, int> count_uses(const Graph& graph) {
  std::unordered_map<std::string, int> uses;
  onnx::for_each_graph(graph, [&](const Graph& each) {
    for (const Node& node : each.nodes)
      for (const std::string& input : node.inputs) ++uses[input];
  });
  return uses;
}

void adjust_ranges(const Graph& graph, const NodeSelection& selection, ActivationRanges& ranges) {
  std::unordered_map<std::string, int> uses = count_uses(graph);
  const auto adjust = [&](const Node& node) {
    if (!selection.contains(node)) return;
    if (node.op_type == "Clip" || node.op_type == "Relu") {
      const auto input = ranges.find(node.inputs[0]);
      const auto output = ranges.find(node.outputs[0]);
      if (uses[node.inputs[0]] == 1 && input != ranges.end() && output != ranges.end()) input->second = output->second;
    } else if (node.op_type == "Softmax") {
      ranges.insert_or_assign(node.outputs[0], ValueRange{0, 1});
    }
  };
  onnx::for_each_graph(graph, [&](const Graph& each) { std::for_each(each.nodes.begin(), each.nodes.end(), adjust); });
}

std::optional<AffineParameters> activation_affine(const ActivationRanges& ranges, const QuantizationConfig& config,
                                                  std::string_view value) {
  const auto range = ranges.find(value);
  if (range == ranges.end()) return std::nullopt;
  if (!std::isfinite(range->second.minimum) || !std::isfinite(range->second.maximum)) {
    throw Error(ErrorKind::InvalidArgument, "the value " + quote_json(value) +
                                                " is infinite in the calibration data, which no integer can tell: "
                                                "exclude the nodes that make and read it");
  }
  const DataType type = config.activations_dtype == QuantType::QInt8 ? DataType::Int8 : DataType::UInt8;
  return affine_parameters(range->second, {.type = type, .symmetric = config.activations_symmetric});
}

bool raise_weight_scales(std::vector<AffineParameters>& weight, bool per_channel, float input_scale,
                         std::span<const float> bias) {
  if (std::any_of(weight.begin(), weight.end(), [](const auto& parameters) { return parameters.zero_point != 0; }))
    return false;
  if (per_channel && bias.size() != weight.size()) return false;
  float largest = 0;
  for (const float element : bias) largest = std::max(largest, std::fabs(element));
  constexpr double integers = 2.0 * std::numeric_limits<std::int32_t>::max();
  bool is_raised = false;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    // numpy computes the product of one channel in float32, and that of a whole tensor in float64.
    const double doubled = per_channel ? static_cast<double>(1.0001F * (2.0F * std::fabs(bias[i])))
                                       : 1.0001 * (2.0 * static_cast<double>(largest));
    const double smallest = doubled / integers;
    const double scale = static_cast<double>(input_scale) * static_cast<double>(weight[i].scale);
    if (scale >= smallest || scale <= 0) continue;
    weight[i].scale = static_cast<float>(static_cast<double>(weight[i].scale) * (smallest / scale));
    is_raised = true;
  }
  return is_raised;
}

std::optional<QuantizedBias> quantize_bias(const Array& bias, float input_scale,
                                           const std::vector<AffineParameters>& weight, float beta) {
  const bool is_zero = beta == 0;
  std::vector<float> scales;
  for (const AffineParameters& parameters : weight)
    scales.push_back(input_scale * parameters.scale * (is_zero ? 1 : beta));
  if (std::any_of(scales.begin(), scales.end(), [](float scale) { return scale == 0; })) return std::nullopt;
  const bool per_channel = scales.size() > 1;
  constexpr std::numeric_limits<std::int32_t> limits;
  std::vector<std::int32_t> integers;
  for (std::int64_t i = 0; i < bias.element_count(); ++i) {
    const float scale = scales[per_channel ? static_cast<std::size_t>(i) % scales.size() : 0];
    const double real = is_zero ? 0 : static_cast<double>(bias.data<float>()[i]);
    const double rounded = std::nearbyint(real / static_cast<double>(scale));
    integers.push_back(static_cast<std::int32_t>(
        std::clamp(rounded, static_cast<double>(limits.min()), static_cast<double>(limits.max()))));
  }
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(scales.size())};
  const std::vector<std::int32_t> zeros(scales.size());
  return QuantizedBias{.values = from_array(Array::of<std::int32_t>(DataType::Int32, bias.shape(), integers)),
                       .scale = from_array(Array::float32(shape, scales)),
                       .zero_point = from_array(Array::of<std::int32_t>(
                           DataType::Int32, per_channel ? shape : std::vector<std::int64_t>{}, zeros))};
}

}  // namespace onnxport::quantization
