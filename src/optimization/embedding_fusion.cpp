#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor_source.h"
#include "optimization/match.h"
#include "optimization/pass.h"

namespace onnxport::optimization {
namespace {

using onnx::GraphEditor;
using onnx::Node;
using onnx::NodeId;

/// One summand: rows of a table.
struct Embedding {
  std::string table;  ///< a constant (rows, width)
  std::string ids;    ///< (batch or 1, length)
  NodeId gather = 0;
};

std::optional<Embedding> match_embedding(const PassContext& context, const std::string& value) {
  const GraphEditor& graph = context.graph;
  const auto gather = made_by(graph, value, "Gather");
  if (!gather) return std::nullopt;
  const Node& node = graph.node(*gather);
  const auto table = graph.constant(node.inputs[0]);
  if (!table || table->shape.size() != 2 || table->data_type != DataType::Float32) return std::nullopt;
  if (onnx::integer_attribute(node, "axis", 0) != 0 || context.shapes.rank(node.inputs[1]) != 2) return std::nullopt;
  return Embedding{node.inputs[0], node.inputs[1], *gather};
}

/// The two or three embeddings that the value is the sum of, as they stand in it; `sums` are the Adds.
bool match_sum(const PassContext& context, const std::string& value, std::vector<Embedding>& embeddings,
               std::vector<NodeId>& sums) {
  if (auto embedding = match_embedding(context, value)) {
    embeddings.push_back(std::move(*embedding));
    return embeddings.size() <= 3;
  }
  const auto add = made_by(context.graph, value, "Add");
  if (!add || sums.size() == 2 || context.graph.node(*add).inputs.size() != 2) return false;
  sums.push_back(*add);
  const Node& node = context.graph.node(*add);
  return match_sum(context, node.inputs[0], embeddings, sums) && match_sum(context, node.inputs[1], embeddings, sums);
}

/// Whether the ids are 0, 1, ..., length - 1, which the operator takes by itself.
bool counts_from_zero(const PassContext& context, const std::string& ids, const Dim& length) {
  const GraphEditor& graph = context.graph;
  const auto slice = made_by(graph, ids, "Slice");
  const Shape* shape = context.shapes.shape(ids);
  if (!slice || shape == nullptr || !(*shape == Shape{Dim(1), length})) return false;
  const Node& node = graph.node(*slice);
  const auto starts = integers(graph, node.inputs[1]);
  const auto axes = integers(graph, input_of(node, 3));
  const auto steps = has_input(node, 4) ? integers(graph, node.inputs[4]) : std::vector<std::int64_t>{1};
  const auto all = integers(graph, node.inputs[0]);
  if (starts != std::vector<std::int64_t>{0} || axes != std::vector<std::int64_t>{1} ||
      steps != std::vector<std::int64_t>{1} || !all)
    return false;
  for (std::size_t i = 0; i < all->size(); ++i)
    if ((*all)[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

void fuse(PassContext& context, NodeId id) {
  GraphEditor& graph = context.graph;
  const Node norm = graph.node(id);
  std::vector<Embedding> embeddings;
  std::vector<NodeId> sums;
  if (!match_sum(context, norm.inputs[0], embeddings, sums) || embeddings.size() < 2) return;
  const auto refuse = [&](const char* reason) { context.journal.left("EmbedLayerNormalization", norm, reason); };

  // Words of all sequences come first; positions are the last summand that all sequences may share.
  const Shape* whole = context.shapes.shape(norm.inputs[0]);
  if (whole == nullptr || whole->size() != 3 || !whole->back().is_constant())
    return refuse("the shape of the sum is not known");
  const Shape full{(*whole)[0], (*whole)[1]};
  const auto has_all_rows = [&](const Embedding& embedding) { return *context.shapes.shape(embedding.ids) == full; };
  std::size_t positions = embeddings.size() - 1;
  for (std::size_t i = 0; i < embeddings.size(); ++i)
    if (!has_all_rows(embeddings[i])) positions = i;
  const Embedding position = embeddings[positions];
  embeddings.erase(embeddings.begin() + static_cast<std::ptrdiff_t>(positions));
  for (const Embedding& embedding : embeddings)
    if (!has_all_rows(embedding)) return refuse("more than the positions are shared by all sequences");
  if (!(context.shapes.shape(position.ids)->back() == full[1])) return refuse("there are fewer positions than words");
  const std::int64_t axis = onnx::integer_attribute(norm, "axis", -1);
  if (axis != -1 && axis != 2) return refuse("it does not normalise the last axis");
  const std::int64_t width = whole->back().constant();
  if (!has_one_output(norm) || vector_size(graph, input_of(norm, 1)) != width ||
      vector_size(graph, input_of(norm, 2)) != width)
    return refuse("weight and bias are no constants of one dimension");
  const std::string sum = norm.inputs[0];
  for (const NodeId inner : sums)
    if (graph.node(inner).outputs[0] != sum && !graph.has_single_use(graph.node(inner).outputs[0]))
      return refuse("a part of the sum is used elsewhere");

  const auto as_int32 = [&](const std::string& ids) {
    const std::string name = name_beside(graph, norm, "EmbedCast");
    const std::string output = graph.unique_name(name + "_output_0");
    graph.add_node({"Cast", "", name, {ids}, {output}, {{"to", std::int64_t{6}}}});
    return output;
  };
  const bool has_segments = embeddings.size() == 2;
  const std::string name = name_beside(graph, norm, "EmbedLayerNormalization");
  Node fused{
      .op_type = "EmbedLayerNormalization",
      .domain = std::string(kMicrosoft),
      .name = name,
      .inputs = {as_int32(embeddings[0].ids), has_segments ? as_int32(embeddings[1].ids) : "", embeddings[0].table,
                 position.table, has_segments ? embeddings[1].table : "", norm.inputs[1], norm.inputs[2]},
      .outputs = {norm.outputs[0], graph.unique_name(name + "_mask_index")},
      .attributes = {{"epsilon", onnx::float_attribute(norm, "epsilon", 1e-5F)}}};
  if (!counts_from_zero(context, position.ids, full[1]))
    fused.inputs.insert(fused.inputs.end(), {"", as_int32(position.ids)});
  std::vector<NodeId> nodes{id};
  nodes.insert(nodes.end(), sums.begin(), sums.end());
  if (!graph.has_single_use(sum)) fused.outputs.push_back(sum);
  replace_nodes(graph, nodes, std::move(fused));
  context.journal.done("EmbedLayerNormalization");
}

}  // namespace

void fuse_embed_layer_normalization(PassContext& context) {
  for (const NodeId id : nodes_of(context.graph, "LayerNormalization"))
    if (!context.graph.is_removed(id)) fuse(context, id);
}

}  // namespace onnxport::optimization
