#include "onnx/graph_editor.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

/// Calls `visit` with each subgraph that a node holds.
template <typename AnyNode, typename Visit>
void for_each_subgraph(AnyNode& node, const Visit& visit) {
  for (auto& attribute : node.attributes)
    if (auto* subgraph = std::get_if<Subgraph>(&attribute.value)) visit(**subgraph);
}

void rename_uses(Graph& subgraph, const std::string& from, const std::string& to) {
  for_each_graph(subgraph, [&](Graph& graph) {
    for (Node& node : graph.nodes) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
  });
  // A branch may hand on a value of the graph around it.
  const auto output = std::find_if(subgraph.outputs.begin(), subgraph.outputs.end(),
                                   [&](const ValueInfo& value) { return value.name == from; });
  if (output != subgraph.outputs.end()) output->name = to;
}

}  // namespace

std::vector<std::string> captured_values(const Graph& subgraph) {
  std::set<std::string, std::less<>> own;
  for (const ValueInfo& input : subgraph.inputs) own.insert(input.name);
  for (const Initializer& initializer : subgraph.initializers) own.insert(initializer.name);
  for (const Node& node : subgraph.nodes) own.insert(node.outputs.begin(), node.outputs.end());

  std::vector<std::string> captured;
  std::set<std::string, std::less<>> seen;
  const auto use = [&](const std::string& value) {
    if (!value.empty() && !own.contains(value) && seen.insert(value).second) captured.push_back(value);
  };
  for (const Node& node : subgraph.nodes) {
    for (const std::string& input : node.inputs) use(input);
    for_each_subgraph(node, [&](const Graph& inner) {
      for (const std::string& value : captured_values(inner)) use(value);
    });
  }
  for (const ValueInfo& output : subgraph.outputs) use(output.name);
  return captured;
}

GraphEditor::GraphEditor(Graph& graph, GraphEditor* outer)
    : target_(graph), graph_(std::exchange(graph, Graph{})), outer_(outer) {
  if (outer_ == nullptr) collect_names();
  for (const ValueInfo& input : graph_.inputs) input_names_.insert(input.name);
  for (const ValueInfo& output : graph_.outputs) output_names_.insert(output.name);
  for (auto* values : {&graph_.inputs, &graph_.outputs, &graph_.value_infos})
    for (const ValueInfo& value : *values) value_infos_.insert_or_assign(value.name, value);
  for (Initializer& initializer : graph_.initializers) {
    initializer_index_.emplace(initializer.name, initializers_.size());
    initializers_.push_back(std::move(initializer));
  }
  for (Node& node : graph_.nodes) {
    entries_.push_back({std::move(node), {}, false});
    index(entries_.size() - 1);
  }
  original_count_ = entries_.size();
  graph_.nodes.clear();
  graph_.initializers.clear();
  graph_.value_infos.clear();
}

void GraphEditor::collect_names() {
  for_each_graph(std::as_const(graph_), [&](const Graph& graph) {
    for (const auto* values : {&graph.inputs, &graph.outputs})
      for (const ValueInfo& value : *values) names_.insert(value.name);
    for (const Initializer& initializer : graph.initializers) names_.insert(initializer.name);
    for (const Node& node : graph.nodes) {
      names_.insert(node.name);
      names_.insert(node.outputs.begin(), node.outputs.end());
    }
  });
}

// ---- Who makes and who uses a value -------------------------------------------------------------------------------

void GraphEditor::add_use(const std::string& value, NodeId id) {
  if (!value.empty()) uses_[value].push_back(id);
}

void GraphEditor::remove_use(const std::string& value, NodeId id) {
  const auto found = uses_.find(value);
  if (found == uses_.end()) return;
  const auto use = std::find(found->second.begin(), found->second.end(), id);
  if (use != found->second.end()) found->second.erase(use);
}

void GraphEditor::index(NodeId id) {
  Entry& entry = entries_[id];
  for (const std::string& output : entry.node.outputs) {
    if (output.empty()) continue;
    const auto [position, is_new] = producers_.emplace(output, id);
    if (!is_new && position->second != id)
      throw Error(ErrorKind::InvalidModel, "the nodes '" + entries_[position->second].node.name + "' and '" +
                                               entry.node.name + "' both make the value '" + output + "'");
  }
  entry.captured.clear();
  for_each_subgraph(std::as_const(entry.node), [&](const Graph& subgraph) {
    for (std::string& value : captured_values(subgraph)) entry.captured.push_back(std::move(value));
  });
  for (const std::string& input : entry.node.inputs) add_use(input, id);
  for (const std::string& value : entry.captured) add_use(value, id);
}

void GraphEditor::unindex(NodeId id) {
  const Entry& entry = entries_[id];
  for (const std::string& output : entry.node.outputs) producers_.erase(output);
  for (const std::string& input : entry.node.inputs) remove_use(input, id);
  for (const std::string& value : entry.captured) remove_use(value, id);
}

std::vector<NodeId> GraphEditor::nodes() const {
  std::vector<NodeId> ids;
  for (NodeId id = 0; id < entries_.size(); ++id)
    if (!entries_[id].removed) ids.push_back(id);
  return ids;
}

std::optional<NodeId> GraphEditor::producer(std::string_view value) const {
  const auto found = producers_.find(value);
  return found == producers_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<NodeId> GraphEditor::consumers(std::string_view value) const {
  const auto found = uses_.find(value);
  if (found == uses_.end()) return {};
  std::vector<NodeId> ids = found->second;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

bool GraphEditor::has_single_use(std::string_view value) const {
  const auto found = uses_.find(value);
  return found != uses_.end() && found->second.size() == 1 && !is_graph_output(value);
}

bool GraphEditor::is_graph_input(std::string_view value) const { return input_names_.contains(value); }
bool GraphEditor::is_graph_output(std::string_view value) const { return output_names_.contains(value); }

// ---- Changes ------------------------------------------------------------------------------------------------------

NodeId GraphEditor::add_node(Node node) {
  GraphEditor* outermost = this;
  while (outermost->outer_ != nullptr) outermost = outermost->outer_;
  outermost->names_.insert(node.name);
  outermost->names_.insert(node.outputs.begin(), node.outputs.end());
  entries_.push_back({std::move(node), {}, false});
  index(entries_.size() - 1);
  return entries_.size() - 1;
}

void GraphEditor::remove_node(NodeId id) {
  if (entries_[id].removed) return;
  unindex(id);
  entries_[id].removed = true;
}

void GraphEditor::set_input(NodeId id, std::size_t index, std::string value) {
  std::vector<std::string>& inputs = entries_[id].node.inputs;
  if (index >= inputs.size()) inputs.resize(index + 1);
  remove_use(inputs[index], id);
  inputs[index] = std::move(value);
  add_use(inputs[index], id);
}

void GraphEditor::rename_output(const std::string& from, const std::string& to) {
  const NodeId id = producers_.at(from);
  producers_.erase(from);
  producers_.insert_or_assign(to, id);
  std::vector<std::string>& outputs = entries_[id].node.outputs;
  std::replace(outputs.begin(), outputs.end(), from, to);
}

void GraphEditor::replace_uses(const std::string& from, const std::string& to) {
  if (from == to) return;
  for (const NodeId id : consumers(from)) {
    unindex(id);
    Node& node = entries_[id].node;
    std::replace(node.inputs.begin(), node.inputs.end(), from, to);
    for_each_subgraph(node, [&](Graph& subgraph) { rename_uses(subgraph, from, to); });
    index(id);
  }
  if (!is_graph_output(from)) return;

  // The graph's output keeps its name: whoever made it makes something without use under another one.
  if (producer(from)) rename_output(from, unique_name(from + "_replaced"));
  if (!producer(to) || is_graph_output(to)) {
    const std::string name = unique_name(from + "_Identity");
    add_node({.op_type = "Identity", .domain = "", .name = name, .inputs = {to}, .outputs = {from}, .attributes = {}});
    return;
  }
  rename_output(to, from);
  for (const NodeId id : consumers(to)) {
    unindex(id);
    Node& node = entries_[id].node;
    std::replace(node.inputs.begin(), node.inputs.end(), to, from);
    for_each_subgraph(node, [&](Graph& subgraph) { rename_uses(subgraph, to, from); });
    index(id);
  }
}

// ---- Initializers, types and names --------------------------------------------------------------------------------

const Initializer* GraphEditor::initializer(std::string_view name) const {
  for (const GraphEditor* editor = this; editor != nullptr; editor = editor->outer_) {
    if (editor->producers_.contains(name)) return nullptr;
    const auto found = editor->initializer_index_.find(name);
    if (found != editor->initializer_index_.end()) return &editor->initializers_[found->second];
    if (editor->is_graph_input(name)) return nullptr;
  }
  return nullptr;
}

GraphEditor& GraphEditor::home_of(std::string_view initializer) {
  for (GraphEditor* editor = this; editor != nullptr; editor = editor->outer_)
    if (editor->initializer_index_.contains(initializer)) return *editor;
  throw Error(ErrorKind::InvalidArgument, "the graph has no initializer '" + std::string(initializer) + "'");
}

std::optional<TensorSource> GraphEditor::constant(std::string_view value) const {
  for (const GraphEditor* editor = this; editor != nullptr; editor = editor->outer_) {
    if (const auto id = editor->producer(value)) {
      const Node& node = editor->node(*id);
      const Attribute* attribute = node.op_type == "Constant" ? find_attribute(node, "value") : nullptr;
      const auto* array = attribute == nullptr ? nullptr : std::get_if<Array>(&attribute->value);
      return array == nullptr ? std::nullopt : std::optional(from_array(*array));
    }
    // The caller of the model may replace an initializer that is an input, too.
    if (editor->is_graph_input(value)) return std::nullopt;
    const auto found = editor->initializer_index_.find(value);
    if (found != editor->initializer_index_.end()) return editor->initializers_[found->second].source;
  }
  return std::nullopt;
}

std::string GraphEditor::add_initializer(std::string_view base, TensorSource source) {
  std::string name = unique_name(base);
  initializer_index_.emplace(name, initializers_.size());
  initializers_.push_back({name, std::move(source)});
  return name;
}

void GraphEditor::replace_initializer(std::string_view name, TensorSource source) {
  const auto found = initializer_index_.find(name);
  if (found == initializer_index_.end())
    throw Error(ErrorKind::InvalidArgument, "the graph has no initializer '" + std::string(name) + "'");
  initializers_[found->second] = {std::string(name), std::move(source)};
}

std::optional<ValueInfo> GraphEditor::value_info(std::string_view value) const {
  for (const GraphEditor* editor = this; editor != nullptr; editor = editor->outer_) {
    if (const auto found = editor->value_infos_.find(value); found != editor->value_infos_.end()) return found->second;
    if (const auto found = editor->initializer_index_.find(value); found != editor->initializer_index_.end()) {
      const TensorSource& source = editor->initializers_[found->second].source;
      return ValueInfo{std::string(value), source.data_type, {source.shape.begin(), source.shape.end()}};
    }
  }
  return std::nullopt;
}

void GraphEditor::set_value_info(ValueInfo value) {
  std::string name = value.name;
  value_infos_.insert_or_assign(std::move(name), std::move(value));
}

std::string GraphEditor::unique_name(std::string_view base) {
  if (outer_ != nullptr) return outer_->unique_name(base);
  std::string name(base);
  for (int count = 1; !names_.insert(name).second; ++count) name = std::string(base) + "_" + std::to_string(count);
  return name;
}

void GraphEditor::edit_subgraphs(const std::function<void(GraphEditor&)>& edit) {
  for (const NodeId id : nodes()) {
    Node& node = entries_[id].node;
    bool has_subgraph = false;
    for_each_subgraph(std::as_const(node), [&](const Graph&) { has_subgraph = true; });
    if (!has_subgraph) continue;
    unindex(id);
    for_each_subgraph(node, [&](Graph& subgraph) {
      GraphEditor editor(subgraph, this);
      edit(editor);
      editor.finish();
    });
    index(id);
  }
}

// ---- The end ------------------------------------------------------------------------------------------------------

std::vector<NodeId> GraphEditor::needed_nodes() const {
  std::vector<bool> needed(entries_.size(), false);
  std::vector<NodeId> waiting;
  const auto need = [&](const std::string& value) {
    const auto id = producer(value);
    if (!id || needed[*id]) return;
    needed[*id] = true;
    waiting.push_back(*id);
  };
  for (const ValueInfo& output : graph_.outputs) need(output.name);
  while (!waiting.empty()) {
    const Entry& entry = entries_[waiting.back()];
    waiting.pop_back();
    for (const std::string& input : entry.node.inputs) need(input);
    for (const std::string& value : entry.captured) need(value);
  }
  std::vector<NodeId> ids;
  for (NodeId id = 0; id < needed.size(); ++id)
    if (needed[id]) ids.push_back(id);
  return ids;
}

std::vector<NodeId> GraphEditor::sorted(std::vector<NodeId> needed) const {
  // Of what may come next, the node with the smallest rank does: those that were there keep their order, and one that
  // was added comes right before the first of its users.
  std::vector<NodeId> rank(entries_.size());
  std::iota(rank.begin(), rank.end(), NodeId{0});
  for (NodeId id = rank.size(); id-- > original_count_;) {
    for (const std::string& output : entries_[id].node.outputs)
      for (const NodeId user : consumers(output)) rank[id] = std::min(rank[id], rank[user]);
  }
  const auto inputs_of = [&](NodeId id, const auto& visit) {
    const Entry& entry = entries_[id];
    for (const auto* values : {&entry.node.inputs, &entry.captured})
      for (const std::string& value : *values)
        if (const auto made_by = producer(value)) visit(*made_by);
  };

  std::vector<std::size_t> missing(entries_.size(), 0);
  for (const NodeId id : needed) inputs_of(id, [&](NodeId) { ++missing[id]; });

  using Candidate = std::pair<NodeId, NodeId>;  // rank, id
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> ready;
  for (const NodeId id : needed)
    if (missing[id] == 0) ready.push({rank[id], id});
  std::vector<bool> is_needed(entries_.size(), false);
  for (const NodeId id : needed) is_needed[id] = true;

  std::vector<NodeId> order;
  while (!ready.empty()) {
    const NodeId id = ready.top().second;
    ready.pop();
    order.push_back(id);
    for (const std::string& output : entries_[id].node.outputs) {
      const auto found = uses_.find(output);
      if (found == uses_.end()) continue;
      for (const NodeId user : found->second)
        if (is_needed[user] && --missing[user] == 0) ready.push({rank[user], user});
    }
  }
  if (order.size() != needed.size())
    throw Error(ErrorKind::InvalidModel, "the graph's nodes depend on each other in a circle");
  return order;
}

void GraphEditor::finish() {
  const std::vector<NodeId> order = sorted(needed_nodes());
  NameSet used;
  for (const NodeId id : order) {
    const Entry& entry = entries_[id];
    used.insert(entry.node.inputs.begin(), entry.node.inputs.end());
    used.insert(entry.captured.begin(), entry.captured.end());
    used.insert(entry.node.outputs.begin(), entry.node.outputs.end());
  }
  for (const ValueInfo& output : graph_.outputs) used.insert(output.name);

  target_ = std::move(graph_);
  for (const NodeId id : order) target_.nodes.push_back(std::move(entries_[id].node));
  for (Initializer& initializer : initializers_)
    if (used.contains(initializer.name) || input_names_.contains(initializer.name))
      target_.initializers.push_back(std::move(initializer));
  std::vector<std::string> inner;
  for (const auto& [name, value] : value_infos_)
    if (used.contains(name) && !input_names_.contains(name) && !output_names_.contains(name)) inner.push_back(name);
  std::sort(inner.begin(), inner.end());
  for (const std::string& name : inner) target_.value_infos.push_back(std::move(value_infos_.find(name)->second));
}

void edit_graphs(Graph& graph, const std::function<void(GraphEditor&)>& edit) {
  const std::function<void(GraphEditor&)> edit_all = [&](GraphEditor& editor) {
    edit(editor);
    editor.edit_subgraphs(edit_all);
  };
  GraphEditor editor(graph);
  edit_all(editor);
  editor.finish();
}

}  // namespace onnxport::onnx
