#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "core/tensor_source.h"
#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// Query, key or value: (batch, length, heads, size) before it is transposed, or whole (batch, heads, length, size).
struct Heads {
  std::string split;   ///< what the Transpose takes, of rank 4; "" if there is no Transpose
  std::string merged;  ///< what the Reshape before it takes; "" if there is none
  std::string whole;   ///< (batch, heads, length, size)
  double scale = 1;
  std::vector<NodeId> nodes;
};

/// With the cache of earlier tokens: Concat(past, new).
struct Cached {
  std::string past;     ///< (batch, heads, past length, size); "" if there is none
  std::string present;  ///< what Concat makes
  NodeId concat = 0;
};

struct Pattern {
  Heads query;
  Heads key;
  Heads value;
  Cached key_cache;
  Cached value_cache;
  std::string bias;  ///< what is added to the scores; "" if nothing is
  double scale = 1;
  std::int64_t heads = 0;
  std::int64_t size = 0;      ///< of a head of query and key
  std::vector<NodeId> inner;  ///< all nodes but the last
  NodeId transpose = 0;       ///< (batch, heads, length, size) to (batch, length, heads, size)
  NodeId last = 0;            ///< the Reshape that merges the heads
};

using Permutation = std::vector<std::int64_t>;
const Permutation kSwapHeads{0, 2, 1, 3};
const Permutation kSwapHeadsTransposed{0, 2, 3, 1};
const Permutation kTransposeLast{0, 1, 3, 2};

std::optional<NodeId> transposed(const GraphEditor& graph, const std::string& value, const Permutation& permutation) {
  const auto id = made_by(graph, value, "Transpose");
  return id && onnx::integers_attribute(graph.node(*id), "perm") == permutation ? id : std::nullopt;
}

/// Strips Mul and Div by a number.
void strip_scale(const GraphEditor& graph, std::string& value, double& scale, std::vector<NodeId>& nodes) {
  for (;;) {
    const auto id = graph.producer(value);
    if (!id) return;
    const Node& node = graph.node(*id);
    const auto found = with_scalar(graph, node);
    if (!found) return;
    if (is_operator(node, "Mul")) {
      scale *= found->second;
    } else if (is_operator(node, "Div") && found->first == node.inputs[0] && found->second != 0) {
      scale /= found->second;
    } else {
      return;
    }
    nodes.push_back(*id);
    value = found->first;
  }
}

/// From the input of the product of scores or of the weighted sum. `is_key`: its last two axes are swapped.
Heads match_heads(const GraphEditor& graph, std::string value, bool is_key, Cached* cache) {
  Heads heads;
  strip_scale(graph, value, heads.scale, heads.nodes);
  heads.whole = value;
  auto transpose = transposed(graph, value, is_key ? kSwapHeadsTransposed : kSwapHeads);
  if (is_key && !transpose) {
    const auto swap = transposed(graph, value, kTransposeLast);
    if (!swap) return {};
    heads.nodes.push_back(*swap);
    heads.whole = graph.node(*swap).inputs[0];
    strip_scale(graph, heads.whole, heads.scale, heads.nodes);
    transpose = transposed(graph, heads.whole, kSwapHeads);
  } else if (is_key) {
    heads.whole.clear();  // there is no value of that order
  }
  if (cache != nullptr && !transpose) {
    const auto concat = made_by(graph, heads.whole, "Concat");
    if (concat && graph.node(*concat).inputs.size() == 2 &&
        (onnx::integer_attribute(graph.node(*concat), "axis", 0) == 2 ||
         onnx::integer_attribute(graph.node(*concat), "axis", 0) == -2)) {
      *cache = {graph.node(*concat).inputs[0], heads.whole, *concat};
      heads.whole = graph.node(*concat).inputs[1];
      transpose = transposed(graph, heads.whole, kSwapHeads);
    }
  }
  if (!transpose) return heads;
  heads.nodes.push_back(*transpose);
  heads.split = graph.node(*transpose).inputs[0];
  if (const auto reshape = made_by(graph, heads.split, "Reshape")) {
    heads.merged = graph.node(*reshape).inputs[0];
    heads.nodes.push_back(*reshape);
  }
  return heads;
}

std::optional<Pattern> match_pattern(const PassContext& context, NodeId softmax, std::string& reason) {
  const GraphEditor& graph = context.graph;
  Pattern pattern;
  const Node& node = graph.node(softmax);
  const auto rank = context.shapes.rank(node.inputs[0]);
  const std::int64_t axis = onnx::integer_attribute(node, "axis", context.opset < 13 ? 1 : -1);
  if (axis != -1 && axis != 3) return std::nullopt;
  if (rank && *rank != 4) return std::nullopt;
  pattern.inner.push_back(softmax);

  // Upwards: the scores.
  std::string scores = node.inputs[0];
  if (const auto add = made_by(graph, scores, "Add")) {
    // The product of query and key is on one side, perhaps scaled; the bias on the other.
    for (const std::size_t index : {std::size_t{0}, std::size_t{1}}) {
      std::string side = graph.node(*add).inputs[index];
      double scale = 1;
      std::vector<NodeId> nodes;
      strip_scale(graph, side, scale, nodes);
      const auto product = made_by(graph, side, "MatMul");
      if (!product) continue;
      const Heads key = match_heads(graph, graph.node(*product).inputs[1], true, nullptr);
      if (key.nodes.empty()) continue;
      scores = graph.node(*add).inputs[index];
      pattern.bias = graph.node(*add).inputs[1 - index];
      break;
    }
    if (pattern.bias.empty()) return std::nullopt;
    pattern.inner.push_back(*add);
  }
  strip_scale(graph, scores, pattern.scale, pattern.inner);
  const auto product = made_by(graph, scores, "MatMul");
  if (!product) return std::nullopt;
  pattern.inner.push_back(*product);
  pattern.query = match_heads(graph, graph.node(*product).inputs[0], false, nullptr);
  pattern.key = match_heads(graph, graph.node(*product).inputs[1], true, &pattern.key_cache);
  if (pattern.query.split.empty() || pattern.key.nodes.empty()) {
    reason = "query or key are not split into heads and transposed";
    return std::nullopt;
  }
  pattern.scale *= pattern.query.scale * pattern.key.scale;

  // Downwards: the weighted sum.
  std::string weights = node.outputs[0];
  const auto sum = only_user(graph, weights);
  for (const NodeId user : graph.consumers(weights))
    if (is_operator(graph.node(user), "IsNaN")) {
      reason = "rows that are masked as a whole become zero, which the operator does not do";
      return std::nullopt;
    }
  if (!sum || !is_operator(graph.node(*sum), "MatMul") || graph.node(*sum).inputs[0] != weights) {
    reason = "the weights do not go to a product with values alone";
    return std::nullopt;
  }
  pattern.inner.push_back(*sum);
  pattern.value = match_heads(graph, graph.node(*sum).inputs[1], false, &pattern.value_cache);
  if (pattern.value.scale != 1) {
    reason = "the values are scaled";
    return std::nullopt;
  }
  const auto swap = only_user(graph, graph.node(*sum).outputs[0]);
  if (!swap || !is_operator(graph.node(*swap), "Transpose") ||
      onnx::integers_attribute(graph.node(*swap), "perm") != kSwapHeads) {
    reason = "the heads of the result are not moved back";
    return std::nullopt;
  }
  pattern.inner.push_back(*swap);
  pattern.transpose = *swap;
  const auto merge = only_user(graph, graph.node(*swap).outputs[0]);
  if (!merge || !is_operator(graph.node(*merge), "Reshape")) {
    reason = "the heads of the result are not merged";
    return std::nullopt;
  }
  pattern.last = *merge;

  const Shape* split = context.shapes.shape(pattern.query.split);
  if (split == nullptr || split->size() != 4 || !(*split)[2].is_constant() || !(*split)[3].is_constant()) {
    reason = "the number of heads or their size is not known";
    return std::nullopt;
  }
  pattern.heads = (*split)[2].constant();
  pattern.size = (*split)[3].constant();
  return pattern;
}

/// Shape of the scores' bias as the operators want it: (batch or 1, heads or 1, length, total length).
std::string full_bias(PassContext& context, const Pattern& pattern, std::string& reason) {
  GraphEditor& graph = context.graph;
  const Shape* shape = context.shapes.shape(pattern.bias);
  const Shape* query = context.shapes.shape(pattern.query.split);
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
  if (!is_one_or((*shape)[0], (*query)[0]) || !is_one_or((*shape)[1], (*query)[2]) || !((*shape)[3] == (*scores)[3])) {
    reason = "the mask's shape " + to_string(*shape) + " does not fit the scores' " + to_string(*scores);
    return "";
  }
  if ((*shape)[2] == (*query)[1]) return pattern.bias;
  if (!((*shape)[2] == Dim(1))) {
    reason = "the mask's shape " + to_string(*shape) + " does not fit the scores' " + to_string(*scores);
    return "";
  }
  // One for all layers: equal nodes are merged afterwards.
  const Node& neighbour = graph.node(pattern.last);
  const auto add = [&](const char* op, std::vector<std::string> inputs, std::vector<onnx::Attribute> attributes) {
    const std::string name = name_beside(graph, neighbour, std::string("Mask") + op);
    const std::string output = graph.unique_name(name + "_output_0");
    graph.add_node({op, "", name, std::move(inputs), {output}, std::move(attributes)});
    return output;
  };
  const std::string all = add("Shape", {pattern.query.split}, {});
  const std::string length = add("Gather", {all, integer_list(graph, {1})}, {{"axis", std::int64_t{0}}});
  const std::string one = integer_list(graph, {1});
  const std::string target = add("Concat", {one, one, length, one}, {{"axis", std::int64_t{0}}});
  return add("Expand", {pattern.bias, target}, {});
}

/// (batch, length, heads * size) of query, key or value.
std::string merged_heads(PassContext& context, const Heads& heads, const Node& neighbour) {
  GraphEditor& graph = context.graph;
  if (!heads.merged.empty() && context.shapes.rank(heads.merged) == 3) {
    const Shape* merged = context.shapes.shape(heads.merged);
    const Shape* split = context.shapes.shape(heads.split);
    if (split != nullptr && (*merged)[1] == (*split)[1] && merged->back() == (*split)[2] * (*split)[3])
      return heads.merged;
  }
  const std::string name = name_beside(graph, neighbour, "MergeHeads");
  const std::string output = graph.unique_name(name + "_output_0");
  graph.add_node({"Reshape", "", name, {heads.split, integer_list(graph, {0, 0, -1})}, {output}, {}});
  return output;
}

/// The projections to query, key and value as one weight (in, 3 * out) and one bias.
struct Packed {
  std::string x;
  std::string weight;
  std::string bias;
};

std::optional<Packed> pack(PassContext& context, const Pattern& pattern) {
  GraphEditor& graph = context.graph;
  std::vector<Linear> layers;
  for (const Heads* heads : {&pattern.query, &pattern.key, &pattern.value}) {
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

void fuse(PassContext& context, NodeId softmax) {
  GraphEditor& graph = context.graph;
  std::string reason;
  const auto pattern = match_pattern(context, softmax, reason);
  const auto leave = [&] {
    if (!reason.empty()) context.journal.left("Attention", graph.node(softmax), reason);
  };
  if (!pattern) return leave();
  if (!is_closed(graph, pattern->inner, std::array{pattern->last})) {
    reason = "a value inside is used elsewhere";
    return leave();
  }
  const Shape* result = context.shapes.shape(graph.node(pattern->last).outputs[0]);
  const Shape* query = context.shapes.shape(pattern->query.split);
  const Shape* value = context.shapes.shape(pattern->value.split);
  const Dim width(pattern->heads * pattern->size);
  const bool has_value = value != nullptr && value->size() == 4 && (*value)[2] == Dim(pattern->heads);
  if (result == nullptr || result->empty() || !(result->back() == width) || !has_value ||
      !((*value)[3] == Dim(pattern->size))) {
    reason = "values have another size than queries, or are not split into heads";
    return leave();
  }
  const bool is_cached = !pattern->key_cache.past.empty() || !pattern->value_cache.past.empty();
  if (is_cached && (pattern->key_cache.past.empty() || pattern->value_cache.past.empty())) {
    reason = "only one of keys and values has a cache";
    return leave();
  }
  const Shape* key = context.shapes.shape(pattern->key.split);
  if (key == nullptr || key->size() != 4 || !((*key)[2] == Dim(pattern->heads)) || !((*key)[3] == Dim(pattern->size)) ||
      !((*key)[1] == (*value)[1])) {
    reason = "keys have another number or size of heads, or are not split into heads";
    return leave();
  }
  // The fused node makes the whole keys and values, too, so nothing it takes may come from them. Traced decoders read
  // the length for their mask there.
  if (is_cached && depends_on(graph, pattern->bias, {pattern->key_cache.present, pattern->value_cache.present})) {
    reason = "the mask is computed from the keys or values of the cache";
    return leave();
  }
  std::string bias;
  if (!pattern->bias.empty()) {
    bias = full_bias(context, *pattern, reason);
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
  const auto packed = !is_cached && !context.config.use_multi_head_attention ? pack(context, *pattern) : std::nullopt;
  if (packed) {
    fused.op_type = "Attention";
    fused.inputs = {packed->x, packed->weight, packed->bias, "", "", bias};
  } else {
    fused.op_type = "MultiHeadAttention";
    fused.inputs = {merged_heads(context, pattern->query, last),
                    merged_heads(context, pattern->key, last),
                    merged_heads(context, pattern->value, last),
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
  if (result->size() == 3 && (*result)[0] == (*query)[0] && (*result)[1] == (*query)[1]) {
    fused.outputs[0] = last.outputs[0];
    nodes.push_back(pattern->last);
    replace_nodes(graph, nodes, std::move(fused));
  } else {
    // Rows are flattened for a Gemm: the Reshape stays.
    const std::string output = fused.outputs[0];
    replace_nodes(graph, nodes, std::move(fused));
    graph.set_input(pattern->last, 0, output);
  }
  context.journal.done(op_type);
}

}  // namespace

void fuse_attention(PassContext& context) {
  for (const NodeId id : nodes_of(context.graph, "Softmax"))
    if (!context.graph.is_removed(id)) fuse(context, id);
}

}  // namespace onnxport::optimization
