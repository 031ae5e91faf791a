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

/// The first axis of the graph's inputs that has this size.
std::optional<Axis> find_axis(const PassContext& context, const Dim& size) {
  for (const onnx::ValueInfo& input : context.graph.inputs()) {
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
    const auto axis = find_axis(context, facts->elements->front());
    if (!axis || reads_axis(graph, node, *axis)) continue;
    const auto add = [&](const char* op_type, std::vector<std::string> inputs,
                         std::vector<onnx::Attribute> attributes) {
      const std::string name = graph.unique_name("/sizes/" + axis->input + "/" + op_type);
      const std::string output = graph.unique_name(name + "_output_0");
      graph.add_node({op_type, "", name, std::move(inputs), {output}, std::move(attributes)});
      return output;
    };
    const std::vector<std::int64_t> index_shape(facts->shape->size(), 1);
    const std::string index = graph.add_initializer("/sizes/" + axis->input + "/axis",
                                                    from_array(Array::int64(index_shape, std::vector{axis->index})));
    const std::string output = node.outputs[0];
    graph.replace_uses(output, add("Gather", {add("Shape", {axis->input}, {}), index}, {{"axis", std::int64_t{0}}}));
    graph.remove_node(id);
    context.journal.done("SizesFromInputs");
  }
}

}  // namespace onnxport::optimization
