#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// The number that leaves the other operand as it is; nullopt if the operator has none, or not on that side.
std::optional<double> neutral_number(const Node& node, std::size_t index) {
  if (node.op_type == "Add") return 0;
  if (node.op_type == "Mul") return 1;
  if (node.op_type == "Sub" && index == 1) return 0;
  if ((node.op_type == "Div" || node.op_type == "Pow") && index == 1) return 1;
  return std::nullopt;
}

bool is_identity_permutation(const std::vector<std::int64_t>& permutation) {
  for (std::size_t i = 0; i < permutation.size(); ++i)
    if (permutation[i] != static_cast<std::int64_t>(i)) return false;
  return !permutation.empty();
}

/// The input that the node hands on unchanged; "" if it does something.
std::string handed_on(const PassContext& context, const Node& node) {
  const GraphEditor& graph = context.graph;
  const std::string& input = input_of(node, 0);
  const std::string& op = node.op_type;
  if (op == "Identity") return input;
  if (op == "Dropout") {
    const bool trains = has_input(node, 2) || (context.opset < 7 && onnx::integer_attribute(node, "is_test", 0) == 0);
    return has_one_output(node) && !trains ? input : "";
  }
  if (op == "Transpose") return is_identity_permutation(onnx::integers_attribute(node, "perm")) ? input : "";
  if (op == "Cast") {
    const auto made = made_by(graph, input, "Cast");
    const bool is_twice =
        made && onnx::integer_attribute(graph.node(*made), "to", -1) == onnx::integer_attribute(node, "to", 0);
    return is_twice ? input : "";
  }
  const Shape* before = context.shapes.shape(input);
  const Shape* after = context.shapes.shape(node.outputs[0]);
  if (op == "Reshape" || op == "Expand" || op == "Squeeze" || op == "Unsqueeze")
    return before != nullptr && after != nullptr && *before == *after ? input : "";
  if (op == "Concat") return node.inputs.size() == 1 ? input : "";
  if (node.inputs.size() != 2) return "";
  for (const std::size_t index : {std::size_t{0}, std::size_t{1}}) {
    const auto neutral = neutral_number(node, index);
    if (!neutral || scalar(graph, node.inputs[index]) != neutral) continue;
    const std::string& other = node.inputs[1 - index];
    const Shape* shape = context.shapes.shape(other);
    if (shape != nullptr && after != nullptr && *shape == *after) return other;
  }
  return "";
}

/// Transpose(Transpose(x)) as one.
bool merge_transposes(PassContext& context, NodeId id) {
  GraphEditor& graph = context.graph;
  const Node& node = graph.node(id);
  const auto inner = made_by(graph, input_of(node, 0), "Transpose");
  const auto outer_axes = onnx::integers_attribute(node, "perm");
  if (!inner || outer_axes.empty()) return false;
  const auto inner_axes = onnx::integers_attribute(graph.node(*inner), "perm");
  if (inner_axes.size() != outer_axes.size()) return false;
  std::vector<std::int64_t> merged;
  for (const std::int64_t axis : outer_axes) merged.push_back(inner_axes.at(static_cast<std::size_t>(axis)));
  onnx::set_attribute(graph.mutable_node(id), "perm", merged);
  graph.set_input(id, 0, graph.node(*inner).inputs[0]);
  return true;
}

/// Reshape(Reshape(x)) where the second shape does not depend on the first.
bool merge_reshapes(PassContext& context, NodeId id) {
  GraphEditor& graph = context.graph;
  const Node& node = graph.node(id);
  const auto inner = made_by(graph, input_of(node, 0), "Reshape");
  if (!inner) return false;
  const ValueFacts* target = context.shapes.find(node.inputs[1]);
  if (target == nullptr || !target->elements) return false;
  for (const Dim& size : *target->elements)
    if (!is_non_negative(size) ? !(size == Dim(-1)) : size == Dim(0)) return false;
  graph.set_input(id, 0, graph.node(*inner).inputs[0]);
  return true;
}

void append(std::string& key, const onnx::Attribute& attribute) {
  key += "|" + attribute.name + "=" + std::to_string(attribute.value.index()) + ":";
  if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) key += std::to_string(*integer);
  if (const auto* number = std::get_if<float>(&attribute.value))
    key.append(reinterpret_cast<const char*>(number), sizeof *number);
  if (const auto* text = std::get_if<std::string>(&attribute.value)) key += *text;
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&attribute.value))
    for (const std::int64_t value : *list) key += std::to_string(value) + ",";
  if (const auto* list = std::get_if<std::vector<float>>(&attribute.value))
    key.append(reinterpret_cast<const char*>(list->data()), list->size() * sizeof(float));
  if (const auto* array = std::get_if<Array>(&attribute.value)) {
    key += std::string(to_string(array->data_type())) + shape_to_string(array->shape());
    key.append(reinterpret_cast<const char*>(array->bytes().data()), array->bytes().size());
  }
}

/// Equal for nodes that compute the same; "" for those that may not, or hold what is not compared.
std::string computation_key(const Node& node) {
  if (node.op_type.starts_with("Random") || node.op_type == "Bernoulli" || node.op_type == "Multinomial" ||
      node.op_type == "Dropout")
    return "";
  std::string key = node.domain + "." + node.op_type + "(";
  for (const std::string& input : node.inputs) key += input + ",";
  for (const std::string& output : node.outputs) key += output.empty() ? "_" : "o";
  std::vector<const onnx::Attribute*> attributes;
  for (const onnx::Attribute& attribute : node.attributes) {
    if (std::holds_alternative<onnx::Subgraph>(attribute.value) ||
        std::holds_alternative<onnx::Opaque>(attribute.value))
      return "";
    attributes.push_back(&attribute);
  }
  std::sort(attributes.begin(), attributes.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const onnx::Attribute* attribute : attributes) append(key, *attribute);
  return key;
}

}  // namespace

void remove_no_ops(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if ((!node.domain.empty() && node.domain != "ai.onnx") || node.outputs.empty()) continue;
    if (is_operator(node, "Transpose") && merge_transposes(context, id)) context.journal.done("TransposeMerging");
    if (is_operator(node, "Reshape") && merge_reshapes(context, id)) context.journal.done("ReshapeMerging");
    const std::string input = handed_on(context, graph.node(id));
    if (input.empty()) continue;
    const std::string output = graph.node(id).outputs[0];
    // An output that is an input, a weight or another output needs a node of its own.
    if (graph.is_graph_output(output) && (!graph.producer(input) || graph.is_graph_output(input))) continue;
    graph.replace_uses(output, input);
    graph.remove_node(id);
    context.journal.done("NoOpElimination");
  }
}

void share_common_subexpressions(PassContext& context) {
  GraphEditor& graph = context.graph;
  std::map<std::string, NodeId> seen;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    std::string key = computation_key(node);
    if (key.empty()) continue;
    const auto [first, is_new] = seen.emplace(std::move(key), id);
    if (is_new) continue;
    const auto is_output = [&](const std::string& output) { return graph.is_graph_output(output); };
    if (std::any_of(node.outputs.begin(), node.outputs.end(), is_output)) continue;
    const std::vector<std::string> outputs = node.outputs;
    const std::vector<std::string> kept = graph.node(first->second).outputs;
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (!outputs[i].empty()) graph.replace_uses(outputs[i], kept[i]);
    graph.remove_node(id);
    context.journal.done("CommonSubexpressionElimination");
  }
}

}  // namespace onnxport::optimization
