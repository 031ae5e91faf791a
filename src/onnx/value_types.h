#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "onnx/model.h"

namespace onnxport::onnx {

/// Element types of a graph's values: what the model states of inputs, outputs and inner values, and what follows from
/// the operators, which ONNX's own shape inference would tell. Values made by operators of other domains than ai.onnx
/// and com.microsoft have no known type, unless the model states it.
class ValueTypes {
 public:
  /// `outer`, which must outlive this object, knows the values of the graph around a subgraph.
  explicit ValueTypes(const Graph& graph, const ValueTypes* outer = nullptr);

  std::optional<DataType> find(std::string_view value) const;
  /// For a value that is added to the graph.
  void set(const std::string& value, DataType type) { types_[value] = type; }

 private:
  void infer(const Node& node);

  const ValueTypes* outer_;
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, DataType, Hash, std::equal_to<>> types_;
};

}  // namespace onnxport::onnx
