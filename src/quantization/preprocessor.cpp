// Passes of optimum/onnxruntime/preprocessors/passes.
#include <algorithm>
#include <initializer_list>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "onnx/reader.h"
#include "onnxport/quantizer.h"

namespace onnxport {
namespace {

using onnx::Graph;
using onnx::Node;

class Walker {
 public:
  explicit Walker(const Graph& graph) : graph_(graph) {
    for (const Node& node : graph.nodes)
      for (const std::string& output : node.outputs) producers_[output] = &node;
  }

  void run(const PreprocessorPass& pass) {
    using Kind = PreprocessorPass::Kind;
    switch (pass.kind) {
      case Kind::NodeFollowedBy:
        return neighbours(pass.first, pass.second, true);
      case Kind::NodeAfter:
        return neighbours(pass.first, pass.second, false);
      case Kind::FullyConnected:
        for (const Node& node : graph_.nodes)
          if (node.op_type == "Gemm") to_quantize.insert(node.name);
        return patterns("Add", {{"MatMul", 1}}, to_quantize);
      case Kind::Gelu:
        return patterns("Mul", {{"Mul", 0}, {"Add", 1}, {"Erf", 0}, {"Div", 0}}, to_exclude);
      case Kind::LayerNorm:
        return patterns("Add",
                        {{"Mul", 0},
                         {"Div", 0},
                         {"Sqrt", 1},
                         {"Add", 0},
                         {"ReduceMean", 0},
                         {"Pow", 0},
                         {"Sub", 0},
                         {"ReduceMean", 1}},
                        to_exclude);
    }
  }

  std::set<std::string> to_quantize;
  std::set<std::string> to_exclude;

 private:
  struct Step {
    const char* op_type;
    std::size_t input;
  };

  const Node* producer(const std::string& value) const {
    const auto found = producers_.find(value);
    return found == producers_.end() ? nullptr : found->second;
  }

  /// Pairs of nodes of which the second reads what the first makes; one of both is excluded.
  void neighbours(const std::string& first, const std::string& second, bool exclude_first) {
    for (const Node& node : graph_.nodes) {
      if (node.op_type != second) continue;
      for (const std::string& input : node.inputs) {
        const Node* parent = producer(input);
        if (parent != nullptr && parent->op_type == first) to_exclude.insert((exclude_first ? *parent : node).name);
      }
    }
  }

  /// Chains of producers: OnnxModel.match_parent_path.
  void patterns(const char* last, std::initializer_list<Step> path, std::set<std::string>& target) {
    for (const Node& node : graph_.nodes) {
      if (node.op_type != last) continue;
      std::vector<std::string> names{node.name};
      const Node* current = &node;
      for (const Step& step : path) {
        current = step.input < current->inputs.size() ? producer(current->inputs[step.input]) : nullptr;
        if (current == nullptr || current->op_type != step.op_type) break;
        names.push_back(current->name);
      }
      if (names.size() == path.size() + 1) target.insert(names.begin(), names.end());
    }
  }

  const Graph& graph_;
  std::unordered_map<std::string, const Node*> producers_;
};

}  // namespace

PreprocessorPass ExcludeNodeFollowedBy(std::string operator_type_to_exclude, std::string following_operator_type) {
  return {PreprocessorPass::Kind::NodeFollowedBy, std::move(operator_type_to_exclude),
          std::move(following_operator_type)};
}
PreprocessorPass ExcludeNodeAfter(std::string parent_operator_type, std::string operator_type_to_exclude) {
  return {PreprocessorPass::Kind::NodeAfter, std::move(parent_operator_type), std::move(operator_type_to_exclude)};
}
PreprocessorPass IncludeFullyConnectedNodes() { return {PreprocessorPass::Kind::FullyConnected}; }
PreprocessorPass ExcludeGeLUNodes() { return {PreprocessorPass::Kind::Gelu}; }
PreprocessorPass ExcludeLayerNormNodes() { return {PreprocessorPass::Kind::LayerNorm}; }

QuantizationPreprocessor::Nodes QuantizationPreprocessor::collect(const std::filesystem::path& onnx_file) const {
  if (passes_.empty()) return {};
  const onnx::Model model = onnx::read_model(onnx_file);
  Walker walker(model.graph);
  for (const PreprocessorPass& pass : passes_) walker.run(pass);
  Nodes nodes;
  std::set_difference(walker.to_quantize.begin(), walker.to_quantize.end(), walker.to_exclude.begin(),
                      walker.to_exclude.end(), std::back_inserter(nodes.to_quantize));
  nodes.to_exclude.assign(walker.to_exclude.begin(), walker.to_exclude.end());
  // Nodes without a name cannot be told apart.
  for (auto* names : {&nodes.to_quantize, &nodes.to_exclude}) std::erase(*names, "");
  return nodes;
}

}  // namespace onnxport
