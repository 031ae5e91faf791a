#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnx/graph_editor.h"

/// What passes ask of a graph.
namespace onnxport::optimization {

inline constexpr std::string_view kMicrosoft = "com.microsoft";

/// Whether the node is that operator; domain "" is ai.onnx under both of its names.
bool is_operator(const onnx::Node& node, std::string_view op_type, std::string_view domain = {});
/// The node that makes the value, if it is that operator.
std::optional<onnx::NodeId> made_by(const onnx::GraphEditor& graph, std::string_view value, std::string_view op_type,
                                    std::string_view domain = {});
/// All nodes of an operator.
std::vector<onnx::NodeId> nodes_of(const onnx::GraphEditor& graph, std::string_view op_type,
                                   std::string_view domain = {});
/// The only node that uses the value, if it is used once and no output of the graph.
std::optional<onnx::NodeId> only_user(const onnx::GraphEditor& graph, std::string_view value);

/// Whether the value is computed from one of `sources`, or is one.
bool depends_on(const onnx::GraphEditor& graph, const std::string& value, const std::vector<std::string>& sources);

/// Input `index`, "" if it is left out.
const std::string& input_of(const onnx::Node& node, std::size_t index);
bool has_input(const onnx::Node& node, std::size_t index);
/// Whether the node has one output in use, its first.
bool has_one_output(const onnx::Node& node);

/// A constant of one element as a number, whatever its type and rank.
std::optional<double> scalar(const onnx::GraphEditor& graph, std::string_view value);
/// Whether the value is a scalar constant, equal within float32's precision.
bool is_scalar(const onnx::GraphEditor& graph, std::string_view value, double expected);
/// A small constant of int64 or int32.
std::optional<std::vector<std::int64_t>> integers(const onnx::GraphEditor& graph, std::string_view value);
/// The axes of a reduction or Unsqueeze: an attribute, or input 1 in later opsets. nullopt if they are not constant.
std::optional<std::vector<std::int64_t>> axes_of(const onnx::GraphEditor& graph, const onnx::Node& node);
/// A constant of rank 1, as weights and biases of normalizations are: its length.
std::optional<std::int64_t> vector_size(const onnx::GraphEditor& graph, std::string_view value);

/// Of a node with two inputs of which one is a scalar constant: the other input, and the number.
std::optional<std::pair<std::string, double>> with_scalar(const onnx::GraphEditor& graph, const onnx::Node& node);

/// A linear layer: Add(MatMul(x, W), b), MatMul(x, W), or Gemm, also between two Reshapes.
struct Linear {
  std::string x;            ///< of any rank, features last
  std::string weight;       ///< a constant of rank 2
  bool transposed = false;  ///< weight is (out, in), as in a checkpoint; else (in, out)
  std::string bias;         ///< a constant of rank 1, or ""
  std::vector<onnx::NodeId> nodes;
};
/// The linear layer that makes the value. A Gemm's value may be its result of rank 2.
std::optional<Linear> match_linear(const onnx::GraphEditor& graph, std::string_view value);

/// Whether nothing but these nodes uses what the inner ones make; outputs of the graph are used outside.
bool is_closed(const onnx::GraphEditor& graph, std::span<const onnx::NodeId> inner,
               std::span<const onnx::NodeId> users);
/// Puts one node in the place of several.
onnx::NodeId replace_nodes(onnx::GraphEditor& graph, std::span<const onnx::NodeId> nodes, onnx::Node replacement);
/// A name for a new node that stands beside `neighbour`: its path with another operator.
std::string name_beside(onnx::GraphEditor& graph, const onnx::Node& neighbour, std::string_view op_type);

/// A constant list of integers, one initializer for each list in a graph.
std::string integer_list(onnx::GraphEditor& graph, std::vector<std::int64_t> values);
/// The same of a float32 scalar.
std::string float_scalar(onnx::GraphEditor& graph, float value);
/// The same of an int64 scalar.
std::string integer_scalar(onnx::GraphEditor& graph, std::int64_t value);

}  // namespace onnxport::optimization
