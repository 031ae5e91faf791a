#include "quantization/graph_quantizer.h"

#include <algorithm>
#include <utility>

#include "onnx/graph_editor.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "quantization/static_parameters.h"

namespace onnxport::quantization {
namespace {

using onnx::Graph;
using onnx::Initializer;
using onnx::Node;

/// Of the initializers that quantization derives from one; the name itself first.
constexpr const char* derived_suffixes[] = {"", "_quantized", "_scale", "_zero_point"};

DataType data_type(QuantType type) { return type == QuantType::QInt8 ? DataType::Int8 : DataType::UInt8; }

template <typename Visit>
void for_each_subgraph(Node& node, const Visit& visit) {
  for (onnx::Attribute& attribute : node.attributes)
    if (auto* subgraph = std::get_if<onnx::Subgraph>(&attribute.value)) visit(**subgraph);
}

}  // namespace

NodeSelection::NodeSelection(const QuantizationConfig& chosen, std::int64_t model_opset)
    : config(chosen),
      opset(model_opset),
      operators(chosen.operators_to_quantize.begin(), chosen.operators_to_quantize.end()),
      included(chosen.nodes_to_quantize.begin(), chosen.nodes_to_quantize.end()),
      excluded(chosen.nodes_to_exclude.begin(), chosen.nodes_to_exclude.end()) {}

bool NodeSelection::contains(std::string_view op_type, std::initializer_list<std::string_view> names) const {
  const auto is_in = [&](const auto& set) {
    return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return set.contains(name); });
  };
  return operators.contains(op_type) && (included.empty() || is_in(included)) && !is_in(excluded);
}

GraphQuantizer::GraphQuantizer(Graph& graph, const NodeSelection& selection, const ActivationRanges* ranges,
                               ModelOutcome& outcome, GraphQuantizer* parent)
    : graph_(graph),
      selection_(selection),
      ranges_(ranges),
      outcome_(outcome),
      parent_(parent),
      types_(graph, parent == nullptr ? nullptr : &parent->types_) {
  for (std::size_t i = 0; i < graph_.initializers.size(); ++i) initializers_.emplace(graph_.initializers[i].name, i);
  for (const onnx::ValueInfo& input : graph_.inputs) {
    values_.insert(input.name);
    if (!initializers_.contains(input.name)) generated_.insert(input.name);
  }
  for (const Node& node : graph_.nodes) values_.insert(node.outputs.begin(), node.outputs.end());
}

void GraphQuantizer::run() {
  std::vector<Node> nodes = std::exchange(graph_.nodes, {});
  for (Node& node : nodes) {
    quantize_subgraphs(node);
    set_current(node);
    if (!(config().is_static ? quantize_qlinear_operator : quantize_integer_operator)(*this, node))
      append_kept(std::move(node));
  }
  for (const onnx::ValueInfo& output : graph_.outputs) dequantize(output.name);
  graph_.nodes = std::move(nodes_);
  drop_unused_value_infos();
}

void GraphQuantizer::quantize_subgraphs(Node& node) {
  for_each_subgraph(node,
                    [&](Graph& subgraph) { GraphQuantizer(subgraph, selection_, ranges_, outcome_, this).run(); });
}

/// A node that stays as it is reads real values: of its inputs, and of what its subgraphs capture.
void GraphQuantizer::append_kept(Node node) {
  for (const std::string& input : node.inputs) dequantize(input);
  for_each_subgraph(node, [&](const Graph& subgraph) {
    for (const std::string& value : onnx::captured_values(subgraph)) dequantize(value);
  });
  append(std::move(node));
}

void GraphQuantizer::dequantize(const std::string& value) {
  const auto found = quantized_.find(value);
  if (found == quantized_.end() || generated_.contains(value)) return;
  const QuantizedValue& quantized = found->second;
  Node node{.op_type = "DequantizeLinear",
            .domain = {},
            .name = value + "_DequantizeLinear",
            .inputs = {quantized.quantized, quantized.scale, quantized.zero_point},
            .outputs = {value},
            .attributes = {}};
  if (quantized.axis) node.attributes.push_back({"axis", *quantized.axis});
  append(std::move(node));
}

void GraphQuantizer::append(Node node) {
  generated_.insert(node.outputs.begin(), node.outputs.end());
  nodes_.push_back(std::move(node));
}

void GraphQuantizer::append(std::vector<Node> nodes) {
  for (Node& node : nodes) append(std::move(node));
}

void GraphQuantizer::add_initializer(const std::string& name, TensorSource source) {
  types_.set(name, source.data_type);
  const auto [found, is_new] = initializers_.emplace(name, graph_.initializers.size());
  if (is_new) {
    graph_.initializers.push_back({name, std::move(source)});
  } else {
    graph_.initializers[found->second].source = std::move(source);
  }
}

// ---- Values ---------------------------------------------------------------------------------------------------------

bool GraphQuantizer::is_float(std::string_view value) const { return types_.find(value) == DataType::Float32; }

const Initializer* GraphQuantizer::find_initializer(std::string_view value) const {
  if (const auto found = initializers_.find(value); found != initializers_.end())
    return &graph_.initializers[found->second];
  return values_.contains(value) || parent_ == nullptr ? nullptr : parent_->find_initializer(value);
}

bool GraphQuantizer::is_float_initializer(std::string_view value) const {
  const Initializer* initializer = find_initializer(value);
  return initializer != nullptr && initializer->source.data_type == DataType::Float32;
}

const GraphQuantizer::QuantizedValue* GraphQuantizer::find_quantized(std::string_view value) const {
  if (const auto found = quantized_.find(value); found != quantized_.end()) return &found->second;
  return parent_ == nullptr || values_.contains(value) ? nullptr : parent_->find_quantized(value);
}

void GraphQuantizer::set_quantized(const std::string& value, QuantizedValue quantized) {
  quantized_.insert_or_assign(value, std::move(quantized));
}

bool GraphQuantizer::quantize_activation(const Node& node, std::size_t input, Operands& operands) {
  return quantize_input(node, input, {.is_weight = false}, operands, current_, false);
}

bool GraphQuantizer::quantize_weight(const Node& node, std::size_t input, const WeightOptions& options,
                                     Operands& operands) {
  return quantize_input(node, input, options, operands, current_, false);
}

bool GraphQuantizer::quantize_input(const Node& node, std::size_t input, const WeightOptions& options,
                                    Operands& operands, const std::pair<std::string, std::string>& origin,
                                    bool from_subgraph) {
  const std::string name = input < node.inputs.size() ? node.inputs[input] : std::string();
  const auto take = [&](const QuantizedValue& value) {
    operands.names.push_back(value.quantized);
    operands.scales.push_back(value.scale);
    operands.zero_points.push_back(value.zero_point);
    return true;
  };
  if (const auto found = quantized_.find(name); found != quantized_.end()) return take(found->second);
  if (name.empty()) return take({});
  if (const auto found = initializers_.find(name); found != initializers_.end()) {
    const Initializer weight = graph_.initializers[found->second];  // a copy: more are added
    return take(quantize_initializer(weight, options, origin));
  }
  if (values_.contains(name)) {
    const std::optional<QuantizedValue> parameters = activation_parameters(name);
    if (config().is_static && !parameters) return false;
    Node quantizing = quantizing_node(name, parameters);
    if (from_subgraph) {
      append(std::move(quantizing));
    } else {
      operands.nodes.push_back(std::move(quantizing));
    }
    return take(quantized_.at(name));
  }
  if (parent_ != nullptr) return parent_->quantize_input(node, input, options, operands, origin, true);
  throw Error(ErrorKind::InvalidModel, "node " + quote_json(node.name) + " uses " + quote_json(name) +
                                           ", which no node and no initializer makes");
}

Node GraphQuantizer::quantizing_node(const std::string& value, const std::optional<QuantizedValue>& parameters) {
  const QuantizedValue result{value + "_quantized", parameters ? parameters->scale : value + "_scale",
                              parameters ? parameters->zero_point : value + "_zero_point"};
  set_quantized(value, result);
  Node node{.op_type = parameters ? "QuantizeLinear" : "DynamicQuantizeLinear",
            .domain = {},
            .name = value + "_QuantizeLinear",
            .inputs = {value},
            .outputs = {result.quantized},
            .attributes = {}};
  if (parameters) {
    node.inputs.insert(node.inputs.end(), {result.scale, result.zero_point});
  } else {
    node.outputs.insert(node.outputs.end(), {result.scale, result.zero_point});
  }
  return node;
}

std::optional<AffineParameters> GraphQuantizer::activation_affine(std::string_view value) const {
  return ranges_ == nullptr ? std::nullopt : quantization::activation_affine(*ranges_, config(), value);
}

std::optional<std::string> GraphQuantizer::quantize_bias(const std::string& bias, const std::string& input,
                                                         const std::string& weight, float beta) {
  const auto real = initializers_.find(bias);
  const QuantizedValue* quantized_weight = find_quantized(weight);
  const auto record = std::find_if(outcome_.weights.rbegin(), outcome_.weights.rend(),
                                   [&](const QuantizedWeight& entry) { return entry.tensor == weight; });
  if (real == initializers_.end() || !initializers_.contains(weight) || quantized_weight == nullptr ||
      record == outcome_.weights.rend())
    return std::nullopt;
  const QuantizedValue* quantized_input = find_quantized(input);
  const std::optional<float> input_scale =
      scale_of(quantized_input == nullptr ? input + "_scale" : quantized_input->scale);
  if (!input_scale) return std::nullopt;
  const Array elements = materialize(graph_.initializers[real->second].source);

  std::vector<AffineParameters> parameters = record->parameters;
  const DataType type = record->values.data_type;
  if (config().weights_dtype == QuantType::QInt8 && type == DataType::Int8 &&
      raise_weight_scales(parameters, record->axis.has_value(), *input_scale, elements.values<float>())) {
    if (weights_with_bias_.contains(weight)) return std::nullopt;  // another bias has the scale as it was
    record->parameters = parameters;
    record->values = quantize_values(record->real, type, parameters, record->axis);
    QuantizedTensor tensors = as_tensors(record->values, type, parameters, record->axis.has_value());
    add_initializer(quantized_weight->quantized, std::move(tensors.values));
    add_initializer(quantized_weight->scale, std::move(tensors.scale));
  }
  std::optional<QuantizedBias> integers = quantization::quantize_bias(elements, *input_scale, parameters, beta);
  if (!integers) return std::nullopt;
  weights_with_bias_.insert(weight);
  // Layers may share a bias, but not the scale of their products.
  std::string name = bias + "_quantized";
  for (int i = 1; initializers_.contains(name); ++i) name = bias + std::to_string(i) + "_quantized";
  add_initializer(name, std::move(integers->values));
  return name;
}

std::optional<std::string> GraphQuantizer::quantize_like(const std::string& constant, const QuantizedValue& value) {
  const auto real = initializers_.find(constant);
  const std::optional<float> scale = scale_of(value.scale);
  const Initializer* zero_point = find_initializer(value.zero_point);
  std::string name = constant + "_quantized";
  if (real == initializers_.end() || !is_float_initializer(constant) || !scale || zero_point == nullptr ||
      initializers_.contains(name))
    return std::nullopt;
  const DataType type = zero_point->source.data_type;
  const Array zero = materialize(zero_point->source);
  const std::int32_t offset = type == DataType::Int8 ? *zero.data<std::int8_t>() : *zero.data<std::uint8_t>();
  add_initializer(name, quantize_values(graph_.initializers[real->second].source, type, {{*scale, offset}}, {}));
  return name;
}

std::optional<float> GraphQuantizer::scale_of(const std::string& name) const {
  const Initializer* scale = find_initializer(name);
  if (scale == nullptr || scale->source.data_type != DataType::Float32 || scale->source.element_count() != 1)
    return std::nullopt;
  return *materialize(scale->source).data<float>();
}

std::optional<GraphQuantizer::QuantizedValue> GraphQuantizer::activation_parameters(const std::string& value) {
  const auto parameters = activation_affine(value);
  if (!parameters) return std::nullopt;
  const DataType type = data_type(config().activations_dtype);
  QuantizedTensor tensors = as_tensors({}, type, {*parameters}, false);
  add_initializer(value + "_scale", std::move(tensors.scale));
  add_initializer(value + "_zero_point", std::move(tensors.zero_point));
  return QuantizedValue{value + "_quantized", value + "_scale", value + "_zero_point"};
}

const GraphQuantizer::QuantizedValue& GraphQuantizer::quantize_initializer(
    const Initializer& weight, const WeightOptions& options, const std::pair<std::string, std::string>& origin) {
  const QuantType type =
      options.type ? *options.type : (options.is_weight ? config().weights_dtype : config().activations_dtype);
  // As onnxruntime: an initializer of the weights' type is as symmetric as weights, wherever it is used.
  AffineScheme scheme{.type = data_type(type),
                      .symmetric = type == config().weights_dtype || options.type ? config().weights_symmetric
                                                                                  : config().activations_symmetric,
                      .reduce_range = config().reduce_range && options.reduce_range};
  std::optional<std::int64_t> axis;
  const auto rank = static_cast<std::int64_t>(weight.source.shape.size());
  if (options.channel_axis && (config().per_channel || options.always_per_channel) && rank > 0) {
    axis = *options.channel_axis < 0 ? *options.channel_axis + rank : *options.channel_axis;
    if (*axis < 0 || *axis >= rank) {
      throw Error(ErrorKind::InvalidModel, "weight " + quote_json(weight.name) + " of shape " +
                                               shape_to_string(weight.source.shape) + " has no axis " +
                                               std::to_string(*options.channel_axis) + " of channels");
    }
  }
  std::vector<AffineParameters> parameters;
  for (const ValueRange& range : value_ranges(weight.source, axis, quote_json(weight.name)))
    parameters.push_back(affine_parameters(range, scheme));
  TensorSource values = quantize_values(weight.source, scheme.type, parameters, axis);
  outcome_.weights.push_back({origin.first, origin.second, weight.name, weight.source, values, parameters, axis});
  QuantizedTensor tensors = as_tensors(std::move(values), scheme.type, parameters, axis.has_value());
  add_initializer(weight.name + "_quantized", std::move(tensors.values));
  add_initializer(weight.name + "_scale", std::move(tensors.scale));
  add_initializer(weight.name + "_zero_point", std::move(tensors.zero_point));
  set_quantized(weight.name, {weight.name + "_quantized", weight.name + "_scale", weight.name + "_zero_point", axis});
  return quantized_.at(weight.name);
}

GraphQuantizer::QuantizedValue GraphQuantizer::quantize_lstm_weight(const std::string& name) {
  if (!initializers_.contains(name) && parent_ != nullptr) return parent_->quantize_lstm_weight(name);
  if (const auto found = quantized_.find(name); found != quantized_.end()) return found->second;
  const Initializer weight = graph_.initializers[initializers_.at(name)];  // a copy: more are added
  const std::vector<std::int64_t>& shape = weight.source.shape;            // [directions, rows, columns]
  const TensorSource channels =
      config().per_channel ? reshape(weight.source, {shape[0] * shape[1], shape[2]}) : weight.source;
  const AffineScheme scheme{
      .type = DataType::Int8, .symmetric = config().weights_symmetric, .reduce_range = config().reduce_range};
  std::vector<AffineParameters> parameters;
  for (const ValueRange& range : value_ranges(channels, 0, quote_json(name)))
    parameters.push_back(affine_parameters(range, scheme));
  const TensorSource values = quantize_values(channels, scheme.type, parameters, 0);
  outcome_.weights.push_back({current_.first, current_.second, name, channels, values, parameters, 0});
  QuantizedTensor tensors = as_tensors({}, scheme.type, parameters, true);
  if (config().per_channel) {
    tensors.scale = reshape(std::move(tensors.scale), {shape[0], shape[1]});
    tensors.zero_point = reshape(std::move(tensors.zero_point), {shape[0], shape[1]});
  }
  const QuantizedValue result{name + "_quantized", name + "_scale", name + "_zero_point"};
  add_initializer(result.quantized, transpose(reshape(values, shape), {0, 2, 1}));
  add_initializer(result.scale, std::move(tensors.scale));
  add_initializer(result.zero_point, std::move(tensors.zero_point));
  set_quantized(name, result);
  return result;
}

std::string GraphQuantizer::transposed(const std::string& matrix, const std::string& node_name) {
  if (initializers_.contains(matrix)) {
    if (const auto found = transposed_.find(matrix); found != transposed_.end()) return found->second;
    std::string name = matrix + "_Transposed";
    const auto is_taken = [&] {
      return std::any_of(std::begin(derived_suffixes), std::end(derived_suffixes), [&](const char* suffix) {
        return initializers_.contains(name + suffix) || values_.contains(name + suffix);
      });
    };
    for (int i = 1; is_taken(); ++i) name = matrix + "_Transposed_" + std::to_string(i);
    add_initializer(name, transpose(graph_.initializers[initializers_.at(matrix)].source, {1, 0}));
    transposed_.emplace(matrix, name);
    return name;
  }
  if (!values_.contains(matrix) && parent_ != nullptr && find_initializer(matrix) != nullptr)
    return parent_->transposed(matrix, node_name);
  const std::string name = matrix + "_Transposed";
  if (generated_.contains(name)) return name;
  dequantize(matrix);
  types_.set(name, DataType::Float32);
  values_.insert(name);
  append(Node{.op_type = "Transpose",
              .domain = {},
              .name = node_name.empty() ? std::string() : node_name + "_Transpose",
              .inputs = {matrix},
              .outputs = {name},
              .attributes = {{"perm", std::vector<std::int64_t>{1, 0}}}});
  return name;
}

/// What the model says of values that are gone would be said of nothing.
void GraphQuantizer::drop_unused_value_infos() {
  std::erase_if(graph_.value_infos, [&](const onnx::ValueInfo& info) { return !generated_.contains(info.name); });
}

}  // namespace onnxport::quantization
