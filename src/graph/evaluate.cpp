#include "graph/evaluate.h"

#include <algorithm>

#include "graph/evaluate_context.h"
#include "onnxport/error.h"

namespace onnxport {

Array EvaluateContext::input(std::size_t index) const {
  const ValueId id = node_->inputs[index];
  const Value& value = graph_->value(id);
  if (value.kind == ValueKind::Parameter || value.kind == ValueKind::Constant)
    return materialize(cast(value.source, value.type.data_type));
  return values_[id];
}

const TensorSource* EvaluateContext::weight(std::size_t index) const {
  const Value& value = graph_->value(node_->inputs[index]);
  return value.kind == ValueKind::Parameter ? &value.source : nullptr;
}

Array EvaluateContext::new_output(std::size_t index) const {
  const TensorType& type = output_type(index);
  return Array(type.data_type, sizes(type.shape));
}

void EvaluateContext::output(std::size_t index, Array array) {
  const TensorType& type = output_type(index);
  const std::vector<std::int64_t> expected = sizes(type.shape);
  if (array.data_type() != type.data_type || array.shape() != expected)
    throw Error(ErrorKind::ShapeMismatch, "evaluating " + std::string(node_->op.name()) + " at \"" + node_->scope +
                                              "\" gave " + shape_to_string(array.shape()) + ", inferred was " +
                                              shape_to_string(expected));
  values_[node_->outputs[index]] = std::move(array);
}

DimBindings bind_inputs(const Graph& graph, const NamedArrays& inputs) {
  DimBindings bindings;
  const auto array_of = [&](const Value& value) -> const Array& {
    const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const auto& i) { return i.first == value.name; });
    if (found == inputs.end()) throw Error(ErrorKind::InvalidArgument, "the input \"" + value.name + "\" is missing");
    return found->second;
  };
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const Array& array = array_of(value);
    if (array.data_type() != value.type.data_type || array.shape().size() != value.type.shape.size())
      throw Error(ErrorKind::InvalidArgument,
                  "the input \"" + value.name +
                      "\" has the wrong type or rank: " + std::string(to_string(array.data_type())) +
                      shape_to_string(array.shape()) + ", expected " + to_string(value.type.shape));
    for (std::size_t axis = 0; axis < array.shape().size(); ++axis)
      if (const Dim& dim = value.type.shape[axis]; dim.is_symbol())
        bindings.emplace(dim.to_string(), array.shape()[axis]);
  }
  for (ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const Array& array = array_of(value);
    if (evaluate(value.type.shape, bindings) != array.shape())
      throw Error(ErrorKind::InvalidArgument, "the input \"" + value.name + "\" has the shape " +
                                                  shape_to_string(array.shape()) + ", expected " +
                                                  to_string(value.type.shape));
  }
  return bindings;
}

class Evaluator {
 public:
  Evaluator(const Graph& graph, const NamedArrays& inputs)
      : graph_(graph), bindings_(bind_inputs(graph, inputs)), context_(graph, bindings_) {
    context_.values_.resize(graph.values().size());
    context_.used_ = graph.used_values();
    for (ValueId id : graph.inputs())
      for (const auto& [name, array] : inputs)
        if (name == graph.value(id).name) context_.values_[id] = array;
  }

  NamedArrays run() {
    const std::vector<std::size_t> last_use = last_uses();
    std::size_t index = 0;
    for (const Node& node : graph_.nodes()) {
      context_.node_ = &node;
      if (is_used(node)) node.op.evaluate(context_);
      ++index;
      for (ValueId id : node.inputs)
        if (last_use[id] == index) context_.values_[id] = Array();
    }
    NamedArrays outputs;
    for (const GraphOutput& output : graph_.outputs()) {
      const Value& value = graph_.value(output.value);
      const bool stored = value.kind == ValueKind::Parameter || value.kind == ValueKind::Constant;
      outputs.emplace_back(
          output.name, stored ? materialize(cast(value.source, value.type.data_type)) : context_.values_[output.value]);
    }
    return outputs;
  }

 private:
  bool is_used(const Node& node) const {
    return std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) { return context_.used_[id]; });
  }

  /// 1 + index of the last node that reads a value; 0 where no output depends on it.
  std::vector<std::size_t> last_uses() const {
    std::vector<std::size_t> result(graph_.values().size(), 0);
    const std::size_t end = graph_.nodes().size() + 1;
    for (const GraphOutput& output : graph_.outputs()) result[output.value] = end;
    for (std::size_t i = graph_.nodes().size(); i > 0; --i) {
      const Node& node = graph_.nodes()[i - 1];
      if (!is_used(node)) continue;
      for (ValueId id : node.inputs) result[id] = std::max(result[id], i);
    }
    return result;
  }

  const Graph& graph_;
  DimBindings bindings_;
  EvaluateContext context_;
};

NamedArrays evaluate_graph(const Graph& graph, const NamedArrays& inputs) { return Evaluator(graph, inputs).run(); }

}  // namespace onnxport
