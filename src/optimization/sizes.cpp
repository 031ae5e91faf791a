#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor_source.h"
#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

struct Axis {
  std::string input;
  std::int64_t index = 0;
};

/// The first axis of the model's inputs that has this size.
std::optional<Axis> find_axis(const PassContext& context, const Dim& size) {
  for (const onnx::ValueInfo& input : context.model_inputs) {
    const Shape* shape = context.shapes.shape(input.name);
    if (shape == nullptr) continue;
    for (std::size_t i = 0; i < shape->size(); ++i)
      if ((*shape)[i] == size) return Axis{input.name, static_cast<std::int64_t>(i)};
  }
  return std::nullopt;
}

/// Gather(Shape(input), index).
bool reads_axis(const GraphEditor& graph, const Node& node, const Axis& axis) {
  if (!is_operator(node, "Gather")) return false;
  const auto shape = made_by(graph, node.inputs[0], "Shape");
  return shape && graph.node(*shape).inputs[0] == axis.input && graph.node(*shape).attributes.empty() &&
         integers(graph, node.inputs[1]) == std::vector<std::int64_t>{axis.index};
}

/// The axes whose sizes add up to `size`; empty if there are none.
std::vector<Axis> find_axes(const PassContext& context, const Dim& size) {
  if (const auto axis = find_axis(context, size)) return {*axis};
  std::vector<Axis> axes;
  for (const Dim::Term& term : size.terms()) {
    const bool is_symbol = term.coefficient == 1 && term.atoms.size() == 1 && term.atoms.front().division == nullptr;
    const auto axis = is_symbol ? find_axis(context, Dim::symbol(term.atoms.front().text)) : std::nullopt;
    if (!axis) return {};
    axes.push_back(*axis);
  }
  return axes;
}

}  // namespace

void read_sizes_from_inputs(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (!node.domain.empty() || node.outputs.size() != 1 || graph.is_graph_output(node.outputs[0])) continue;
    const ValueFacts* facts = context.shapes.find(node.outputs[0]);
    if (facts == nullptr || !facts->elements || facts->elements->size() != 1 || !facts->shape ||
        facts->shape->size() > 1 || facts->element_type != DataType::Int64 || facts->elements->front().is_constant())
      continue;
    const std::vector<Axis> axes = find_axes(context, facts->elements->front());
    if (axes.empty() || (axes.size() == 1 && reads_axis(graph, node, axes.front()))) continue;
    // A sum is worth it where it frees a value inside from being asked for its shape.
    if (axes.size() > 1 && !(is_operator(node, "Gather") && made_by(graph, node.inputs[0], "Shape"))) continue;
    const auto add = [&](const Axis& axis, const char* op_type, std::vector<std::string> inputs,
                         std::vector<onnx::Attribute> attributes) {
      const std::string name = graph.unique_name("/sizes/" + axis.input + "/" + op_type);
      const std::string output = graph.unique_name(name + "_output_0");
      graph.add_node({op_type, "", name, std::move(inputs), {output}, std::move(attributes)});
      return output;
    };
    const std::vector<std::int64_t> index_shape(facts->shape->size(), 1);
    std::string sum;
    for (const Axis& axis : axes) {
      const std::string index = graph.add_initializer("/sizes/" + axis.input + "/axis",
                                                      from_array(Array::int64(index_shape, std::vector{axis.index})));
      const std::string size =
          add(axis, "Gather", {add(axis, "Shape", {axis.input}, {}), index}, {{"axis", std::int64_t{0}}});
      sum = sum.empty() ? size : add(axis, "Add", {sum, size}, {});
    }
    graph.replace_uses(node.outputs[0], sum);
    graph.remove_node(id);
    context.journal.done("SizesFromInputs");
  }
}

}  // namespace onnxport::optimization
