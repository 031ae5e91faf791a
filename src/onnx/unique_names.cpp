#include "onnx/unique_names.h"

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace onnxport::onnx {
namespace {

using NameSet = std::unordered_set<std::string>;
using Renamings = std::unordered_map<std::string, std::string>;

/// Values that the graph itself has, "" among them.
NameSet own_values(const Graph& graph) {
  NameSet names;
  for (const ValueInfo& input : graph.inputs) names.insert(input.name);
  for (const Initializer& initializer : graph.initializers) names.insert(initializer.name);
  for (const Node& node : graph.nodes) names.insert(node.outputs.begin(), node.outputs.end());
  return names;
}

class Renamer {
 public:
  explicit Renamer(const Graph& graph) {
    for_each_graph(graph, [&](const Graph& each) { all_.merge(own_values(each)); });
  }

  /// `renamings`: of the values of graphs around this one.
  void run(Graph& graph, Renamings renamings, const std::string& suffix) {
    for (const std::string& name : own_values(graph)) {
      renamings.erase(name);
      if (!name.empty() && !seen_.insert(name).second) renamings[name] = free_name(name + "_" + suffix);
    }
    const auto rename = [&](std::string& name) {
      if (const auto found = renamings.find(name); found != renamings.end()) name = found->second;
    };
    for (auto* infos : {&graph.inputs, &graph.outputs, &graph.value_infos})
      for (ValueInfo& info : *infos) rename(info.name);
    for (Initializer& initializer : graph.initializers) rename(initializer.name);
    for (Node& node : graph.nodes) {
      for (auto* names : {&node.inputs, &node.outputs})
        for (std::string& name : *names) rename(name);
      for (Attribute& attribute : node.attributes)
        if (auto* subgraph = std::get_if<Subgraph>(&attribute.value)) run(**subgraph, renamings, attribute.name);
    }
  }

 private:
  std::string free_name(const std::string& base) {
    std::string name = base;
    for (int i = 1; !all_.insert(name).second; ++i) name = base + "_" + std::to_string(i);
    seen_.insert(name);
    return name;
  }

  NameSet all_;
  NameSet seen_;
};

}  // namespace

void make_value_names_unique(Graph& graph) { Renamer(graph).run(graph, {}, ""); }

}  // namespace onnxport::onnx
