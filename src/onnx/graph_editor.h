#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "onnx/model.h"

namespace onnxport::onnx {

/// A node of a GraphEditor; valid as long as the editor, also when its node is removed.
using NodeId = std::size_t;

/// A graph under change: who makes each value and who uses it, kept true while nodes come and go. What passes of
/// optimization and quantization work with.
///
/// A value that a subgraph uses counts as used by the node that holds the subgraph. Names are unique in the whole
/// model. The graph is moved into the editor and put back by finish(); without it the graph is left empty.
class GraphEditor {
 public:
  /// `outer` is the editor of the graph around a subgraph: its initializers are seen, its names are taken.
  /// Throws Error(InvalidModel): two nodes make one value.
  explicit GraphEditor(Graph& graph, GraphEditor* outer = nullptr);
  GraphEditor(const GraphEditor&) = delete;
  GraphEditor& operator=(const GraphEditor&) = delete;

  /// All nodes, in the order of execution and then of adding, without those removed.
  std::vector<NodeId> nodes() const;
  const Node& node(NodeId id) const { return entries_[id].node; }
  /// For attributes, the operator and the name. Inputs and outputs are changed by the functions below.
  Node& mutable_node(NodeId id) { return entries_[id].node; }
  bool is_removed(NodeId id) const { return entries_[id].removed; }

  NodeId add_node(Node node);
  void remove_node(NodeId id);
  void set_input(NodeId id, std::size_t index, std::string value);
  /// Every use of `from` becomes one of `to`, in nodes and in their subgraphs. An output of the graph keeps its name:
  /// where `from` is one, the node that makes `to` makes it under the name `from` instead; if `to` has no such node or
  /// is an output itself, an Identity is added.
  void replace_uses(const std::string& from, const std::string& to);

  /// The node that makes the value; nullopt for inputs, initializers and values of outer graphs.
  std::optional<NodeId> producer(std::string_view value) const;
  /// The nodes that use the value, each once, in the order of their ids.
  std::vector<NodeId> consumers(std::string_view value) const;
  /// Whether the value is used in one place only, which is not an output of the graph.
  bool has_single_use(std::string_view value) const;
  bool is_graph_input(std::string_view value) const;
  bool is_graph_output(std::string_view value) const;

  /// An initializer of this graph or of one around it; nullptr if there is none.
  const Initializer* initializer(std::string_view name) const;
  /// The value where it is constant: an initializer that is no graph input, or the output of Constant.
  std::optional<TensorSource> constant(std::string_view value) const;
  /// Adds an initializer under a free name that begins with `base`, and gives the name.
  std::string add_initializer(std::string_view base, TensorSource source);
  void replace_initializer(std::string_view name, TensorSource source);
  /// The editor of the graph that has this initializer: itself or one around it. What replaces a weight belongs there,
  /// so that all branches share it. Throws Error(InvalidArgument) if there is no such initializer.
  GraphEditor& home_of(std::string_view initializer);

  /// What the model says of a value's type: of inputs, outputs, initializers and, if it has them, inner values.
  std::optional<ValueInfo> value_info(std::string_view value) const;
  void set_value_info(ValueInfo value);

  /// A name that no value and no node has, `base` itself if it is free.
  std::string unique_name(std::string_view base);

  const std::vector<ValueInfo>& inputs() const { return graph_.inputs; }
  const std::vector<ValueInfo>& outputs() const { return graph_.outputs; }

  /// Calls `edit` with an editor of each graph that an attribute of this graph's nodes holds, and finishes it.
  void edit_subgraphs(const std::function<void(GraphEditor&)>& edit);

  /// Removes what no output needs and puts everything back in the order of execution, as near to the old one as
  /// possible. Throws Error(InvalidModel) if nodes depend on each other in a circle.
  void finish();

 private:
  struct Entry {
    Node node;
    std::vector<std::string> captured;  ///< values of this graph and outer ones that its subgraphs use
    bool removed = false;
  };

  struct StringHash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  template <typename Value>
  using NameMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;
  using NameSet = std::unordered_set<std::string, StringHash, std::equal_to<>>;

  void index(NodeId id);
  void unindex(NodeId id);
  void add_use(const std::string& value, NodeId id);
  void remove_use(const std::string& value, NodeId id);
  void collect_names();
  void rename_output(const std::string& from, const std::string& to);
  std::vector<NodeId> needed_nodes() const;
  std::vector<NodeId> sorted(std::vector<NodeId> needed) const;

  Graph& target_;
  Graph graph_;
  GraphEditor* outer_;
  std::deque<Entry> entries_;
  NodeId original_count_ = 0;  ///< nodes from this id on were added
  std::deque<Initializer> initializers_;
  NameMap<NodeId> producers_;
  NameMap<std::vector<NodeId>> uses_;  ///< a node once for each use
  NameMap<std::size_t> initializer_index_;
  NameMap<ValueInfo> value_infos_;
  NameSet input_names_;
  NameSet output_names_;
  NameSet names_;  ///< of values and nodes of all graphs, in the outermost editor only
};

/// Values of graphs around it that a subgraph uses, each once.
std::vector<std::string> captured_values(const Graph& subgraph);

/// Calls `edit` with an editor of the graph and of each graph inside, outer ones first, and finishes them.
void edit_graphs(Graph& graph, const std::function<void(GraphEditor&)>& edit);

}  // namespace onnxport::onnx
