#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dim.h"
#include "onnx/graph_editor.h"
#include "onnxport/data_type.h"

namespace onnxport::optimization {

/// What is known of a value before the model runs.
struct ValueFacts {
  std::optional<Shape> shape{};
  /// The elements of a small tensor of integers or booleans, as sizes: what shapes are computed from.
  std::optional<std::vector<Dim>> elements{};
  /// The type of `elements`.
  DataType element_type = DataType::Int64;
};

/// Symbolic shapes of a graph's values. Sizes are polynomials over the names of the inputs' dynamic axes, so that those
/// which must be equal compare equal, as in onnxruntime's symbolic_shape_infer.py. Operators that are not known leave
/// their outputs unknown; what is known is certain as far as equal names of axes mean equal sizes.
class ShapeInference {
 public:
  /// Of a graph that has not been edited yet: its nodes stand in the order of execution. `outer`: of the graph around.
  explicit ShapeInference(const onnx::GraphEditor& graph, const ShapeInference* outer = nullptr);

  /// nullptr if nothing is known. Values that edits make keep the facts of those whose names they take.
  const ValueFacts* find(std::string_view value) const;
  const Shape* shape(std::string_view value) const;
  std::optional<std::int64_t> rank(std::string_view value) const;
  /// The last dimension where it is a number.
  std::optional<std::int64_t> last_size(std::string_view value) const;

 private:
  void infer(const onnx::Node& node);

  const onnx::GraphEditor& graph_;
  const ShapeInference* outer_;
  mutable std::map<std::string, std::optional<ValueFacts>, std::less<>> constants_;
  std::map<std::string, ValueFacts, std::less<>> facts_;
  int unknown_count_ = 0;
};

/// "past_sequence_length + sequence_length" as the sum that it says; any other text is a symbol of that name.
Dim parse_dimension(std::string_view text);
/// Whether the size is surely not negative: every term of it has a coefficient that is not.
bool is_non_negative(const Dim& dim);

}  // namespace onnxport::optimization
