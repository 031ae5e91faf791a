// Dynamic quantization of operators: onnxruntime/quantization/operators of IntegerOpsRegistry.
#include <algorithm>
#include <iterator>
#include <utility>

#include "quantization/graph_quantizer.h"

namespace onnxport::quantization {
namespace {

using onnx::Node;
using Operands = GraphQuantizer::Operands;

std::string quantized_name(const Node& node) { return node.name.empty() ? std::string() : node.name + "_quant"; }

/// The integer product of two operands, then its real value: cast, times both scales.
void append_scaled_product(GraphQuantizer& graph, Node product, Operands operands, const std::string& real_output) {
  const std::string integers = product.outputs.front();
  const std::string name = product.name;
  std::vector<Node> nodes = std::move(operands.nodes);
  nodes.push_back(std::move(product));
  nodes.push_back({.op_type = "Cast",
                   .domain = {},
                   .name = integers + "_cast",
                   .inputs = {integers},
                   .outputs = {integers + "_cast_output"},
                   .attributes = {{"to", std::int64_t{onnx_data_type(DataType::Float32)}}}});
  const std::string scales =
      name.empty() ? operands.scales[0] + "_" + operands.scales[1] + "_mul" : name + "_scales_mul";
  nodes.push_back({.op_type = "Mul",
                   .domain = {},
                   .name = scales,
                   .inputs = {operands.scales[0], operands.scales[1]},
                   .outputs = {scales + ":0"},
                   .attributes = {}});
  nodes.push_back({.op_type = "Mul",
                   .domain = {},
                   .name = name.empty() ? std::string() : name + "_output_scale_mul",
                   .inputs = {integers + "_cast_output", scales + ":0"},
                   .outputs = {real_output},
                   .attributes = {}});
  graph.append(std::move(nodes));
}

std::vector<std::string> with_zero_points(const Operands& operands) {
  std::vector<std::string> inputs = operands.names;
  inputs.insert(inputs.end(), operands.zero_points.begin(), operands.zero_points.end());
  return inputs;
}

void append_matmul(GraphQuantizer& graph, const Node& node) {
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  graph.quantize_weight(node, 1, {.reduce_range = true, .channel_axis = -1}, operands);
  Node product{.op_type = "MatMulInteger",
               .domain = {},
               .name = quantized_name(node),
               .inputs = with_zero_points(operands),
               .outputs = {node.outputs[0] + "_output_quantized"},
               .attributes = {}};
  append_scaled_product(graph, std::move(product), std::move(operands), node.outputs[0]);
}

bool quantize_matmul(GraphQuantizer& graph, const Node& node) {
  if (!graph.selection().contains(node)) return false;
  if (!graph.is_float(node.inputs[0]) && !graph.is_float(node.inputs[1])) return false;
  append_matmul(graph, node);
  return true;
}

/// A Gemm that is a product and a sum only is a MatMul and an Add (ONNXModel.replace_gemm_with_matmul).
bool quantize_gemm(GraphQuantizer& graph, const Node& node) {
  const std::string product_name = node.name.empty() ? std::string() : node.name + "_MatMul";
  const NodeSelection& selection = graph.selection();
  if (!selection.contains("MatMul", {node.name, product_name}) &&
      !selection.contains("Gemm", {node.name, product_name}))
    return false;
  if (onnx::float_attribute(node, "alpha", 1) != 1 || onnx::float_attribute(node, "beta", 1) != 1 ||
      onnx::integer_attribute(node, "transA", 0) != 0)
    return false;
  if (!graph.is_float(node.inputs[0]) && !graph.is_float(node.inputs[1])) return false;
  const bool has_bias = node.inputs.size() > 2 && !node.inputs[2].empty();
  Node product{.op_type = "MatMul",
               .domain = {},
               .name = product_name,
               .inputs = {node.inputs[0], node.inputs[1]},
               .outputs = {node.outputs[0] + (has_bias ? "_MatMul" : "")},
               .attributes = {}};
  if (onnx::integer_attribute(node, "transB", 0) != 0) product.inputs[1] = graph.transposed(node.inputs[1], node.name);
  append_matmul(graph, product);
  if (!has_bias) return true;
  graph.append_kept({.op_type = "Add",
                     .domain = {},
                     .name = node.name.empty() ? std::string() : node.name + "_Add",
                     .inputs = {product.outputs[0], node.inputs[2]},
                     .outputs = node.outputs,
                     .attributes = {}});
  return true;
}

bool quantize_conv(GraphQuantizer& graph, const Node& node) {
  if (!graph.selection().contains(node) || !graph.is_float(node.inputs[0])) return false;
  const onnx::Initializer* weight = graph.find_initializer(node.inputs[1]);
  const bool has_bias = node.inputs.size() > 2 && !node.inputs[2].empty();
  if (has_bias && weight == nullptr) return false;
  const std::size_t rank = weight == nullptr ? 0 : weight->source.shape.size();
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  graph.quantize_weight(node, 1, {.reduce_range = graph.config().reduce_range}, operands);
  Node product{.op_type = "ConvInteger",
               .domain = {},
               .name = quantized_name(node),
               .inputs = with_zero_points(operands),
               .outputs = {node.outputs[0] + "_output_quantized"},
               .attributes = node.attributes};
  const std::string& output = node.outputs[0];
  append_scaled_product(graph, std::move(product), std::move(operands),
                        has_bias ? output + "quant_scaled_output" : output);
  if (!has_bias) return true;
  std::vector<std::int64_t> shape(rank, 1);
  shape[1] = -1;
  graph.add_initializer(output + "_bias_reshape_shape",
                        from_array(Array::int64({static_cast<std::int64_t>(rank)}, shape)));
  graph.append_kept({.op_type = "Reshape",
                     .domain = {},
                     .name = {},
                     .inputs = {node.inputs[2], output + "_bias_reshape_shape"},
                     .outputs = {output + "_bias_reshape_output"},
                     .attributes = {}});
  graph.append({.op_type = "Add",
                .domain = {},
                .name = output + "_bias_add",
                .inputs = {output + "quant_scaled_output", output + "_bias_reshape_output"},
                .outputs = {output},
                .attributes = {}});
  return true;
}

/// com.microsoft's Attention, whose weights of query, key and value are one matrix.
bool quantize_attention(GraphQuantizer& graph, const Node& node) {
  if (node.domain != "com.microsoft" || !graph.selection().contains(node) || !graph.is_float(node.inputs[0]))
    return false;
  if (onnx::find_attribute(node, "qkv_hidden_sizes") != nullptr) return false;  // QAttention has one size only
  if (node.inputs.size() < 3 || !graph.is_float_initializer(node.inputs[1])) return false;
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  graph.quantize_weight(node, 1, {.reduce_range = true, .channel_axis = -1}, operands);
  const auto input = [&](std::size_t i) { return i < node.inputs.size() ? node.inputs[i] : std::string(); };
  Node attention{.op_type = "QAttention",
                 .domain = "com.microsoft",
                 .name = quantized_name(node),
                 .inputs = operands.names,
                 .outputs = node.outputs,
                 .attributes = node.attributes};
  attention.inputs.push_back(input(2));
  attention.inputs.insert(attention.inputs.end(), operands.scales.begin(), operands.scales.end());
  attention.inputs.push_back(input(3));
  attention.inputs.insert(attention.inputs.end(), operands.zero_points.begin(), operands.zero_points.end());
  attention.inputs.push_back(input(4));
  graph.append(std::move(operands.nodes));
  graph.append_kept(std::move(attention));
  return true;
}

/// DynamicQuantizeLSTM: weights are int8 whatever the config says, one scale for each direction, or for each row with
/// per_channel; transposed.
bool quantize_lstm(GraphQuantizer& graph, const Node& node) {
  if (!graph.selection().contains(node) || !graph.is_float(node.inputs[0]) || node.inputs.size() < 3) return false;
  for (const std::size_t i : {1, 2}) {
    const onnx::Initializer* weight = graph.find_initializer(node.inputs[i]);
    if (weight == nullptr || weight->source.data_type != DataType::Float32 || weight->source.shape.size() != 3)
      return false;
  }
  const GraphQuantizer::QuantizedValue input = graph.quantize_lstm_weight(node.inputs[1]);
  const GraphQuantizer::QuantizedValue recurrent = graph.quantize_lstm_weight(node.inputs[2]);
  Node lstm{.op_type = "DynamicQuantizeLSTM",
            .domain = "com.microsoft",
            .name = quantized_name(node),
            .inputs = {node.inputs[0], input.quantized, recurrent.quantized},
            .outputs = node.outputs,
            .attributes = node.attributes};
  std::erase_if(lstm.attributes, [](const onnx::Attribute& attribute) { return attribute.name == "layout"; });
  for (std::size_t i = 3; i < 8; ++i) lstm.inputs.push_back(i < node.inputs.size() ? node.inputs[i] : std::string());
  for (const std::string& name : {input.scale, input.zero_point, recurrent.scale, recurrent.zero_point})
    lstm.inputs.push_back(name);
  graph.append_kept(std::move(lstm));
  return true;
}

}  // namespace

bool quantize_integer_operator(GraphQuantizer& graph, const Node& node) {
  const bool is_done = [&] {
    if (node.op_type == "MatMul") return quantize_matmul(graph, node);
    if (node.op_type == "Gemm") return quantize_gemm(graph, node);
    if (node.op_type == "Conv") return quantize_conv(graph, node);
    if (node.op_type == "Attention") return quantize_attention(graph, node);
    if (node.op_type == "LSTM") return quantize_lstm(graph, node);
    return quantize_common_operator(graph, node);
  }();
  if (is_done) graph.count(node.op_type);
  return is_done;
}

}  // namespace onnxport::quantization
