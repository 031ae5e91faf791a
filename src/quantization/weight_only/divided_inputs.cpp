#include "quantization/weight_only/divided_inputs.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "core/tensor_source.h"
#include "onnx/graph_editor.h"

namespace onnxport::quantization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// Names of a product's weight, packed if it is quantized, and of what has the type of the product: the scales, or the
/// weight itself. "" for other nodes.
struct HeldWeight {
  std::string packed;
  std::string scales;
};

HeldWeight held_weight(const GraphEditor& editor, const Node& node) {
  if (node.op_type == "MatMulNBits") return {node.inputs[1], node.inputs[2]};
  if (node.op_type != "MatMul" && node.op_type != "Gemm") return {};
  const std::optional<NodeId> id = editor.producer(node.inputs[1]);
  if (!id || editor.node(*id).op_type != "DequantizeLinear") return {node.inputs[1], node.inputs[1]};
  return {editor.node(*id).inputs[0], editor.node(*id).inputs[1]};
}

std::vector<NodeId> users_of(const GraphEditor& editor, const std::string& value, const DividedInputs& inputs) {
  std::vector<NodeId> users;
  for (const NodeId id : editor.consumers(value)) {
    const Node& node = editor.node(id);
    const std::string packed = held_weight(editor, node).packed;
    if (!packed.empty() && node.inputs[0] == value &&
        std::find(inputs.weights.begin(), inputs.weights.end(), packed) != inputs.weights.end())
      users.push_back(id);
  }
  return users;
}

TensorSource reciprocals(const std::vector<float>& divisors, DataType type) {
  std::vector<float> values;
  for (const float divisor : divisors) values.push_back(1 / divisor);
  return cast(from_array(Array::float32({std::ssize(values)}, values)), type);
}

/// Which inputs of a normalization its output is proportional to.
std::vector<std::size_t> factors_of(const Node& node) {
  const std::string_view type = node.op_type;
  if (type == "LayerNormalization") return {1, 2};
  if (type == "SimplifiedLayerNormalization" || type == "RMSNormalization") return {1};
  if (type == "SkipLayerNormalization") return {2, 3};
  if (type == "SkipSimplifiedLayerNormalization") return {2};
  return {};
}

/// The constant divided, if it has an element for each divisor.
std::optional<TensorSource> divided(const GraphEditor& editor, const std::string& name,
                                    const std::vector<float>& divisors) {
  const std::optional<TensorSource> constant = editor.constant(name);
  if (!constant || constant->element_count() != std::ssize(divisors)) return std::nullopt;
  const Array values = materialize(cast(*constant, DataType::Float32));
  Array result(DataType::Float32, constant->shape);
  for (std::int64_t i = 0; i < values.element_count(); ++i)
    result.mutable_data<float>()[i] = values.data<float>()[i] / divisors[static_cast<std::size_t>(i)];
  return cast(from_array(result), constant->data_type);
}

/// Whether the normalization in front could take the divisors over.
bool divide_by_normalization(GraphEditor& editor, const std::string& value, std::size_t users,
                             const std::vector<float>& divisors) {
  const std::optional<NodeId> id = editor.producer(value);
  if (!id || editor.is_graph_output(value) || editor.consumers(value).size() != users) return false;
  const Node& node = editor.node(*id);
  if (node.outputs.front() != value) return false;
  std::vector<std::pair<std::size_t, TensorSource>> changed;
  for (const std::size_t index : factors_of(node)) {
    if (node.inputs.size() <= index || node.inputs[index].empty()) continue;
    std::optional<TensorSource> factor = divided(editor, node.inputs[index], divisors);
    if (!factor) return false;
    changed.emplace_back(index, std::move(*factor));
  }
  if (changed.empty()) return false;
  for (auto& [index, factor] : changed)
    editor.set_input(*id, index,
                     editor.add_initializer(editor.node(*id).inputs[index] + "_divided", std::move(factor)));
  return true;
}

/// Returns the name of the Mul.
std::string divide_by_multiplication(GraphEditor& editor, const std::string& value, const std::vector<NodeId>& users,
                                     const std::vector<float>& divisors) {
  const auto scales = editor.constant(held_weight(editor, editor.node(users.front())).scales);
  const DataType type = scales ? scales->data_type : DataType::Float32;
  const std::string factors = editor.add_initializer(value + "_reciprocals", reciprocals(divisors, type));
  std::string product = editor.unique_name(value + "_divided");
  for (const NodeId id : users) editor.set_input(id, 0, product);
  std::string name = editor.unique_name(value + "_Mul");
  editor.add_node({.op_type = "Mul",
                   .domain = "",
                   .name = name,
                   .inputs = {value, factors},
                   .outputs = {std::move(product)},
                   .attributes = {}});
  return name;
}

}  // namespace

std::vector<std::string> divide_inputs(onnx::Model& model, std::span<const DividedInputs> inputs, bool folding) {
  std::vector<std::string> added;
  if (inputs.empty()) return added;
  onnx::edit_graphs(model.graph, [&](GraphEditor& editor) {
    for (const DividedInputs& divided : inputs) {
      for (const std::string& value : divided.values) {
        const std::vector<NodeId> users = users_of(editor, value, divided);
        if (users.empty()) continue;
        if (!folding || !divide_by_normalization(editor, value, users.size(), divided.divisors))
          added.push_back(divide_by_multiplication(editor, value, users, divided.divisors));
      }
    }
  });
  return added;
}

}  // namespace onnxport::quantization
