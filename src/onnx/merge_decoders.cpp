#include "onnx/merge_decoders.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

/// The first version of the format that Optimum writes merged decoders in.
constexpr int kSmallestIrVersion = 9;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::InvalidModel, "the decoders cannot be merged: " + why);
}

template <typename Item>
const Item* find_named(const std::vector<Item>& items, std::string_view name) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.name == name; });
  return found == items.end() ? nullptr : &*found;
}

/// As in Optimum: shape inference, and ONNX Runtime's optimizer, want such constants beside their users.
bool stays_in_branch(const TensorSource& source) {
  const bool integers = source.data_type == DataType::Int32 || source.data_type == DataType::Int64;
  return source.shape.empty() || (source.shape.size() == 1 && integers);
}

bool have_same_elements(const TensorSource& a, const TensorSource& b) {
  if (a.data_type != b.data_type || a.shape != b.shape) return false;
  if (!a.bytes.empty() && a.bytes.data() == b.bytes.data()) return true;
  constexpr std::int64_t kBlock = std::int64_t{1} << 18;
  const std::uint64_t element_size = size_of(a.data_type);
  const auto count = static_cast<std::int64_t>(a.byte_size() / element_size);
  std::vector<std::byte> left;
  std::vector<std::byte> right;
  for (std::int64_t first = 0; first < count; first += kBlock) {
    left.resize(static_cast<std::size_t>(std::min(kBlock, count - first)) * element_size);
    right.resize(left.size());
    read_elements(a, first, left);
    read_elements(b, first, right);
    if (left != right) return false;
  }
  return true;
}

using Renamings = std::unordered_map<std::string, std::string>;

void rename_uses(Graph& branch, const Renamings& renamings) {
  if (renamings.empty()) return;
  for_each_graph(branch, [&](Graph& graph) {
    for (Node& node : graph.nodes)
      for (std::string& input : node.inputs)
        if (const auto found = renamings.find(input); found != renamings.end()) input = found->second;
  });
}

/// The outer graph's initializers, with names that mean nothing else in any branch.
class SharedWeights {
 public:
  explicit SharedWeights(std::initializer_list<const Graph*> branches) {
    for (const Graph* branch : branches) for_each_graph(*branch, [&](const Graph& graph) { take_names(graph); });
  }

  /// Moves the branch's weights out of it.
  void take_from(Graph& branch) {
    std::vector<Initializer> kept;
    Renamings renamings;
    for (Initializer& initializer : branch.initializers) {
      if (stays_in_branch(initializer.source)) {
        kept.push_back(std::move(initializer));
        continue;
      }
      const std::string name = initializer.name;
      std::string shared = share(std::move(initializer));
      if (shared != name) renamings.emplace(name, std::move(shared));
    }
    branch.initializers = std::move(kept);
    rename_uses(branch, renamings);
  }

  std::vector<Initializer> release() { return std::move(weights_); }

 private:
  void take_names(const Graph& graph) {
    for (const ValueInfo& input : graph.inputs) taken_.insert(input.name);
    for (const Node& node : graph.nodes) taken_.insert(node.outputs.begin(), node.outputs.end());
    for (const Initializer& initializer : graph.initializers)
      if (stays_in_branch(initializer.source)) taken_.insert(initializer.name);
  }

  /// The name under which the weight stands in the outer graph.
  std::string share(Initializer initializer) {
    std::vector<std::size_t>& candidates = by_name_[initializer.name];
    for (const std::size_t candidate : candidates)
      if (have_same_elements(weights_[candidate].source, initializer.source)) return weights_[candidate].name;
    candidates.push_back(weights_.size());
    std::string name = initializer.name;
    for (int count = 0; !taken_.insert(name).second; ++count)
      name = initializer.name + "_merged_" + std::to_string(count);
    initializer.name = name;
    weights_.push_back(std::move(initializer));
    return name;
  }

  std::vector<Initializer> weights_;
  std::unordered_map<std::string, std::vector<std::size_t>> by_name_;  ///< the branches' names
  std::set<std::string> taken_;
};

std::vector<ValueInfo> all_inputs(const Graph& decoder, const Graph& with_past) {
  std::vector<ValueInfo> inputs = decoder.inputs;
  for (const ValueInfo& input : with_past.inputs) {
    const ValueInfo* same = find_named(decoder.inputs, input.name);
    if (same == nullptr) {
      inputs.push_back(input);
    } else if (same->data_type != input.data_type || same->shape != input.shape) {
      refuse("the input " + input.name + " has another type or shape in the decoder with past");
    }
  }
  if (find_named(inputs, use_cache_branch) != nullptr) refuse(std::string("they have an input ") + use_cache_branch);
  inputs.push_back({use_cache_branch, DataType::Bool, {std::int64_t{1}}});
  return inputs;
}

/// A Constant without elements, for an output that nobody is to read.
Node empty_constant(const ValueInfo& output, std::string name) {
  std::vector<std::int64_t> shape;
  bool has_dynamic_axis = false;
  for (const Dimension& dimension : output.shape) {
    const auto* size = std::get_if<std::int64_t>(&dimension);
    shape.push_back(size != nullptr ? *size : has_dynamic_axis ? 1 : 0);
    if (size == nullptr) has_dynamic_axis = true;
  }
  if (!has_dynamic_axis) refuse("the output " + output.name + " of the decoder has no dynamic axis");
  return {.op_type = "Constant",
          .domain = "",
          .name = std::move(name),
          .inputs = {},
          .outputs = {output.name},
          .attributes = {{"value", Array(output.data_type, std::move(shape))}}};
}

/// Gives the decoder with past the outputs of the other one.
void unify_outputs(const Graph& decoder, Graph& with_past) {
  for (const ValueInfo& output : with_past.outputs) {
    const ValueInfo* same = find_named(decoder.outputs, output.name);
    if (same == nullptr) refuse("only the decoder with past has an output " + output.name);
    if (same->data_type != output.data_type) refuse("the output " + output.name + " has two types");
  }
  for (const ValueInfo& output : decoder.outputs)
    if (find_named(with_past.outputs, output.name) == nullptr)
      with_past.nodes.push_back(empty_constant(output, "/merged/" + output.name + "/Constant"));
  with_past.outputs = decoder.outputs;
}

Graph as_branch(Graph graph, std::string name) {
  graph.name = std::move(name);
  graph.doc_string.clear();
  graph.inputs.clear();
  return graph;
}

std::map<std::string, int> all_opset_imports(const Model& decoder, const Model& with_past) {
  std::map<std::string, int> imports = decoder.opset_imports;
  for (const auto& [domain, version] : with_past.opset_imports)
    if (imports.try_emplace(domain, version).first->second != version)
      refuse("they are made for two opsets of the domain \"" + domain + "\"");
  return imports;
}

}  // namespace

Model merge_decoders(Model decoder, Model decoder_with_past) {
  if (!decoder.functions.empty() || !decoder_with_past.functions.empty()) refuse("they have functions of their own");
  unify_outputs(decoder.graph, decoder_with_past.graph);

  Model merged;
  merged.ir_version = std::max({kSmallestIrVersion, decoder.ir_version, decoder_with_past.ir_version});
  merged.producer_name = std::move(decoder.producer_name);
  merged.producer_version = std::move(decoder.producer_version);
  merged.opset_imports = all_opset_imports(decoder, decoder_with_past);
  merged.graph.name = "merged";
  merged.graph.inputs = all_inputs(decoder.graph, decoder_with_past.graph);
  merged.graph.outputs = decoder.graph.outputs;

  SharedWeights weights({&decoder.graph, &decoder_with_past.graph});
  weights.take_from(decoder.graph);
  weights.take_from(decoder_with_past.graph);
  merged.graph.initializers = weights.release();

  Node branch{.op_type = "If",
              .domain = "",
              .name = "optimum::if",
              .inputs = {use_cache_branch},
              .outputs = {},
              .attributes = {{"else_branch", Subgraph(as_branch(std::move(decoder.graph), "no_past"))},
                             {"then_branch", Subgraph(as_branch(std::move(decoder_with_past.graph), "with_past"))}}};
  for (const ValueInfo& output : merged.graph.outputs) branch.outputs.push_back(output.name);
  merged.graph.nodes.push_back(std::move(branch));
  return merged;
}

}  // namespace onnxport::onnx
