#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor_source.h"
#include "graph/operator.h"
#include "onnxport/array.h"

namespace onnxport {

class Graph;
using ValueId = std::uint32_t;

/// A handle to a value of a graph: cheap to copy, valid as long as the graph lives. Arithmetic on it builds nodes.
class Tensor {
 public:
  Tensor(Graph& graph, ValueId id) : graph_(&graph), id_(id) {}

  Graph& graph() const { return *graph_; }
  ValueId id() const { return id_; }
  const TensorType& type() const;
  DataType data_type() const { return type().data_type; }
  const Shape& shape() const { return type().shape; }
  int rank() const { return static_cast<int>(shape().size()); }
  /// Size of an axis; negative axes count from the end. Throws Error(ShapeMismatch) when there is no such axis.
  const Dim& dim(int axis) const;

 private:
  Graph* graph_;
  ValueId id_;
};

enum class ValueKind { Input, Parameter, Constant, Computed };

struct Value {
  ValueKind kind = ValueKind::Computed;
  TensorType type;
  std::string name;     ///< of an input or parameter; empty for others
  TensorSource source;  ///< elements of a parameter or constant
};

struct Node {
  Operator op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::string scope;  ///< "encoder.layer.0.attention.self": where in the model it stands, for the names in ONNX
};

struct GraphOutput {
  std::string name;
  ValueId value = 0;
  /// The shape to declare, where the contract's axis names differ from the inferred ones.
  Shape declared_shape;
};

/// Values of a model by what they are called together, in the order of its layers.
using Series = std::map<std::string, std::vector<ValueId>, std::less<>>;

/// A model as high-level operators in the order of execution. Shapes are checked when a node is added.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;  // tensors point to their graph
  Graph& operator=(const Graph&) = delete;

  Tensor add_input(std::string_view name, TensorType type);
  /// A weight; adding a name again gives the tensor of the first time.
  Tensor add_parameter(std::string_view name, TensorSource source);
  /// A small tensor that is part of the definition (Float32 follows the model's type).
  Tensor add_constant(const Array& value);
  Tensor add_scalar(DataType type, double value);

  /// Appends a node; throws Error(ShapeMismatch) that names the operator, its scope and the operands' shapes.
  std::vector<Tensor> add_node(Operator op, std::span<const Tensor> inputs);
  /// Appends a node that has one output.
  Tensor add(Operator op, std::initializer_list<Tensor> inputs);
  Tensor add(Operator op, std::span<const Tensor> inputs);

  void add_output(std::string_view name, Tensor tensor);
  void add_output(std::string_view name, Tensor tensor, Shape declared_shape);
  void clear_outputs() { outputs_.clear(); }

  /// Remembers a value that is one of a series, layer by layer ("hidden_states", "attentions"): what may be made an
  /// output. Nothing is computed for its sake unless it is.
  void record(std::string_view series, Tensor tensor);
  /// Gives a series another name, as those of an encoder have beside a decoder's.
  void rename_series(std::string_view from, std::string_view to);
  const Series& series() const { return series_; }

  /// By ValueId: whether an output depends on the value.
  std::vector<bool> used_values() const;

  /// States that the model takes this size only of an axis that is declared dynamic: what it is validated on.
  void assume(std::string_view symbol, std::int64_t size) {
    assumed_sizes_.insert_or_assign(std::string(symbol), size);
  }
  const DimBindings& assumed_sizes() const { return assumed_sizes_; }

  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<GraphOutput>& outputs() const { return outputs_; }
  const std::deque<Value>& values() const { return values_; }
  const std::deque<Node>& nodes() const { return nodes_; }
  const Value& value(ValueId id) const { return values_[id]; }

  const std::string& scope() const { return scope_; }
  void set_scope(std::string scope) { scope_ = std::move(scope); }

  /// One line a node: "encoder.layer.0  %12 (batch_size, sequence_length, 64) = linear(%3, query.weight, query.bias)".
  std::string to_string() const;

 private:
  ValueId add_value(Value value);

  std::deque<Value> values_;  // deque: references stay valid while the graph grows
  std::deque<Node> nodes_;
  std::vector<ValueId> inputs_;
  std::vector<GraphOutput> outputs_;
  Series series_;
  std::map<std::string, ValueId, std::less<>> parameters_;
  std::map<std::pair<DataType, double>, ValueId> scalars_;
  DimBindings assumed_sizes_;
  std::string scope_;
};

/// Nodes added during its life get this scope.
class ScopeGuard {
 public:
  ScopeGuard(Graph& graph, std::string scope) : graph_(graph), previous_(graph.scope()) {
    graph_.set_scope(std::move(scope));
  }
  ~ScopeGuard() { graph_.set_scope(std::move(previous_)); }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

 private:
  Graph& graph_;
  std::string previous_;
};

}  // namespace onnxport
