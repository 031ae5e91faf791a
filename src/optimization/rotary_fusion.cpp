#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

constexpr std::int64_t kToTheEnd = std::int64_t{1} << 30;

/// x[..., start:end] of the last of four axes.
std::optional<std::string> sliced(const GraphEditor& graph, const std::string& value, std::int64_t start,
                                  std::int64_t end, std::vector<NodeId>& nodes) {
  const auto id = made_by(graph, value, "Slice");
  if (!id || graph.node(*id).inputs.size() < 4) return std::nullopt;
  const Node& node = graph.node(*id);
  const auto axes = integers(graph, node.inputs[3]);
  const auto steps = has_input(node, 4) ? integers(graph, node.inputs[4]) : std::vector<std::int64_t>{1};
  const auto starts = integers(graph, node.inputs[1]);
  const auto ends = integers(graph, node.inputs[2]);
  if (!axes || axes->size() != 1 || (axes->front() != 3 && axes->front() != -1)) return std::nullopt;
  if (steps != std::vector<std::int64_t>{1} || starts != std::vector{start} || !ends || ends->size() != 1)
    return std::nullopt;
  const bool is_end = ends->front() == end || (end == kToTheEnd && ends->front() >= kToTheEnd);
  if (!is_end) return std::nullopt;
  nodes.push_back(*id);
  return node.inputs[0];
}

/// Concat(-x[half:], x[:half]) of x with `size` features: gives x.
std::optional<std::string> rotated_half(const GraphEditor& graph, const std::string& value, std::int64_t size,
                                        std::vector<NodeId>& nodes) {
  const auto concat = made_by(graph, value, "Concat");
  if (!concat || graph.node(*concat).inputs.size() != 2) return std::nullopt;
  const Node& node = graph.node(*concat);
  const std::int64_t axis = onnx::integer_attribute(node, "axis", 0);
  const auto negative = made_by(graph, node.inputs[0], "Neg");
  if (!negative || (axis != -1 && axis != 3)) return std::nullopt;
  nodes.insert(nodes.end(), {*concat, *negative});
  const std::string& upper = graph.node(*negative).inputs[0];
  auto from_upper = sliced(graph, upper, size / 2, kToTheEnd, nodes);
  if (!from_upper) from_upper = sliced(graph, upper, size / 2, size, nodes);
  const auto from_lower = sliced(graph, node.inputs[1], 0, size / 2, nodes);
  return from_upper && from_upper == from_lower ? from_upper : std::nullopt;
}

/// cos or sin of angles that stand there twice, (batch or 1, 1, length, 2 * half), perhaps scaled.
struct Wave {
  std::string angles;  ///< one half of them, (batch or 1, length, half), whatever axes of size 1 are between
  double scale = 1;
};

bool takes_first_rows(const GraphEditor& graph, const Node& node) {
  if (!is_operator(node, "Slice") || node.inputs.size() < 3) return false;
  const auto is_each = [](const std::optional<std::vector<std::int64_t>>& values, std::int64_t expected) {
    return values && std::all_of(values->begin(), values->end(), [&](std::int64_t value) { return value == expected; });
  };
  return is_each(integers(graph, node.inputs[1]), 0) &&
         (!has_input(node, 4) || is_each(integers(graph, node.inputs[4]), 1));
}

std::optional<Wave> match_wave(const GraphEditor& graph, std::string value, std::string_view function) {
  Wave wave;
  for (;;) {
    const auto id = graph.producer(value);
    if (!id) return std::nullopt;
    const Node& node = graph.node(*id);
    if (is_operator(node, "Unsqueeze") || takes_first_rows(graph, node)) {
      // What the axes are then, and that there are no other rows, the shapes tell below.
      value = node.inputs[0];
    } else if (const auto found = with_scalar(graph, node); found && is_operator(node, "Mul")) {
      wave.scale *= found->second;
      value = found->first;
    } else if (is_operator(node, function)) {
      const auto concat = made_by(graph, node.inputs[0], "Concat");
      if (!concat || graph.node(*concat).inputs.size() != 2) return std::nullopt;
      const Node& twice = graph.node(*concat);
      if (twice.inputs[0] != twice.inputs[1] || onnx::integer_attribute(twice, "axis", 0) == 0) return std::nullopt;
      wave.angles = twice.inputs[0];
      return wave;
    } else {
      return std::nullopt;
    }
  }
}

struct Rotation {
  std::string x;  ///< (batch, heads, length, size)
  std::string angles;
  std::string cosine;  ///< as it is multiplied with x
  std::string sine;
  double scale = 1;
  std::vector<NodeId> nodes;  ///< all but the last
};

/// x * cos + rotate_half(x) * sin, in either order.
std::optional<Rotation> match_rotation(const PassContext& context, NodeId add, std::string& reason) {
  const GraphEditor& graph = context.graph;
  const auto size = context.shapes.last_size(graph.node(add).outputs[0]);
  if (!size || *size % 2 != 0 || context.shapes.rank(graph.node(add).outputs[0]) != 4) return std::nullopt;
  for (const std::size_t first : {std::size_t{0}, std::size_t{1}}) {
    const auto plain = made_by(graph, graph.node(add).inputs[first], "Mul");
    const auto turned = made_by(graph, graph.node(add).inputs[1 - first], "Mul");
    if (!plain || !turned) return std::nullopt;
    for (const std::size_t side : {std::size_t{0}, std::size_t{1}}) {
      Rotation rotation;
      const auto x = rotated_half(graph, graph.node(*turned).inputs[side], *size, rotation.nodes);
      if (!x) continue;
      const Node& product = graph.node(*plain);
      if (product.inputs[0] != *x && product.inputs[1] != *x) continue;
      rotation.cosine = product.inputs[product.inputs[0] == *x ? 1 : 0];
      rotation.sine = graph.node(*turned).inputs[1 - side];
      const auto cosine = match_wave(graph, rotation.cosine, "Cos");
      const auto sine = match_wave(graph, rotation.sine, "Sin");
      if (!cosine || !sine || cosine->angles != sine->angles || cosine->scale != sine->scale) {
        reason = "cosine and sine are not those of the same angles, each there twice";
        return std::nullopt;
      }
      rotation.x = *x;
      rotation.angles = cosine->angles;
      rotation.scale = cosine->scale;
      rotation.nodes.insert(rotation.nodes.end(), {*plain, *turned});
      return rotation;
    }
  }
  return std::nullopt;
}

/// What the operator takes beside its input.
struct Tables {
  std::string positions;  ///< (1): where the rows begin; or (batch, length): the row of each position
  std::string cosine;     ///< (rows, half)
  std::string sine;
};

/// Tables with a row for each position of each sequence. `is_shared`: the angles of all sequences are the same.
Tables make_tables(PassContext& context, const Rotation& rotation, std::int64_t half, bool is_shared,
                   const Node& neighbour) {
  GraphEditor& graph = context.graph;
  const auto add = [&](const char* op, std::vector<std::string> inputs, std::vector<onnx::Attribute> attributes = {}) {
    const std::string name = name_beside(graph, neighbour, std::string("Rotary") + op);
    const std::string output = graph.unique_name(name + "_output_0");
    graph.add_node({op, "", name, std::move(inputs), {output}, std::move(attributes)});
    return output;
  };
  const auto table = [&](const char* function) {
    std::string values = add(function, {add("Reshape", {rotation.angles, integer_list(graph, {-1, half})})});
    if (rotation.scale != 1) values = add("Mul", {values, float_scalar(graph, static_cast<float>(rotation.scale))});
    return values;
  };
  Tables tables;
  tables.cosine = table("Cos");
  tables.sine = table("Sin");
  if (is_shared) {
    tables.positions = integer_list(graph, {0});
    return tables;
  }
  const std::string rows = add("Gather", {add("Shape", {tables.cosine}), integer_scalar(graph, 0)});
  const std::string range = add("Range", {integer_scalar(graph, 0), rows, integer_scalar(graph, 1)});
  const std::string shape = add("Gather", {add("Shape", {rotation.x}), integer_list(graph, {0, 2})});
  tables.positions = add("Reshape", {range, shape});
  return tables;
}

void fuse(PassContext& context, NodeId id) {
  GraphEditor& graph = context.graph;
  std::string reason;
  const Node last = graph.node(id);
  const auto rotation = match_rotation(context, id, reason);
  const auto refuse = [&] {
    if (!reason.empty()) context.journal.left("RotaryEmbedding", last, reason);
  };
  if (!rotation) return refuse();
  if (!is_closed(graph, rotation->nodes, std::array{id})) {
    reason = "a value inside is used elsewhere";
    return refuse();
  }
  const Shape* x = context.shapes.shape(rotation->x);
  const Shape* angles = context.shapes.shape(rotation->angles);
  const Shape* result = context.shapes.shape(last.outputs[0]);
  if (x == nullptr || angles == nullptr || angles->size() < 2 || !(*x == *result) || !(*x)[1].is_constant()) {
    reason = "the shapes of states and angles are not known";
    return refuse();
  }
  const std::int64_t size = x->back().constant();
  const Dim rows = element_count({angles->begin(), angles->end() - 1});
  const bool is_shared = rows == (*x)[2] && !(rows == (*x)[0] * (*x)[2]);
  if (!(angles->back() == Dim(size / 2)) || !((*angles)[angles->size() - 2] == (*x)[2]) ||
      (!is_shared && !(rows == (*x)[0] * (*x)[2]))) {
    reason = "the angles' shape " + to_string(*angles) + " does not fit the states' " + to_string(*x);
    return refuse();
  }
  const Shape expected{is_shared ? Dim(1) : (*x)[0], Dim(1), (*x)[2], Dim(size)};
  for (const std::string& wave : {rotation->cosine, rotation->sine}) {
    const Shape* shape = context.shapes.shape(wave);
    if (shape != nullptr && *shape == expected) continue;
    reason = "cosine and sine do not have the axes " + to_string(expected);
    return refuse();
  }
  const Tables tables = make_tables(context, *rotation, size / 2, is_shared, last);
  Node fused{.op_type = "RotaryEmbedding",
             .domain = std::string(kMicrosoft),
             .name = name_beside(graph, last, "RotaryEmbedding"),
             .inputs = {rotation->x, tables.positions, tables.cosine, tables.sine},
             .outputs = {last.outputs[0]},
             .attributes = {}};
  std::vector<NodeId> nodes = rotation->nodes;
  nodes.push_back(id);
  // Before the heads are moved, where there is a Transpose for that, and before they are scaled: attention finds them
  // as it expects them.
  std::string source = rotation->x;
  std::optional<double> factor;
  if (const auto product = made_by(graph, source, "Mul"))
    if (const auto scaled = with_scalar(graph, graph.node(*product));
        scaled && context.shapes.rank(scaled->first) == 4) {
      source = scaled->first;
      factor = scaled->second;
    }
  const auto transpose = made_by(graph, source, "Transpose");
  if (!transpose || onnx::integers_attribute(graph.node(*transpose), "perm") != std::vector<std::int64_t>{0, 2, 1, 3}) {
    replace_nodes(graph, nodes, std::move(fused));
    return context.journal.done("RotaryEmbedding");
  }
  const auto add = [&](const char* op, std::vector<std::string> inputs, std::vector<onnx::Attribute> attributes) {
    const std::string name = name_beside(graph, last, std::string("Rotary") + op);
    const std::string output = graph.unique_name(name + "_output_0");
    graph.add_node({op, "", name, std::move(inputs), {output}, std::move(attributes)});
    return output;
  };
  const std::int64_t heads = (*x)[1].constant();
  const std::string split = graph.node(*transpose).inputs[0];
  const std::string merged = add("Reshape", {split, integer_list(graph, {0, 0, heads * size})}, {});
  fused.inputs[0] = merged;
  fused.outputs[0] = graph.unique_name(fused.name + "_output_0");
  // The whole head turns, so that its size follows from the tables; num_heads would ask for a partial rotation.
  const std::string turned = fused.outputs[0];
  replace_nodes(graph, nodes, std::move(fused));
  std::string moved = add("Transpose", {add("Reshape", {turned, integer_list(graph, {0, 0, heads, size})}, {})},
                          {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
  if (factor) moved = add("Mul", {moved, float_scalar(graph, static_cast<float>(*factor))}, {});
  graph.replace_uses(last.outputs[0], moved);
  context.journal.done("RotaryEmbedding");
}

}  // namespace

void fuse_rotary_embeddings(PassContext& context) {
  for (const NodeId id : nodes_of(context.graph, "Add"))
    if (!context.graph.is_removed(id) && context.graph.node(id).inputs.size() == 2) fuse(context, id);
}

}  // namespace onnxport::optimization
