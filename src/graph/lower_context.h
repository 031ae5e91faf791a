#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "onnx/model.h"

namespace onnxport {

/// Of ONNX Runtime's own operators.
inline constexpr std::string_view contrib_domain = "com.microsoft";

/// What the ONNX file is for.
struct Target {
  int opset = 18;
  DataType data_type = DataType::Float32;  ///< Float32, Float16 or BFloat16
  /// Type that weights and constants are rounded to before they become data_type.
  std::optional<DataType> rounding{};
  bool contrib_operators = false;   ///< ONNX Runtime's own operators may be used, of the com.microsoft domain
  bool gelu_approximation = false;  ///< Gelu by tanh
  bool keep_io_types = false;       ///< inputs and outputs stay float32 whatever data_type is
};

/// What an operator sees when it is lowered: its operands as ONNX value names, and the means to emit nodes.
class LowerContext {
 public:
  virtual ~LowerContext() = default;

  const Target& target() const { return target_; }

  std::size_t input_count() const { return node_->inputs.size(); }
  /// ONNX name of an operand.
  std::string input(std::size_t index) { return value_name(node_->inputs[index]); }
  const TensorType& input_type(std::size_t index) const { return graph_->value(node_->inputs[index]).type; }
  const TensorType& output_type(std::size_t index = 0) const { return graph_->value(node_->outputs[index]).type; }

  /// False for an output that nothing depends on, which need not be given.
  bool is_used(std::size_t output) const { return used_[node_->outputs[output]]; }

  /// Emits a node and gives its outputs' names. A node equal to an earlier one gives that one's outputs, and
  /// transpositions of transpositions are merged; nodes without use are dropped in the end.
  virtual std::vector<std::string> emit_outputs(std::string_view op_type, std::span<const std::string> inputs,
                                                std::vector<onnx::Attribute> attributes, std::size_t output_count,
                                                std::string_view domain = {}) = 0;
  std::string emit(std::string_view op_type, std::vector<std::string> inputs,
                   std::vector<onnx::Attribute> attributes = {}, std::string_view domain = {}) {
    return emit_outputs(op_type, inputs, std::move(attributes), 1, domain).front();
  }

  /// States which ONNX value is the operator's result.
  void output(std::string name) { output(0, std::move(name)); }
  virtual void output(std::size_t index, std::string name) = 0;

  /// Constants; equal ones are stored once. Float32 arrays are written in the target's type unless `exact`.
  virtual std::string constant(const Array& value, bool exact = false) = 0;
  std::string scalar(float value);
  std::string int64_scalar(std::int64_t value);
  std::string int64s(std::span<const std::int64_t> values);
  std::string int64s(std::initializer_list<std::int64_t> values) {
    return int64s(std::span<const std::int64_t>(values.begin(), values.size()));
  }

  /// A 1-D int64 tensor that holds the sizes: a constant where all are known, else computed from the inputs' shapes.
  virtual std::string shape(const Shape& shape) = 0;
  /// Reshape of `name` from one shape to another, by constants, 0 and -1 where these suffice. Reshapes of reshapes are
  /// merged.
  virtual std::string reshape(const std::string& name, const Shape& from, const Shape& to) = 0;
  std::string transpose(const std::string& name, std::vector<std::int64_t> permutation);
  /// Whether transpose() with this permutation gives back what an earlier one has turned, and emits nothing.
  virtual bool is_undone_by(const std::string& name, std::span<const std::int64_t> permutation) const = 0;

  // ---- What fused operators are made of -----------------------------------------------------------------------------

  /// The operands of the addition that makes an operand, where both have the operand's own shape.
  virtual std::optional<std::pair<std::string, std::string>> summands(std::size_t index) = 0;
  /// Whether another node than this one uses the operand, or the graph gives it out.
  virtual bool is_used_elsewhere(std::size_t index) const = 0;
  /// States which ONNX value the operand is for nodes that are lowered after this one.
  virtual void replace_input(std::size_t index, std::string name) = 0;
  /// Leaves an output of an emitted node out, if nothing uses it.
  virtual void leave_out(const std::string& name) = 0;
  std::string cast(const std::string& name, DataType type);

 protected:
  LowerContext(const Graph& graph, Target target) : graph_(&graph), target_(target), used_(graph.used_values()) {}
  virtual std::string value_name(ValueId id) = 0;

  const Graph* graph_;
  const Node* node_ = nullptr;
  Target target_;
  std::vector<bool> used_;  ///< by ValueId
};

}  // namespace onnxport
