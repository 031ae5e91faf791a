#include "optimization/attention_match.h"

#include <array>
#include <utility>

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

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
AttentionHeads match_heads(const GraphEditor& graph, std::string value, bool is_key, AttentionCache* cache) {
  AttentionHeads heads;
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

/// As they go into the products, cache and all: where one of keys and values is not split.
void take_whole(AttentionHeads& heads, AttentionCache& cache) {
  if (!cache.past.empty()) heads.whole = cache.present;
  cache = {};
  heads.split.clear();
}

/// Where(IsNaN(weights), 0, weights) after the Softmax, whose node comes first in `inner`: gives the value that has the
/// weights.
std::string match_nan_guard(const GraphEditor& graph, AttentionPattern& pattern) {
  const std::string weights = graph.node(pattern.inner.front()).outputs[0];
  const std::vector<NodeId> users = graph.consumers(weights);
  if (users.size() != 2) return weights;
  for (const std::size_t first : {std::size_t{0}, std::size_t{1}}) {
    const Node& test = graph.node(users[first]);
    const Node& choice = graph.node(users[1 - first]);
    if (!is_operator(test, "IsNaN") || !is_operator(choice, "Where") || choice.inputs[0] != test.outputs[0] ||
        !is_scalar(graph, choice.inputs[1], 0) || choice.inputs[2] != weights)
      continue;
    pattern.guards_against_nan = true;
    pattern.inner.insert(pattern.inner.end(), users.begin(), users.end());
    return choice.outputs[0];
  }
  return weights;
}

}  // namespace

std::optional<AttentionPattern> match_attention(const PassContext& context, NodeId softmax, std::string& reason) {
  const GraphEditor& graph = context.graph;
  AttentionPattern pattern;
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
      const AttentionHeads key = match_heads(graph, graph.node(*product).inputs[1], true, nullptr);
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
  if (pattern.key.nodes.empty()) {
    reason = "the key is not transposed";
    return std::nullopt;
  }
  pattern.scale *= pattern.query.scale * pattern.key.scale;

  // Downwards: the weighted sum.
  const std::string weights = match_nan_guard(graph, pattern);
  const auto sum = only_user(graph, weights);
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

  if (pattern.key.split.empty() || pattern.value.split.empty()) {
    take_whole(pattern.key, pattern.key_cache);
    take_whole(pattern.value, pattern.value_cache);
  }
  const bool is_split = !pattern.query.split.empty();
  const Shape* query = context.shapes.shape(is_split ? pattern.query.split : pattern.query.whole);
  const std::size_t heads = is_split ? 2 : 1;
  if (query == nullptr || query->size() != 4 || !(*query)[heads].is_constant() || !(*query)[3].is_constant()) {
    reason = "the number of heads or their size is not known";
    return std::nullopt;
  }
  pattern.batch = (*query)[0];
  pattern.length = (*query)[is_split ? 1 : 2];
  pattern.heads = (*query)[heads].constant();
  pattern.size = (*query)[3].constant();
  return pattern;
}

}  // namespace onnxport::optimization
