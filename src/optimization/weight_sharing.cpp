#include "optimization/weight_sharing.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "onnxport/array.h"

namespace onnxport::optimization {
namespace {

using onnx::Graph;
using onnx::Initializer;

/// What initializers must have in common to be compared byte by byte: so much is read of each.
std::string signature(const TensorSource& source) {
  constexpr std::size_t kSample = 64;
  std::string text = std::string(to_string(source.data_type)) + shape_to_string(source.shape);
  const auto* bytes = reinterpret_cast<const char*>(source.bytes.data());
  const std::size_t size = source.bytes.size();
  text.append(bytes, std::min(kSample, size));
  if (size > kSample) text.append(bytes + size - kSample, kSample);
  return text;
}

bool is_equal(const TensorSource& a, const TensorSource& b) {
  if (a.bytes.data() == b.bytes.data()) return true;
  return std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

void rename_inputs(Graph& graph, const std::unordered_map<std::string, std::string>& names) {
  const auto rename = [&](std::string& name) {
    if (const auto found = names.find(name); found != names.end()) name = found->second;
  };
  onnx::for_each_graph(graph, [&](Graph& inner) {
    for (onnx::Node& node : inner.nodes)
      for (std::string& input : node.inputs) rename(input);
  });
}

std::set<std::string> interface_of(const Graph& graph) {
  std::set<std::string> names;
  for (const auto* values : {&graph.inputs, &graph.outputs})
    for (const onnx::ValueInfo& value : *values) names.insert(value.name);
  return names;
}

}  // namespace

int share_weights(onnx::Model& model) {
  // Branches may give one name to different tensors: those stay.
  std::map<std::string, int> uses_of_name;
  onnx::for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers) ++uses_of_name[initializer.name];
  });
  std::map<std::string, std::vector<Initializer*>> groups;
  std::map<const Initializer*, Graph*> homes;
  onnx::for_each_graph(model.graph, [&](Graph& graph) {
    const std::set<std::string> interface = interface_of(graph);
    for (Initializer& initializer : graph.initializers) {
      if (initializer.source.bytes.empty() || interface.contains(initializer.name)) continue;
      if (uses_of_name.at(initializer.name) > 1) continue;
      groups[signature(initializer.source)].push_back(&initializer);
      homes[&initializer] = &graph;
    }
  });

  std::unordered_map<std::string, std::string> names;
  std::vector<Initializer> moved;
  for (auto& [key, group] : groups) {
    std::vector<Initializer*> kept;
    for (Initializer* initializer : group) {
      const auto same = std::find_if(kept.begin(), kept.end(), [&](const Initializer* other) {
        return is_equal(other->source, initializer->source);
      });
      if (same == kept.end()) {
        kept.push_back(initializer);
        continue;
      }
      // Seen from both: in the outermost graph.
      const bool is_near = homes.at(*same) == homes.at(initializer) || homes.at(*same) == &model.graph;
      if (!is_near) {
        moved.push_back(**same);
        homes[*same] = &model.graph;
      }
      names.emplace(initializer->name, (*same)->name);
    }
  }
  if (names.empty()) return 0;
  std::set<std::string> gone;
  for (const auto& [name, other] : names) gone.insert(name);
  for (const Initializer& initializer : moved) gone.insert(initializer.name);
  onnx::for_each_graph(model.graph, [&](Graph& graph) {
    std::erase_if(graph.initializers, [&](const Initializer& entry) { return gone.contains(entry.name); });
  });
  for (Initializer& initializer : moved) model.graph.initializers.push_back(std::move(initializer));
  rename_inputs(model.graph, names);
  return static_cast<int>(names.size());
}

}  // namespace onnxport::optimization
