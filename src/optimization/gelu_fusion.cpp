#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// Sum of coefficient * x^i * t^j. GELU is written in many orders; as polynomials they are the same.
using Polynomial = std::map<std::pair<int, int>, double>;

constexpr int kHighestPower = 4;

std::optional<Polynomial> multiply(const Polynomial& a, const Polynomial& b) {
  Polynomial product;
  for (const auto& [powers, factor] : a)
    for (const auto& [others, other] : b) {
      const std::pair sum{powers.first + others.first, powers.second + others.second};
      if (sum.first > kHighestPower || sum.second > 1) return std::nullopt;
      product[sum] += factor * other;
    }
  return product;
}

/// Reads a value as a polynomial of x and t, and collects the nodes that compute it.
class PolynomialReader {
 public:
  PolynomialReader(const GraphEditor& graph, std::string x, std::string t)
      : graph_(graph), x_(std::move(x)), t_(std::move(t)) {}

  std::optional<Polynomial> read(const std::string& value, int depth = 0) {
    if (value == x_) return Polynomial{{{1, 0}, 1.0}};
    if (value == t_) return Polynomial{{{0, 1}, 1.0}};
    if (const auto number = scalar(graph_, value)) return Polynomial{{{0, 0}, *number}};
    const auto id = graph_.producer(value);
    if (!id || depth > 6) return std::nullopt;
    const Node& node = graph_.node(*id);
    if (!node.domain.empty() || node.inputs.size() != 2) return std::nullopt;
    const auto a = read(node.inputs[0], depth + 1);
    const auto b = a ? read(node.inputs[1], depth + 1) : std::nullopt;
    if (!b) return std::nullopt;
    auto result = combine(node.op_type, *a, *b);
    if (result) nodes_.insert(*id);
    return result;
  }
  const std::set<NodeId>& nodes() const { return nodes_; }

 private:
  static std::optional<Polynomial> combine(const std::string& op, const Polynomial& a, const Polynomial& b) {
    if (op == "Mul") return multiply(a, b);
    if (op == "Add") {
      Polynomial sum = a;
      for (const auto& [powers, factor] : b) sum[powers] += factor;
      return sum;
    }
    const bool is_number = b.size() == 1 && b.begin()->first == std::pair{0, 0};
    if (!is_number) return std::nullopt;
    const double number = b.begin()->second;
    if (op == "Div" && number != 0) return multiply(a, {{{0, 0}, 1 / number}});
    if (op != "Pow" || number != std::floor(number) || number < 1 || number > kHighestPower) return std::nullopt;
    std::optional<Polynomial> power = a;
    for (int i = 1; i < static_cast<int>(number) && power; ++i) power = multiply(*power, a);
    return power;
  }

  const GraphEditor& graph_;
  std::string x_;
  std::string t_;
  std::set<NodeId> nodes_;
};

bool equals(const Polynomial& polynomial, const Polynomial& expected) {
  for (const auto& [powers, factor] : polynomial) {
    const auto found = expected.find(powers);
    const double other = found == expected.end() ? 0 : found->second;
    // Constants may have been rounded to float16 or written with six digits.
    if (std::abs(factor - other) > 1e-3 * std::max(std::abs(other), 1e-6)) return false;
  }
  for (const auto& [powers, factor] : expected)
    if (!polynomial.contains(powers)) return false;
  return true;
}

/// Values that the argument of Erf or Tanh is computed from, the nearest first.
std::vector<std::string> candidates(const GraphEditor& graph, const std::string& argument) {
  std::vector<std::string> found{argument};
  for (std::size_t i = 0; i < found.size() && found.size() < 32; ++i) {
    const auto id = graph.producer(found[i]);
    if (!id) continue;
    for (const std::string& input : graph.node(*id).inputs)
      if (!input.empty() && std::find(found.begin(), found.end(), input) == found.end()) found.push_back(input);
  }
  return found;
}

struct Gelu {
  std::string x;
  std::string output;
  std::set<NodeId> inner;  ///< without the last node
  NodeId last = 0;
};

/// x / 2 * (1 + f(argument of x)) around the node of f.
std::optional<Gelu> match_gelu(const GraphEditor& graph, NodeId function, const Polynomial& argument) {
  const std::string input = graph.node(function).inputs[0];
  for (const std::string& x : candidates(graph, input)) {
    PolynomialReader below(graph, x, "");
    const auto found = below.read(input);
    if (!found || !equals(*found, argument)) continue;
    const std::string t = graph.node(function).outputs[0];
    for (std::string value = t;;) {
      const auto user = only_user(graph, value);
      if (!user || graph.node(*user).outputs.size() != 1) break;
      value = graph.node(*user).outputs[0];
      PolynomialReader above(graph, x, t);
      const auto whole = above.read(value);
      if (!whole) break;
      if (!equals(*whole, {{{1, 0}, 0.5}, {{1, 1}, 0.5}})) continue;
      Gelu gelu{x, value, above.nodes(), *user};
      gelu.inner.insert(below.nodes().begin(), below.nodes().end());
      gelu.inner.insert(function);
      gelu.inner.erase(*user);
      return gelu;
    }
  }
  return std::nullopt;
}

void fuse(PassContext& context, NodeId function, const Polynomial& argument, std::string_view op_type) {
  GraphEditor& graph = context.graph;
  const auto gelu = match_gelu(graph, function, argument);
  if (!gelu) return;
  std::vector<NodeId> nodes(gelu->inner.begin(), gelu->inner.end());
  if (!is_closed(graph, nodes, std::array{gelu->last})) {
    context.journal.left(op_type, graph.node(function), "a value inside is used elsewhere");
    return;
  }
  Node fused{.op_type = std::string(op_type),
             .domain = std::string(kMicrosoft),
             .name = name_beside(graph, graph.node(gelu->last), op_type),
             .inputs = {gelu->x},
             .outputs = {gelu->output},
             .attributes = {}};
  nodes.push_back(gelu->last);
  replace_nodes(graph, nodes, std::move(fused));
  context.journal.done(op_type);
}

bool is_exact_gelu(const Node& node) {
  return is_operator(node, "Gelu", kMicrosoft) ||
         (is_operator(node, "Gelu") && onnx::string_attribute(node, "approximate", "none") == "none");
}

}  // namespace

void fuse_gelu(PassContext& context) {
  for (const NodeId id : nodes_of(context.graph, "Erf")) fuse(context, id, {{{1, 0}, 1 / std::numbers::sqrt2}}, "Gelu");
  const double scale = std::sqrt(2 / std::numbers::pi);
  for (const NodeId id : nodes_of(context.graph, "Tanh"))
    fuse(context, id, {{{1, 0}, scale}, {{3, 0}, scale * 0.044715}}, "FastGelu");
}

/// x * sigmoid(alpha * x).
void fuse_quick_gelu(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId id : nodes_of(graph, "Sigmoid")) {
    const std::string argument = graph.node(id).inputs[0];
    const auto product = only_user(graph, graph.node(id).outputs[0]);
    if (!product || !is_operator(graph.node(*product), "Mul")) continue;
    const Node& last = graph.node(*product);
    const std::string x = last.inputs[0] == graph.node(id).outputs[0] ? last.inputs[1] : last.inputs[0];
    double alpha = 1;
    std::vector<NodeId> nodes{id, *product};
    if (x != argument) {
      const auto scaled = made_by(graph, argument, "Mul");
      const auto found = scaled ? with_scalar(graph, graph.node(*scaled)) : std::nullopt;
      if (!found || found->first != x || !graph.has_single_use(argument)) continue;
      alpha = found->second;
      nodes.push_back(*scaled);
    }
    Node fused{.op_type = "QuickGelu",
               .domain = std::string(kMicrosoft),
               .name = name_beside(graph, last, "QuickGelu"),
               .inputs = {x},
               .outputs = {last.outputs[0]},
               .attributes = {{"alpha", static_cast<float>(alpha)}}};
    replace_nodes(graph, nodes, std::move(fused));
    context.journal.done("QuickGelu");
  }
}

void fuse_bias_gelu(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId id : graph.nodes()) {
    const Node& gelu = graph.node(id);
    const bool is_fast = is_operator(gelu, "FastGelu", kMicrosoft);
    if ((!is_fast && !is_exact_gelu(gelu)) || gelu.inputs.size() != 1) continue;
    const std::string_view op_type = is_fast ? "FastGelu" : "BiasGelu";
    const auto add = made_by(graph, gelu.inputs[0], "Add");
    if (!add) continue;
    const auto linear = match_linear(graph, gelu.inputs[0]);
    if (!linear || linear->bias.empty()) continue;
    if (!graph.has_single_use(gelu.inputs[0])) {
      context.journal.left(op_type, gelu, "the sum with the bias is used elsewhere");
      continue;
    }
    Node fused{.op_type = std::string(op_type),
               .domain = std::string(kMicrosoft),
               .name = name_beside(graph, gelu, op_type),
               .inputs = {graph.node(linear->nodes.front()).outputs[0], linear->bias},
               .outputs = {gelu.outputs[0]},
               .attributes = {}};
    replace_nodes(graph, std::array{*add, id}, std::move(fused));
    context.journal.done(is_fast ? "FastGelu with bias" : "BiasGelu");
  }
}

void approximate_gelu(PassContext& context) {
  GraphEditor& graph = context.graph;
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (!is_exact_gelu(node) && !is_operator(node, "BiasGelu", kMicrosoft)) continue;
    Node& changed = graph.mutable_node(id);
    changed.op_type = "FastGelu";
    changed.domain = kMicrosoft;
    changed.attributes.clear();
    context.journal.done("GeluApproximation");
  }
}

}  // namespace onnxport::optimization
