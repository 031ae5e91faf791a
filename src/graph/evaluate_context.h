#pragma once

#include <vector>

#include "graph/graph.h"

namespace onnxport {

/// What an operator sees when it is evaluated: operands as arrays (floating-point ones as float32), sizes bound.
class EvaluateContext {
 public:
  EvaluateContext(const Graph& graph, const DimBindings& bindings) : graph_(&graph), bindings_(&bindings) {}

  std::size_t input_count() const { return node_->inputs.size(); }
  /// An operand. A weight is converted as a whole on each call: operators that read weights row by row use weight().
  Array input(std::size_t index) const;
  /// The operand as a source to read parts of, if it is a parameter; else nullptr.
  const TensorSource* weight(std::size_t index) const;
  const TensorType& output_type(std::size_t index = 0) const { return graph_->value(node_->outputs[index]).type; }
  /// False for an output that nothing depends on, which need not be given.
  bool is_used(std::size_t output) const { return used_[node_->outputs[output]]; }

  std::int64_t size(const Dim& dim) const { return dim.evaluate(*bindings_); }
  std::vector<std::int64_t> sizes(const Shape& shape) const { return onnxport::evaluate(shape, *bindings_); }
  /// A new array of the output's type and bound shape.
  Array new_output(std::size_t index = 0) const;

  void output(Array array) { output(0, std::move(array)); }
  void output(std::size_t index, Array array);

 private:
  friend class Evaluator;
  const Graph* graph_;
  const DimBindings* bindings_;
  const Node* node_ = nullptr;
  std::vector<bool> used_;     ///< by ValueId
  std::vector<Array> values_;  ///< by ValueId; released after the last use
};

}  // namespace onnxport
