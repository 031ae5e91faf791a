// Operators that dynamic quantization and the QOperator format have in common: CommonOpsRegistry of
// onnxruntime/quantization/registry.py; and what is done to a whole model.
#include <algorithm>
#include <array>
#include <limits>
#include <unordered_set>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/json.h"
#include "quantization/graph_quantizer.h"
#include "quantization/static_parameters.h"

namespace onnxport::quantization {
namespace {

using onnx::Node;
using Operands = GraphQuantizer::Operands;

/// Rows of a quantized table, made real where they are used.
bool quantize_gather(GraphQuantizer& graph, const Node& node) {
  if (!graph.selection().contains(node) || !graph.is_float_initializer(node.inputs[0])) return false;
  // A table that a product has quantized by its columns has no single scale for its rows.
  const GraphQuantizer::QuantizedValue* known = graph.find_quantized(node.inputs[0]);
  if (known != nullptr && known->axis) return false;
  Operands operands;
  if (!graph.quantize_activation(node, 0, operands)) return false;
  const std::string output = node.outputs[0] + "_quantized";
  graph.set_quantized(node.outputs[0], {output, operands.scales[0], operands.zero_points[0]});
  Node gather = node;
  gather.inputs[0] = operands.names[0];
  gather.outputs[0] = output;
  graph.append(std::move(operands.nodes));
  graph.append(std::move(gather));
  return true;
}

bool quantize_embed_layer_normalization(GraphQuantizer& graph, const Node& node) {
  if (!graph.selection().contains(node) || node.outputs.size() > 2 || node.inputs.size() < 7) return false;
  for (const std::size_t i : {2, 3, 4, 5, 6})
    if (!node.inputs[i].empty() && !graph.is_float_initializer(node.inputs[i])) return false;
  Operands operands;
  for (const std::size_t i : {2, 3, 4, 5, 6})
    if (!graph.quantize_activation(node, i, operands)) return false;
  Node quantized{.op_type = "QEmbedLayerNormalization",
                 .domain = "com.microsoft",
                 .name = node.name.empty() ? std::string() : node.name + "_quant",
                 .inputs = {node.inputs[0], node.inputs[1]},
                 .outputs = node.outputs,
                 .attributes = node.attributes};
  quantized.inputs.insert(quantized.inputs.end(), operands.names.begin(), operands.names.end());
  quantized.inputs.push_back(node.inputs.size() > 7 ? node.inputs[7] : std::string());
  quantized.inputs.insert(quantized.inputs.end(), operands.scales.begin(), operands.scales.end());
  quantized.inputs.insert(quantized.inputs.end(), operands.zero_points.begin(), operands.zero_points.end());
  graph.append(std::move(operands.nodes));
  graph.append_kept(std::move(quantized));
  return true;
}

constexpr std::array quantization_operators{std::string_view("QuantizeLinear"),
                                            std::string_view("DequantizeLinear"),
                                            std::string_view("DynamicQuantizeLinear"),
                                            std::string_view("MatMulInteger"),
                                            std::string_view("ConvInteger"),
                                            std::string_view("MatMulIntegerToFloat"),
                                            std::string_view("DynamicQuantizeMatMul"),
                                            std::string_view("DynamicQuantizeLSTM"),
                                            std::string_view("MatMulNBits"),
                                            std::string_view("MatMulBnb4"),
                                            std::string_view("GatherBlockQuantized"),
                                            std::string_view("QAttention"),
                                            std::string_view("QGemm"),
                                            std::string_view("QEmbedLayerNormalization"),
                                            std::string_view("QMoE"),
                                            std::string_view("QOrderedMatMul")};

}  // namespace

/// A Transpose of a quantized value moves its integers.
bool quantize_direct_operator(GraphQuantizer& graph, const Node& node) {
  if (!graph.selection().contains(node) || !graph.is_float(node.inputs[0])) return false;
  const GraphQuantizer::QuantizedValue* input = graph.find_quantized(node.inputs[0]);
  if (input == nullptr || input->axis) return false;
  GraphQuantizer::QuantizedValue output = *input;
  output.quantized = node.outputs[0] + "_quantized";
  Node direct = node;
  direct.inputs[0] = input->quantized;
  direct.outputs[0] = output.quantized;
  graph.set_quantized(node.outputs[0], std::move(output));
  graph.append(std::move(direct));
  return true;
}

bool quantize_common_operator(GraphQuantizer& graph, const Node& node) {
  if (node.op_type == "Gather") return quantize_gather(graph, node);
  if (node.op_type == "Transpose") return quantize_direct_operator(graph, node);
  if (node.op_type == "EmbedLayerNormalization") return quantize_embed_layer_normalization(graph, node);
  return false;
}

void refuse_quantized(const onnx::Model& model, std::string_view origin) {
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const Node& node : graph.nodes) {
      const bool is_quantized = std::find(quantization_operators.begin(), quantization_operators.end(), node.op_type) !=
                                    quantization_operators.end() ||
                                node.op_type.starts_with("QLinear");
      if (is_quantized) {
        throw Error(ErrorKind::InvalidModel, std::string(origin) + " is already quantized: node " +
                                                 quote_json(node.name) + " is a " + node.op_type +
                                                 ". Quantize the model that it was made from");
      }
    }
  });
}

namespace {

using NameSet = std::unordered_set<std::string>;

/// Removes unused initializers of a graph and of those in it; returns the names that it needs from outside.
NameSet clean_initializers(onnx::Graph& graph) {
  NameSet needed;
  for (Node& node : graph.nodes) {
    needed.insert(node.inputs.begin(), node.inputs.end());
    for (onnx::Attribute& attribute : node.attributes)
      if (auto* subgraph = std::get_if<onnx::Subgraph>(&attribute.value)) needed.merge(clean_initializers(**subgraph));
  }
  for (const onnx::ValueInfo& output : graph.outputs) needed.insert(output.name);
  for (const Node& node : graph.nodes)
    for (const std::string& output : node.outputs) needed.erase(output);
  NameSet removed;
  std::erase_if(graph.initializers, [&](const onnx::Initializer& initializer) {
    return !needed.contains(initializer.name) && removed.insert(initializer.name).second;
  });
  // Old models list initializers among their inputs; alone such an input would have to be given.
  std::erase_if(graph.inputs, [&](const onnx::ValueInfo& input) { return removed.contains(input.name); });
  for (const onnx::Initializer& initializer : graph.initializers) needed.erase(initializer.name);
  for (const onnx::ValueInfo& input : graph.inputs) needed.erase(input.name);
  return needed;
}

}  // namespace

void finish_model(onnx::Model& model) {
  clean_initializers(model.graph);
  bool has_microsoft = false;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const Node& node : graph.nodes) has_microsoft = has_microsoft || node.domain == "com.microsoft";
  });
  if (has_microsoft) model.opset_imports.try_emplace("com.microsoft", 1);
}

std::int64_t checked_opset(const onnx::Model& model) {
  const auto opset = model.opset_imports.find("");
  if (opset == model.opset_imports.end()) return std::numeric_limits<std::int64_t>::max();
  if (opset->second < 11) {
    throw Error(ErrorKind::InvalidModel, "the model has opset " + std::to_string(opset->second) +
                                             "; quantization needs 11 or later: export it again");
  }
  return opset->second;
}

ModelOutcome quantize_operators(onnx::Model& model, const QuantizationConfig& config, const ActivationRanges* ranges) {
  const NodeSelection selection(config, checked_opset(model));
  ActivationRanges adjusted;
  if (ranges != nullptr) {
    adjusted = *ranges;
    adjust_ranges(model.graph, selection, adjusted);
  }
  ModelOutcome outcome;
  GraphQuantizer(model.graph, selection, ranges == nullptr ? nullptr : &adjusted, outcome).run();
  finish_model(model);
  return outcome;
}

}  // namespace onnxport::quantization
