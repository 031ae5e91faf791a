#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/tensor_source.h"
#include "optimization/attention_match.h"
#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// Gives the node's output.
std::string add_beside(PassContext& context, const Node& neighbour, const char* op_type,
                       std::vector<std::string> inputs, std::vector<onnx::Attribute> attributes) {
  const std::string name = name_beside(context.graph, neighbour, std::string("Mask") + op_type);
  const std::string output = context.graph.unique_name(name + "_output_0");
  context.graph.add_node({op_type, "", name, std::move(inputs), {output}, std::move(attributes)});
  return output;
}

/// The bias in the shape that the operators want, (batch or 1, heads or 1, length, total length). `bias` has that of
/// the pattern's.
std::string full_bias(PassContext& context, const AttentionPattern& pattern, const std::string& bias,
                      std::string& reason) {
  GraphEditor& graph = context.graph;
  const Shape* shape = context.shapes.shape(pattern.bias);
  const Shape* scores = context.shapes.shape(graph.node(pattern.inner.front()).inputs[0]);
  if (shape == nullptr || scores == nullptr || scores->size() != 4) {
    reason = "the shape of the mask is not known";
    return "";
  }
  if (shape->size() != 4) {
    reason = "the mask does not have four dimensions";
    return "";
  }
  const auto is_one_or = [](const Dim& size, const Dim& full) { return size == Dim(1) || size == full; };
  if (!is_one_or((*shape)[0], pattern.batch) || !is_one_or((*shape)[1], Dim(pattern.heads)) ||
      !((*shape)[3] == (*scores)[3])) {
    reason = "the mask's shape " + to_string(*shape) + " does not fit the scores' " + to_string(*scores);
    return "";
  }
  if ((*shape)[2] == pattern.length) return bias;
  if (!((*shape)[2] == Dim(1))) {
    reason = "the mask's shape " + to_string(*shape) + " does not fit the scores' " + to_string(*scores);
    return "";
  }
  // One for all layers: equal nodes are merged afterwards.
  const Node& neighbour = graph.node(pattern.last);
  const auto add = [&](const char* op, std::vector<std::string> inputs, std::vector<onnx::Attribute> attributes) {
    return add_beside(context, neighbour, op, std::move(inputs), std::move(attributes));
  };
  const bool is_split = !pattern.query.split.empty();
  const std::string all = add("Shape", {is_split ? pattern.query.split : pattern.query.whole}, {});
  const std::string length = add("Gather", {all, integer_list(graph, {is_split ? 1 : 2})}, {{"axis", std::int64_t{0}}});
  const std::string one = integer_list(graph, {1});
  const std::string target = add("Concat", {one, one, length, one}, {{"axis", std::int64_t{0}}});
  return add("Expand", {bias, target}, {});
}

/// (batch, length, heads * size) of query, key or value.
std::string merged_heads(PassContext& context, const AttentionHeads& heads, const Node& neighbour) {
  GraphEditor& graph = context.graph;
  if (!heads.merged.empty() && context.shapes.rank(heads.merged) == 3) {
    const Shape* merged = context.shapes.shape(heads.merged);
    const Shape* split = context.shapes.shape(heads.split);
    if (split != nullptr && (*merged)[1] == (*split)[1] && merged->back() == (*split)[2] * (*split)[3])
      return heads.merged;
  }
  const auto add = [&](const char* op, std::vector<std::string> inputs, std::vector<onnx::Attribute> attributes = {}) {
    const std::string name = name_beside(graph, neighbour, std::string("MergeHeads") + op);
    const std::string output = graph.unique_name(name + "_output_0");
    graph.add_node({op, "", name, std::move(inputs), {output}, std::move(attributes)});
    return output;
  };
  std::string split = heads.split;
  if (split.empty()) split = add("Transpose", {heads.whole}, {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
  return add("Reshape", {split, integer_list(graph, {0, 0, -1})});
}

/// The projections to query, key and value as one weight (in, 3 * out) and one bias.
struct Packed {
  std::string x;
  std::string weight;
  std::string bias;
};

std::optional<Packed> pack(PassContext& context, const AttentionPattern& pattern) {
  GraphEditor& graph = context.graph;
  std::vector<Linear> layers;
  for (const AttentionHeads* heads : {&pattern.query, &pattern.key, &pattern.value}) {
    if (heads->merged.empty()) return std::nullopt;
    auto linear = match_linear(graph, heads->merged);
    if (!linear) return std::nullopt;
    layers.push_back(std::move(*linear));
  }
  const std::int64_t width = pattern.heads * pattern.size;
  std::vector<TensorSource> weights;
  std::vector<TensorSource> biases;
  for (const Linear& layer : layers) {
    TensorSource weight = *graph.constant(layer.weight);
    const bool is_shared = graph.consumers(layer.weight).size() > 1;
    if (layer.x != layers[0].x || context.shapes.rank(layer.x) != 3 || is_shared) return std::nullopt;
    if (weight.data_type != DataType::Float32 || weight.shape[layer.transposed ? 0 : 1] != width) return std::nullopt;
    weights.push_back(layer.transposed ? transpose(std::move(weight), {1, 0}) : std::move(weight));
    biases.push_back(layer.bias.empty() ? from_array(Array::float32(
                                              {width}, std::vector<float>(static_cast<std::size_t>(width), 0.0F)))
                                        : *graph.constant(layer.bias));
  }
  GraphEditor& home = graph.initializer(layers[0].weight) != nullptr ? graph.home_of(layers[0].weight) : graph;
  return Packed{layers[0].x, home.add_initializer(layers[0].weight + "_qkv", concat(std::move(weights), 1)),
                home.add_initializer((layers[0].bias.empty() ? layers[0].weight + "_bias" : layers[0].bias) + "_qkv",
                                     concat(std::move(biases), 0))};
}

/// Whether keys and values have the heads that the query has, and the result their width.
bool has_expected_shapes(const PassContext& context, const AttentionPattern& pattern, bool is_whole,
                         std::string& reason) {
  const Shape* result = context.shapes.shape(context.graph.node(pattern.last).outputs[0]);
  const Shape* key = context.shapes.shape(is_whole ? pattern.key.whole : pattern.key.split);
  const Shape* value = context.shapes.shape(is_whole ? pattern.value.whole : pattern.value.split);
  const std::size_t heads = is_whole ? 1 : 2;
  const std::size_t length = is_whole ? 2 : 1;
  const auto has_heads = [&](const Shape* shape) {
    return shape != nullptr && shape->size() == 4 && (*shape)[heads] == Dim(pattern.heads) &&
           (*shape)[3] == Dim(pattern.size);
  };
  if (result == nullptr || result->empty() || !(result->back() == Dim(pattern.heads * pattern.size)) ||
      !has_heads(value)) {
    reason = "values have another size than queries, or are not split into heads";
    return false;
  }
  if (!has_heads(key) || !((*key)[length] == (*value)[length])) {
    reason = "keys have another number or size of heads, or are not split into heads";
    return false;
  }
  if (!((*key)[0] == pattern.batch) || !((*value)[0] == pattern.batch)) {
    reason = "keys or values are those of another batch than queries";
    return false;
  }
  return true;
}

/// A bias without -inf, and what makes the rows zero that were masked as a whole.
struct FiniteBias {
  std::string bias;
  std::string row_factor;  ///< (batch or 1, length or 1, 1), 0 in those rows and 1 elsewhere; "" if there are none
};

/// The choice between 0 and -inf becomes one between 0 and float32's lowest number: rows that are masked as a whole get
/// the mean of the values and no NaN; all other weights stay what they are, as exp() of either is 0.
std::optional<FiniteBias> make_finite(PassContext& context, const AttentionPattern& pattern, std::string& reason) {
  GraphEditor& graph = context.graph;
  if (pattern.bias.empty()) return FiniteBias{};
  reason = "rows that are masked as a whole become zero, and the mask is no choice between 0 and -inf";
  const auto choice = made_by(graph, pattern.bias, "Where");
  if (!choice) return std::nullopt;
  const std::vector<std::string> inputs = graph.node(*choice).inputs;
  const auto other = scalar(graph, inputs[2]);
  const Shape* shape = context.shapes.shape(inputs[0]);
  if (!is_scalar(graph, inputs[1], 0) || !other || graph.constant(inputs[1])->data_type != DataType::Float32)
    return std::nullopt;
  if (std::isfinite(*other)) return FiniteBias{pattern.bias, ""};
  if (!(*other < 0) || shape == nullptr || shape->size() != 4 || !((*shape)[1] == Dim(1))) return std::nullopt;
  const Node neighbour = graph.node(*choice);
  FiniteBias finite;
  const std::string lowest = float_scalar(graph, std::numeric_limits<float>::lowest());
  finite.bias = add_beside(context, neighbour, "Where", {inputs[0], float_scalar(graph, 0), lowest}, {});
  const std::string numbers = add_beside(context, neighbour, "Cast", {inputs[0]}, {{"to", std::int64_t{1}}});
  std::string largest;
  if (context.opset < 18) {
    largest = add_beside(context, neighbour, "ReduceMax", {numbers},
                         {{"axes", std::vector<std::int64_t>{3}}, {"keepdims", std::int64_t{1}}});
  } else {
    largest = add_beside(context, neighbour, "ReduceMax", {numbers, integer_list(graph, {3})},
                         {{"keepdims", std::int64_t{1}}});
  }
  // From (batch, 1, length, 1): heads are merged into the last axis of what it is multiplied with.
  finite.row_factor =
      context.opset < 13
          ? add_beside(context, neighbour, "Squeeze", {largest}, {{"axes", std::vector<std::int64_t>{1}}})
          : add_beside(context, neighbour, "Squeeze", {largest, integer_list(graph, {1})}, {});
  return finite;
}

void fuse(PassContext& context, NodeId softmax) {
  GraphEditor& graph = context.graph;
  std::string reason;
  const auto pattern = match_attention(context, softmax, reason);
  const auto leave = [&] {
    if (!reason.empty()) context.journal.left("Attention", graph.node(softmax), reason);
  };
  if (!pattern) return leave();
  if (!is_closed(graph, pattern->inner, std::array{pattern->last})) {
    reason = "a value inside is used elsewhere";
    return leave();
  }
  const bool is_whole = pattern->key.split.empty();
  if (!has_expected_shapes(context, *pattern, is_whole, reason)) return leave();
  const Shape* result = context.shapes.shape(graph.node(pattern->last).outputs[0]);
  const bool is_cached = !pattern->key_cache.past.empty() || !pattern->value_cache.past.empty();
  if (is_cached && (pattern->key_cache.past.empty() || pattern->value_cache.past.empty())) {
    reason = "only one of keys and values has a cache";
    return leave();
  }
  // The fused node makes the whole keys and values, too, so nothing it takes may come from them. Traced decoders read
  // the length for their mask there.
  if (is_cached && depends_on(graph, pattern->bias, {pattern->key_cache.present, pattern->value_cache.present})) {
    reason = "the mask is computed from the keys or values of the cache";
    return leave();
  }
  std::optional<FiniteBias> finite = FiniteBias{pattern->bias, ""};
  if (pattern->guards_against_nan) finite = make_finite(context, *pattern, reason);
  if (!finite) return leave();
  std::string bias;
  if (!pattern->bias.empty()) {
    bias = full_bias(context, *pattern, finite->bias, reason);
    if (bias.empty()) return leave();
  }

  const Node last = graph.node(pattern->last);
  Node fused{.op_type = "",
             .domain = std::string(kMicrosoft),
             .name = "",
             .inputs = {},
             .outputs = {graph.unique_name(last.outputs[0] + "_attention")},
             .attributes = {{"num_heads", pattern->heads}}};
  if (std::abs(pattern->scale * std::sqrt(static_cast<double>(pattern->size)) - 1) > 1e-6)
    fused.attributes.push_back({"scale", static_cast<float>(pattern->scale)});
  const auto packed =
      !is_cached && !is_whole && !context.config.use_multi_head_attention ? pack(context, *pattern) : std::nullopt;
  if (packed) {
    fused.op_type = "Attention";
    fused.inputs = {packed->x, packed->weight, packed->bias, "", "", bias};
  } else {
    fused.op_type = "MultiHeadAttention";
    fused.inputs = {merged_heads(context, pattern->query, last),
                    is_whole ? pattern->key.whole : merged_heads(context, pattern->key, last),
                    is_whole ? pattern->value.whole : merged_heads(context, pattern->value, last),
                    "",
                    "",
                    bias};
    if (is_cached) {
      fused.inputs.insert(fused.inputs.end(), {pattern->key_cache.past, pattern->value_cache.past});
      fused.outputs.insert(fused.outputs.end(), {pattern->key_cache.present, pattern->value_cache.present});
    }
  }
  while (fused.inputs.back().empty()) fused.inputs.pop_back();
  fused.name = name_beside(graph, last, fused.op_type);
  const std::string op_type = fused.op_type;
  std::vector<NodeId> nodes = pattern->inner;
  if (is_cached) nodes.insert(nodes.end(), {pattern->key_cache.concat, pattern->value_cache.concat});
  const bool keeps_rows = result->size() == 3 && (*result)[0] == pattern->batch && (*result)[1] == pattern->length;
  // Where rows are flattened for a Gemm, the Reshape stays.
  if (keeps_rows) nodes.push_back(pattern->last);
  std::string output = fused.outputs[0];
  if (keeps_rows && finite->row_factor.empty()) output = fused.outputs[0] = last.outputs[0];
  replace_nodes(graph, nodes, std::move(fused));
  if (!finite->row_factor.empty()) output = add_beside(context, last, "Mul", {output, finite->row_factor}, {});
  if (!keeps_rows) {
    graph.set_input(pattern->last, 0, output);
  } else if (output != last.outputs[0]) {
    graph.replace_uses(last.outputs[0], output);
  }
  context.journal.done(op_type);
}

}  // namespace

void fuse_attention(PassContext& context) {
  for (const NodeId id : nodes_of(context.graph, "Softmax"))
    if (!context.graph.is_removed(id)) fuse(context, id);
}

}  // namespace onnxport::optimization
