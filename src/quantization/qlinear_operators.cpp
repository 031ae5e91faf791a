// Static quantization into operators of their own: onnxruntime/quantization/operators of QLinearOpsRegistry.
#include <algorithm>
#include <utility>

#include "quantization/graph_quantizer.h"

namespace onnxport::quantization {
namespace {

using onnx::Node;
using Operands = GraphQuantizer::Operands;
using QuantizedValue = GraphQuantizer::QuantizedValue;

std::string quantized_name(const Node& node) { return node.name.empty() ? std::string() : node.name + "_quant"; }

Node quantized_node(const Node& node, std::string op_type, std::string domain = "com.microsoft") {
  return {.op_type = std::move(op_type),
          .domain = std::move(domain),
          .name = quantized_name(node),
          .inputs = {},
          .outputs = {},
          .attributes = node.attributes};
}

void push_operand(std::vector<std::string>& inputs, const Operands& operands, std::size_t i) {
  inputs.insert(inputs.end(), {operands.names[i], operands.scales[i], operands.zero_points[i]});
}

/// Appends an operator whose output has the range that calibration has found for it.
void append_quantized(GraphQuantizer& graph, const Node& node, Operands operands, Node quantized,
                      const QuantizedValue& output) {
  quantized.outputs = {output.quantized};
  graph.set_quantized(node.outputs[0], output);
  graph.append(std::move(operands.nodes));
  graph.append(std::move(quantized));
}

bool has_range(GraphQuantizer& graph, const std::string& value) { return graph.activation_affine(value).has_value(); }

/// Inputs that are activations without a range cannot be quantized. Asked before anything is changed.
bool has_operand(GraphQuantizer& graph, const std::string& value) {
  return graph.find_quantized(value) != nullptr || graph.is_float_initializer(value) || has_range(graph, value);
}

bool quantize_matmul(GraphQuantizer& graph, const Node& node) {
  if (!graph.is_float(node.inputs[0]) && !graph.is_float(node.inputs[1])) return false;
  if (!has_range(graph, node.outputs[0]) || !has_operand(graph, node.inputs[0]) || !has_operand(graph, node.inputs[1]))
    return false;
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  graph.quantize_weight(node, 1, {.reduce_range = true, .channel_axis = -1}, operands);
  const auto output = graph.activation_parameters(node.outputs[0]);
  Node quantized = quantized_node(node, "QLinearMatMul", "");
  push_operand(quantized.inputs, operands, 0);
  push_operand(quantized.inputs, operands, 1);
  quantized.inputs.insert(quantized.inputs.end(), {output->scale, output->zero_point});
  append_quantized(graph, node, std::move(operands), std::move(quantized), *output);
  return true;
}

/// Conv and Gemm: the bias becomes int32, at the scale of the products.
bool quantize_with_bias(GraphQuantizer& graph, const Node& node) {
  const bool is_gemm = node.op_type == "Gemm";
  const bool has_bias = node.inputs.size() > 2 && !node.inputs[2].empty();
  const bool is_constant = graph.is_float_initializer(node.inputs[1]);
  if (!graph.is_float(node.inputs[0]) || !has_range(graph, node.outputs[0]) || !has_operand(graph, node.inputs[0]) ||
      !has_operand(graph, node.inputs[1]))
    return false;
  if (has_bias && !(is_constant && graph.is_float_initializer(node.inputs[2]))) return false;
  // A bias needs a scale, which an input has by its range or since it is quantized.
  if (has_bias && graph.find_quantized(node.inputs[0]) == nullptr && !graph.activation_parameters(node.inputs[0]))
    return false;
  GraphQuantizer::WeightOptions options{.reduce_range = true};
  if (graph.config().per_channel && is_constant) {
    options.channel_axis = is_gemm && onnx::integer_attribute(node, "transB", 0) == 0 ? 1 : 0;
    if (!is_gemm) options.type = QuantType::QInt8;
  }
  Operands weight;
  graph.quantize_weight(node, 1, options, weight);
  std::string bias;
  if (has_bias) {
    const float beta = is_gemm ? onnx::float_attribute(node, "beta", 1) : 1;
    const auto quantized_bias = graph.quantize_bias(node.inputs[2], node.inputs[0], node.inputs[1], beta);
    if (!quantized_bias) return false;  // the weight alone has changed, and is real again for the node
    bias = *quantized_bias;
  }
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  graph.append(std::move(weight.nodes));
  const auto output = graph.activation_parameters(node.outputs[0]);
  Node quantized = is_gemm ? quantized_node(node, "QGemm") : quantized_node(node, "QLinearConv", "");
  push_operand(quantized.inputs, operands, 0);
  push_operand(quantized.inputs, weight, 0);
  if (is_gemm) {
    std::erase_if(quantized.attributes, [](const onnx::Attribute& attribute) { return attribute.name == "beta"; });
    quantized.inputs.insert(quantized.inputs.end(), {bias, output->scale, output->zero_point});
  } else {
    quantized.inputs.insert(quantized.inputs.end(), {output->scale, output->zero_point});
    if (has_bias) quantized.inputs.push_back(bias);
  }
  append_quantized(graph, node, std::move(operands), std::move(quantized), *output);
  return true;
}

/// QLinearAdd, QLinearMul, QLinearSigmoid, QLinearLeakyRelu, QLinearAveragePool: operands, then the output's numbers.
bool quantize_elementwise(GraphQuantizer& graph, const Node& node, std::size_t operand_count) {
  if (!graph.is_float(node.inputs[0]) || !has_range(graph, node.outputs[0])) return false;
  for (std::size_t i = 0; i < operand_count; ++i)
    if (!has_operand(graph, node.inputs[i])) return false;
  Operands operands;
  for (std::size_t i = 0; i < operand_count; ++i) graph.quantize_activation(node, i, operands);
  const auto output = graph.activation_parameters(node.outputs[0]);
  Node quantized = quantized_node(node, "QLinear" + node.op_type);
  for (std::size_t i = 0; i < operand_count; ++i) push_operand(quantized.inputs, operands, i);
  quantized.inputs.insert(quantized.inputs.end(), {output->scale, output->zero_point});
  append_quantized(graph, node, std::move(operands), std::move(quantized), *output);
  return true;
}

/// The output of Softmax lies between 0 and 1, whatever calibration saw.
bool quantize_softmax(GraphQuantizer& graph, const Node& node) {
  if (!graph.is_float(node.inputs[0]) || !has_range(graph, node.outputs[0]) || !has_operand(graph, node.inputs[0]))
    return false;
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  const bool is_signed = graph.config().activations_dtype == QuantType::QInt8;
  QuantizedTensor tensors = as_tensors({}, is_signed ? DataType::Int8 : DataType::UInt8,
                                       {{.scale = 1 / 256.0F, .zero_point = is_signed ? -128 : 0}}, false);
  const std::string& name = node.outputs[0];
  const QuantizedValue output{name + "_quantized", name + "_scale", name + "_zero_point"};
  graph.add_initializer(output.scale, std::move(tensors.scale));
  graph.add_initializer(output.zero_point, std::move(tensors.zero_point));
  Node quantized = quantized_node(node, "QLinearSoftmax");
  onnx::set_attribute(quantized, "opset", graph.opset());
  push_operand(quantized.inputs, operands, 0);
  quantized.inputs.insert(quantized.inputs.end(), {output.scale, output.zero_point});
  append_quantized(graph, node, std::move(operands), std::move(quantized), output);
  return true;
}

bool quantize_concat(GraphQuantizer& graph, const Node& node) {
  if (!graph.is_float(node.inputs[0]) || !has_range(graph, node.outputs[0])) return false;
  for (const std::string& input : node.inputs)
    if (!has_operand(graph, input)) return false;
  Operands operands;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) graph.quantize_activation(node, i, operands);
  const auto output = graph.activation_parameters(node.outputs[0]);
  Node quantized = quantized_node(node, "QLinearConcat");
  quantized.inputs = {output->scale, output->zero_point};
  for (std::size_t i = 0; i < node.inputs.size(); ++i) push_operand(quantized.inputs, operands, i);
  append_quantized(graph, node, std::move(operands), std::move(quantized), *output);
  return true;
}

/// What Relu and Clip cut off, the range of their output cuts off, too: they vanish behind a quantized operator that
/// has this range. onnxruntime lets them vanish also where others read the value, or where its scale is that of
/// another.
bool quantize_relu(GraphQuantizer& graph, const Node& node) {
  const QuantizedValue* input = graph.find_quantized(node.inputs[0]);
  if (input == nullptr || graph.config().activations_symmetric || input->scale != node.inputs[0] + "_scale")
    return false;
  const auto before = graph.activation_affine(node.inputs[0]);
  const auto after = graph.activation_affine(node.outputs[0]);
  if (!before || !after || before->scale != after->scale || before->zero_point != after->zero_point) return false;
  graph.set_quantized(node.outputs[0], QuantizedValue(*input));
  return true;
}

bool quantize_split(GraphQuantizer& graph, const Node& node) {
  if (!graph.is_float(node.inputs[0]) || !has_operand(graph, node.inputs[0])) return false;
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  Node split = node;
  split.name = quantized_name(node);
  split.inputs[0] = operands.names[0];
  for (std::string& output : split.outputs) {
    graph.set_quantized(output, {output + "quantized", operands.scales[0], operands.zero_points[0]});
    output += "quantized";
  }
  graph.append(std::move(operands.nodes));
  graph.append(std::move(split));
  return true;
}

/// Padding is quantized as what it stands beside; 0 is the zero point.
bool quantize_pad(GraphQuantizer& graph, const Node& node) {
  const QuantizedValue* found = graph.find_quantized(node.inputs[0]);
  if (graph.opset() < 11 || found == nullptr || found->axis) return false;
  const QuantizedValue input = *found;
  Node pad = node;
  const auto* mode = onnx::find_attribute(node, "mode");
  const auto* mode_name = mode == nullptr ? nullptr : std::get_if<std::string>(&mode->value);
  if (mode_name == nullptr || *mode_name == "constant") {
    if (pad.inputs.size() < 3) pad.inputs.resize(3);
    if (pad.inputs[2].empty()) {
      pad.inputs[2] = input.zero_point;
    } else {
      const auto padding = graph.quantize_like(pad.inputs[2], input);
      if (!padding) return false;
      pad.inputs[2] = *padding;
    }
  }
  pad.inputs[0] = input.quantized;
  pad.outputs[0] += "_quantized";
  graph.set_quantized(node.outputs[0], {pad.outputs[0], input.scale, input.zero_point});
  graph.append(std::move(pad));
  return true;
}

/// The index of the largest integer is that of the largest real number.
bool quantize_arg_max(GraphQuantizer& graph, const Node& node) {
  const QuantizedValue* input = graph.find_quantized(node.inputs[0]);
  if (input == nullptr || input->axis) return false;
  Node arg_max = node;
  arg_max.inputs[0] = input->quantized;
  graph.append(std::move(arg_max));
  return true;
}

/// MaxPool of integers exists from opset 12 on.
bool quantize_max_pool(GraphQuantizer& graph, const Node& node) {
  return node.outputs.size() == 1 && graph.opset() >= 12 && quantize_direct_operator(graph, node);
}

bool quantize_global_average_pool(GraphQuantizer& graph, const Node& node) {
  const QuantizedValue* input = graph.find_quantized(node.inputs[0]);
  if (input == nullptr || !has_range(graph, node.outputs[0])) return false;
  Operands operands;
  graph.quantize_activation(node, 0, operands);
  const auto output = graph.activation_parameters(node.outputs[0]);
  Node quantized = quantized_node(node, "QLinearGlobalAveragePool");
  onnx::set_attribute(quantized, "channels_last", std::int64_t{0});
  push_operand(quantized.inputs, operands, 0);
  quantized.inputs.insert(quantized.inputs.end(), {output->scale, output->zero_point});
  append_quantized(graph, node, std::move(operands), std::move(quantized), *output);
  return true;
}

bool dispatch(GraphQuantizer& graph, const Node& node) {
  const std::string& type = node.op_type;
  if (type == "MatMul") return quantize_matmul(graph, node);
  if (type == "Conv" || type == "Gemm") return quantize_with_bias(graph, node);
  if (type == "Add" || type == "Mul") return quantize_elementwise(graph, node, 2);
  if (type == "Sigmoid" || type == "LeakyRelu" || type == "AveragePool") return quantize_elementwise(graph, node, 1);
  if (type == "Softmax") return quantize_softmax(graph, node);
  if (type == "Concat") return quantize_concat(graph, node);
  if (type == "Relu" || type == "Clip") return quantize_relu(graph, node);
  if (type == "Split") return quantize_split(graph, node);
  if (type == "Pad") return quantize_pad(graph, node);
  if (type == "ArgMax") return quantize_arg_max(graph, node);
  if (type == "MaxPool") return quantize_max_pool(graph, node);
  if (type == "GlobalAveragePool") return quantize_global_average_pool(graph, node);
  if (type == "Reshape" || type == "Squeeze" || type == "Unsqueeze" || type == "Flatten" || type == "Resize")
    return quantize_direct_operator(graph, node);
  return quantize_common_operator(graph, node);
}

}  // namespace

bool quantize_qlinear_operator(GraphQuantizer& graph, const Node& node) {
  if (!node.domain.empty() && node.domain != "ai.onnx" && node.op_type != "EmbedLayerNormalization") return false;
  if (!graph.selection().contains(node) || node.inputs.empty() || node.outputs.empty() || !dispatch(graph, node))
    return false;
  graph.count(node.op_type);
  return true;
}

}  // namespace onnxport::quantization
