#include "optimization/match.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "core/tensor_source.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

constexpr std::int64_t kMostElements = 1024;

template <typename T>
std::vector<std::int64_t> to_integers(const Array& array) {
  const auto values = array.values<T>();
  return {values.begin(), values.end()};
}

std::optional<Linear> match_matmul(const GraphEditor& graph, std::string_view value) {
  const auto id = made_by(graph, value, "MatMul");
  if (!id) return std::nullopt;
  const Node& node = graph.node(*id);
  const auto weight = graph.constant(node.inputs[1]);
  if (!weight || weight->shape.size() != 2) return std::nullopt;
  return Linear{node.inputs[0], node.inputs[1], false, "", {*id}};
}

std::optional<Linear> match_gemm(const GraphEditor& graph, std::string_view value) {
  const auto id = made_by(graph, value, "Gemm");
  if (!id) return std::nullopt;
  const Node& node = graph.node(*id);
  const auto weight = graph.constant(node.inputs[1]);
  const bool is_plain = onnx::float_attribute(node, "alpha", 1) == 1 && onnx::float_attribute(node, "beta", 1) == 1 &&
                        onnx::integer_attribute(node, "transA", 0) == 0;
  if (!weight || weight->shape.size() != 2 || !is_plain) return std::nullopt;
  Linear linear{node.inputs[0], node.inputs[1], onnx::integer_attribute(node, "transB", 0) != 0, "", {*id}};
  if (has_input(node, 2)) {
    const auto size = vector_size(graph, node.inputs[2]);
    if (size != weight->shape[linear.transposed ? 0 : 1]) return std::nullopt;
    linear.bias = node.inputs[2];
  }
  // Rows are flattened before; what was flattened is the layer's input.
  if (const auto reshape = made_by(graph, linear.x, "Reshape")) {
    const auto shape = integers(graph, graph.node(*reshape).inputs[1]);
    const std::int64_t features = weight->shape[linear.transposed ? 1 : 0];
    if (shape && shape->size() == 2 && shape->back() == features) {
      linear.x = graph.node(*reshape).inputs[0];
      linear.nodes.push_back(*reshape);
    }
  }
  return linear;
}

}  // namespace

bool depends_on(const GraphEditor& graph, const std::string& value, const std::vector<std::string>& sources) {
  std::set<std::string> seen{value};
  std::vector<std::string> waiting{value};
  const auto visit = [&](const std::string& name) {
    if (seen.insert(name).second) waiting.push_back(name);
  };
  while (!waiting.empty()) {
    const std::string current = std::move(waiting.back());
    waiting.pop_back();
    if (std::find(sources.begin(), sources.end(), current) != sources.end()) return true;
    const auto id = graph.producer(current);
    if (!id) continue;
    const Node& node = graph.node(*id);
    for (const std::string& input : node.inputs) visit(input);
    for (const onnx::Attribute& attribute : node.attributes)
      if (const auto* subgraph = std::get_if<onnx::Subgraph>(&attribute.value))
        for (const std::string& captured : onnx::captured_values(**subgraph)) visit(captured);
  }
  return false;
}

bool is_operator(const Node& node, std::string_view op_type, std::string_view domain) {
  return node.op_type == op_type && (node.domain == domain || (domain.empty() && node.domain == "ai.onnx"));
}

std::optional<NodeId> made_by(const GraphEditor& graph, std::string_view value, std::string_view op_type,
                              std::string_view domain) {
  const auto id = graph.producer(value);
  return id && is_operator(graph.node(*id), op_type, domain) ? id : std::nullopt;
}

std::vector<NodeId> nodes_of(const GraphEditor& graph, std::string_view op_type, std::string_view domain) {
  std::vector<NodeId> result;
  for (const NodeId id : graph.nodes())
    if (is_operator(graph.node(id), op_type, domain)) result.push_back(id);
  return result;
}

std::optional<NodeId> only_user(const GraphEditor& graph, std::string_view value) {
  if (!graph.has_single_use(value)) return std::nullopt;
  return graph.consumers(value).front();
}

const std::string& input_of(const Node& node, std::size_t index) {
  static const std::string none;
  return index < node.inputs.size() ? node.inputs[index] : none;
}

bool has_input(const Node& node, std::size_t index) { return !input_of(node, index).empty(); }

bool has_one_output(const Node& node) {
  return !node.outputs.empty() && std::all_of(node.outputs.begin() + 1, node.outputs.end(),
                                              [](const std::string& name) { return name.empty(); });
}

std::optional<double> scalar(const GraphEditor& graph, std::string_view value) {
  const auto source = graph.constant(value);
  if (!source || source->element_count() != 1) return std::nullopt;
  switch (source->data_type) {
    case DataType::Float64:
      return materialize(*source).data<double>()[0];
    case DataType::Float32:
    case DataType::Float16:
    case DataType::BFloat16:
      return static_cast<double>(materialize(cast(*source, DataType::Float32)).data<float>()[0]);
    case DataType::Int64:
      return static_cast<double>(materialize(*source).data<std::int64_t>()[0]);
    case DataType::Int32:
      return static_cast<double>(materialize(*source).data<std::int32_t>()[0]);
    default:
      return std::nullopt;
  }
}

bool is_scalar(const GraphEditor& graph, std::string_view value, double expected) {
  const auto number = scalar(graph, value);
  if (!number) return false;
  // A float16 constant is as near as it can be.
  const double tolerance = graph.constant(value)->data_type == DataType::Float16 ? 1e-3 : 1e-6;
  return std::abs(*number - expected) <= tolerance * std::max(1.0, std::abs(expected));
}

std::optional<std::vector<std::int64_t>> integers(const GraphEditor& graph, std::string_view value) {
  const auto source = graph.constant(value);
  if (!source || source->element_count() > kMostElements) return std::nullopt;
  if (source->data_type == DataType::Int64) return to_integers<std::int64_t>(materialize(*source));
  if (source->data_type == DataType::Int32) return to_integers<std::int32_t>(materialize(*source));
  return std::nullopt;
}

std::optional<std::vector<std::int64_t>> axes_of(const GraphEditor& graph, const Node& node) {
  if (onnx::find_attribute(node, "axes") != nullptr) return onnx::integers_attribute(node, "axes");
  return has_input(node, 1) ? integers(graph, node.inputs[1]) : std::vector<std::int64_t>{};
}

std::optional<std::int64_t> vector_size(const GraphEditor& graph, std::string_view value) {
  const auto source = graph.constant(value);
  if (!source || source->shape.size() != 1) return std::nullopt;
  return source->shape[0];
}

std::optional<std::pair<std::string, double>> with_scalar(const GraphEditor& graph, const Node& node) {
  if (node.inputs.size() != 2) return std::nullopt;
  for (const std::size_t index : {std::size_t{1}, std::size_t{0}})
    if (const auto number = scalar(graph, node.inputs[index])) return std::pair(node.inputs[1 - index], *number);
  return std::nullopt;
}

std::optional<Linear> match_linear(const GraphEditor& graph, std::string_view value) {
  if (const auto add = made_by(graph, value, "Add")) {
    const Node& node = graph.node(*add);
    for (const std::size_t index : {std::size_t{0}, std::size_t{1}}) {
      auto linear = match_matmul(graph, node.inputs[index]);
      const auto size = vector_size(graph, node.inputs[1 - index]);
      if (!linear || size != graph.constant(linear->weight)->shape[1]) continue;
      linear->bias = node.inputs[1 - index];
      linear->nodes.push_back(*add);
      return linear;
    }
    return std::nullopt;
  }
  if (auto linear = match_matmul(graph, value)) return linear;
  return match_gemm(graph, value);
}

bool is_closed(const GraphEditor& graph, std::span<const NodeId> inner, std::span<const NodeId> users) {
  const auto contains = [](std::span<const NodeId> nodes, NodeId id) {
    return std::find(nodes.begin(), nodes.end(), id) != nodes.end();
  };
  for (const NodeId id : inner)
    for (const std::string& output : graph.node(id).outputs) {
      if (output.empty()) continue;
      if (graph.is_graph_output(output)) return false;
      for (const NodeId user : graph.consumers(output))
        if (!contains(inner, user) && !contains(users, user)) return false;
    }
  return true;
}

NodeId replace_nodes(GraphEditor& graph, std::span<const NodeId> nodes, Node replacement) {
  for (const NodeId id : nodes)
    if (!graph.is_removed(id)) graph.remove_node(id);
  return graph.add_node(std::move(replacement));
}

std::string name_beside(GraphEditor& graph, const Node& neighbour, std::string_view op_type) {
  const std::size_t slash = neighbour.name.rfind('/');
  const std::string path = slash == std::string::npos ? "" : neighbour.name.substr(0, slash + 1);
  return graph.unique_name(path + std::string(op_type));
}

namespace {

/// The initializer of that name: `array` if there is none yet.
std::string constant_named(GraphEditor& graph, const std::string& name, const Array& array) {
  if (const onnx::Initializer* there = graph.initializer(name)) return there->name;
  return graph.add_initializer(name, from_array(array));
}

}  // namespace

std::string integer_list(GraphEditor& graph, std::vector<std::int64_t> values) {
  std::string name = "/optimization/int64";
  for (const std::int64_t value : values) name += "_" + std::to_string(value);
  return constant_named(graph, name, Array::int64({static_cast<std::int64_t>(values.size())}, values));
}

std::string float_scalar(GraphEditor& graph, float value) {
  std::array<char, 32> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return constant_named(
      graph,
      "/optimization/float32_scalar_" + std::string(digits.data(), static_cast<std::size_t>(end - digits.data())),
      Array::float32({}, {&value, 1}));
}

std::string integer_scalar(GraphEditor& graph, std::int64_t value) {
  return constant_named(graph, "/optimization/int64_scalar_" + std::to_string(value), Array::int64({}, {{value}}));
}

}  // namespace onnxport::optimization
