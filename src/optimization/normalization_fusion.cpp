#include <array>
#include <optional>
#include <string>
#include <utility>

#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// Whether the node reduces the last axis alone and keeps it.
bool reduces_last_axis(const PassContext& context, const Node& node) {
  const auto axes = axes_of(context.graph, node);
  if (!axes || axes->size() != 1 || onnx::integer_attribute(node, "keepdims", 1) == 0) return false;
  const auto rank = context.shapes.rank(node.inputs[0]);
  return axes->front() == -1 || (rank && axes->front() == *rank - 1);
}

/// Whether the axis of a LayerNormalization is the last one.
bool normalizes_last_axis(const PassContext& context, const Node& node) {
  const std::int64_t axis = onnx::integer_attribute(node, "axis", -1);
  const auto rank = context.shapes.rank(node.inputs[0]);
  return axis == -1 || (rank && axis == *rank - 1);
}

/// Sqrt(Add(ReduceMean(square), epsilon)), where square is that of `x`.
struct Deviation {
  float epsilon = 0;
  std::vector<NodeId> nodes;
};

std::optional<Deviation> match_deviation(const PassContext& context, const std::string& value, const std::string& x) {
  const GraphEditor& graph = context.graph;
  const auto root = made_by(graph, value, "Sqrt");
  const auto add = root ? made_by(graph, graph.node(*root).inputs[0], "Add") : std::nullopt;
  const auto variance = add ? with_scalar(graph, graph.node(*add)) : std::nullopt;
  const auto mean = variance ? made_by(graph, variance->first, "ReduceMean") : std::nullopt;
  if (!mean || !reduces_last_axis(context, graph.node(*mean))) return std::nullopt;
  const auto square = graph.producer(graph.node(*mean).inputs[0]);
  if (!square) return std::nullopt;
  const Node& node = graph.node(*square);
  const bool is_power = is_operator(node, "Pow") && node.inputs[0] == x && is_scalar(graph, node.inputs[1], 2);
  const bool is_product = is_operator(node, "Mul") && node.inputs[0] == x && node.inputs[1] == x;
  if (!is_power && !is_product) return std::nullopt;
  return Deviation{static_cast<float>(variance->second), {*root, *add, *mean, *square}};
}

/// The only user of `value` if it is that operator with a vector of `size` elements (any if unknown) beside it.
struct VectorOperand {
  NodeId id;
  std::string vector;
};

std::optional<VectorOperand> followed_by(const PassContext& context, const std::string& value, std::string_view op) {
  const GraphEditor& graph = context.graph;
  const auto id = only_user(graph, value);
  if (!id || !is_operator(graph.node(*id), op)) return std::nullopt;
  const Node& node = graph.node(*id);
  const std::string& other = node.inputs[0] == value ? node.inputs[1] : node.inputs[0];
  const auto size = vector_size(graph, other);
  const auto last = context.shapes.last_size(value);
  if (!size || (last && *last != *size) || (!last && *size == 1)) return std::nullopt;
  return VectorOperand{*id, other};
}

std::vector<onnx::Attribute> normalization_attributes(float epsilon) {
  return {{"axis", std::int64_t{-1}}, {"epsilon", epsilon}};
}

}  // namespace

/// Of opsets before 17, where LayerNormalization is made of (x - mean) / sqrt(variance + epsilon) * weight + bias.
/// ONNX Runtime knows the fused operator by ONNX's name in every opset.
void fuse_layer_normalization(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId div : nodes_of(graph, "Div")) {
    if (graph.is_removed(div)) continue;
    const std::string centered = graph.node(div).inputs[0];
    const auto sub = made_by(graph, centered, "Sub");
    if (!sub) continue;
    const std::string x = graph.node(*sub).inputs[0];
    const auto mean = made_by(graph, graph.node(*sub).inputs[1], "ReduceMean");
    if (!mean || graph.node(*mean).inputs[0] != x) continue;
    auto deviation = match_deviation(context, graph.node(div).inputs[1], centered);
    // torch computes the difference twice.
    std::optional<NodeId> twin;
    if (!deviation) {
      for (const NodeId other : graph.consumers(x)) {
        const Node& candidate = graph.node(other);
        if (other == *sub || !is_operator(candidate, "Sub") || candidate.inputs != graph.node(*sub).inputs) continue;
        deviation = match_deviation(context, graph.node(div).inputs[1], candidate.outputs[0]);
        twin = other;
      }
    }
    if (!deviation) continue;
    const Node& last = graph.node(div);
    if (!reduces_last_axis(context, graph.node(*mean))) {
      context.journal.left("LayerNormalization", last, "it does not normalise the last axis");
      continue;
    }
    const auto weight = followed_by(context, last.outputs[0], "Mul");
    if (!weight) {
      context.journal.left("LayerNormalization", last, "no weight of one dimension follows");
      continue;
    }
    std::vector<NodeId> inner{*sub, *mean, div};
    if (twin) inner.push_back(*twin);
    inner.insert(inner.end(), deviation->nodes.begin(), deviation->nodes.end());
    const auto bias = followed_by(context, graph.node(weight->id).outputs[0], "Add");
    const NodeId end = bias ? bias->id : weight->id;
    if (!is_closed(graph, inner, std::array{weight->id})) {
      context.journal.left("LayerNormalization", last, "a value inside is used elsewhere");
      continue;
    }
    Node fused{.op_type = "LayerNormalization",
               .domain = "",
               .name = name_beside(graph, last, "LayerNormalization"),
               .inputs = {x, weight->vector},
               .outputs = {graph.node(end).outputs[0]},
               .attributes = normalization_attributes(deviation->epsilon)};
    if (bias) fused.inputs.push_back(bias->vector);
    inner.push_back(weight->id);
    inner.push_back(end);
    replace_nodes(graph, inner, std::move(fused));
    context.journal.done("LayerNormalization");
  }
}

/// x / sqrt(mean(x * x) + epsilon) * weight, of Llama and T5.
void fuse_simplified_layer_normalization(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId root : nodes_of(graph, "Sqrt")) {
    if (graph.is_removed(root)) continue;
    const std::string deviation_value = graph.node(root).outputs[0];
    const auto user = only_user(graph, deviation_value);
    if (!user) continue;
    // x / sqrt, or x * (1 / sqrt).
    std::optional<NodeId> product;
    std::vector<NodeId> inner;
    std::string x;
    const Node& next = graph.node(*user);
    if (is_operator(next, "Reciprocal") ||
        (is_operator(next, "Div") && next.inputs[1] == deviation_value && is_scalar(graph, next.inputs[0], 1))) {
      product = only_user(graph, next.outputs[0]);
      if (!product || !is_operator(graph.node(*product), "Mul")) continue;
      const Node& node = graph.node(*product);
      x = node.inputs[0] == next.outputs[0] ? node.inputs[1] : node.inputs[0];
      inner = {*user, *product};
    } else if (is_operator(next, "Div") && next.inputs[1] == deviation_value) {
      product = user;
      x = next.inputs[0];
      inner = {*user};
    } else {
      continue;
    }
    const auto deviation = match_deviation(context, deviation_value, x);
    if (!deviation) continue;
    const Node& last = graph.node(*product);
    const auto weight = followed_by(context, last.outputs[0], "Mul");
    if (!weight) {
      context.journal.left("SimplifiedLayerNormalization", last, "no weight of one dimension follows");
      continue;
    }
    inner.insert(inner.end(), deviation->nodes.begin(), deviation->nodes.end());
    if (!is_closed(graph, inner, std::array{weight->id})) {
      context.journal.left("SimplifiedLayerNormalization", last, "a value inside is used elsewhere");
      continue;
    }
    Node fused{.op_type = "SimplifiedLayerNormalization",
               .domain = "",
               .name = name_beside(graph, last, "SimplifiedLayerNormalization"),
               .inputs = {x, weight->vector},
               .outputs = {graph.node(weight->id).outputs[0]},
               .attributes = normalization_attributes(deviation->epsilon)};
    fused.attributes.push_back({"stash_type", std::int64_t{1}});
    inner.push_back(weight->id);
    replace_nodes(graph, inner, std::move(fused));
    context.journal.done("SimplifiedLayerNormalization");
  }
}

namespace {

/// One operand of the Add, without the bias of the linear layer that makes it.
struct Unbiased {
  std::string value;
  std::string bias;
  NodeId add = 0;
};

std::optional<Unbiased> without_bias(const PassContext& context, const std::string& value) {
  const GraphEditor& graph = context.graph;
  const auto add = made_by(graph, value, "Add");
  if (context.config.disable_bias_skip_layer_norm_fusion || !add || !graph.has_single_use(value)) return std::nullopt;
  const Node& node = graph.node(*add);
  for (const std::size_t index : {std::size_t{0}, std::size_t{1}}) {
    const auto size = vector_size(graph, node.inputs[1 - index]);
    if (made_by(graph, node.inputs[index], "MatMul") && size && context.shapes.last_size(value) == size)
      return Unbiased{node.inputs[index], node.inputs[1 - index], *add};
  }
  return std::nullopt;
}

void fuse_skip(PassContext& context, NodeId id, std::string_view fused_type, bool has_beta) {
  GraphEditor& graph = context.graph;
  const Node& norm = graph.node(id);
  const auto add = made_by(graph, norm.inputs[0], "Add");
  if (!add || !has_one_output(norm) || graph.node(*add).inputs.size() != 2) return;
  const std::vector<std::string> operands = graph.node(*add).inputs;
  // Not the sum of embeddings and positions.
  if (graph.constant(operands[0]) || graph.constant(operands[1])) return;
  const auto refuse = [&](const char* reason) { context.journal.left(fused_type, norm, reason); };
  if (!normalizes_last_axis(context, norm)) return refuse("it does not normalise the last axis");
  const Shape* first = context.shapes.shape(operands[0]);
  const Shape* second = context.shapes.shape(operands[1]);
  if (first == nullptr || second == nullptr) return refuse("the shapes of the summands are not known");
  if (!(*first == *second)) return refuse("the summands differ in shape");
  if (first->size() != 3) return refuse("the sum does not have three dimensions");
  if (!vector_size(graph, input_of(norm, 1))) return refuse("the weight is no constant of one dimension");

  std::string input = operands[0];
  std::string skip = operands[1];
  std::string bias;
  std::vector<NodeId> nodes{*add, id};
  for (const std::size_t index : {std::size_t{0}, std::size_t{1}})
    if (const auto plain = without_bias(context, operands[index])) {
      input = plain->value;
      skip = operands[1 - index];
      bias = plain->bias;
      nodes.push_back(plain->add);
      break;
    }
  const std::string sum = graph.node(*add).outputs[0];
  const bool keeps_sum = !graph.has_single_use(sum);
  Node fused{.op_type = std::string(fused_type),
             .domain = std::string(kMicrosoft),
             .name = name_beside(graph, norm, fused_type),
             .inputs = {input, skip, norm.inputs[1]},
             .outputs = {norm.outputs[0]},
             .attributes = {{"epsilon", onnx::float_attribute(norm, "epsilon", 1e-5F)}}};
  if (has_beta) fused.inputs.push_back(input_of(norm, 2));
  if (!bias.empty()) fused.inputs.push_back(bias);
  while (fused.inputs.back().empty()) fused.inputs.pop_back();
  if (keeps_sum) fused.outputs.insert(fused.outputs.end(), {"", "", sum});
  replace_nodes(graph, nodes, std::move(fused));
  context.journal.done(fused_type);
}

}  // namespace

void fuse_skip_layer_normalization(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId id : nodes_of(graph, "LayerNormalization")) fuse_skip(context, id, "SkipLayerNormalization", true);
  for (const char* name : {"SimplifiedLayerNormalization", "RMSNormalization"})
    for (const NodeId id : nodes_of(graph, name)) fuse_skip(context, id, "SkipSimplifiedLayerNormalization", false);
}

}  // namespace onnxport::optimization
