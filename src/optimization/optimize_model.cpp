#include "optimization/optimize_model.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "onnx/value_types.h"
#include "optimization/pass.h"
#include "optimization/weight_sharing.h"

namespace onnxport::optimization {
namespace {

/// Folding makes no-ops and equal nodes, and these make constants: rounds until nothing is left, seldom more than
/// three.
constexpr int kMostRounds = 8;

/// A Cast to the type that the value has becomes an Identity.
void mark_useless_casts(onnx::Graph& graph, const onnx::ValueTypes* outer) {
  const onnx::ValueTypes types(graph, outer);
  for (onnx::Node& node : graph.nodes) {
    for (onnx::Attribute& attribute : node.attributes)
      if (auto* subgraph = std::get_if<onnx::Subgraph>(&attribute.value)) mark_useless_casts(**subgraph, &types);
    if (node.op_type != "Cast" || !node.domain.empty() || node.inputs.empty()) continue;
    const auto type = types.find(node.inputs[0]);
    if (!type || onnx_data_type(*type) != onnx::integer_attribute(node, "to", 0)) continue;
    node.op_type = "Identity";
    node.attributes.clear();
  }
}

class Optimizer {
 public:
  Optimizer(onnx::Model& model, const OptimizationConfig& config, OptimizedModel& report)
      : model_(model), config_(config), report_(report), journal_(report) {
    const auto opset = model.opset_imports.find("");
    const auto named = model.opset_imports.find("ai.onnx");
    if (opset != model.opset_imports.end()) opset_ = opset->second;
    if (named != model.opset_imports.end()) opset_ = named->second;
  }

  void simplify() {
    for (int round = 0; round < kMostRounds; ++round) {
      const std::map<std::string, int> before = report_.applied;
      run(fold_constants);
      mark_useless_casts(model_.graph, nullptr);
      run(remove_no_ops);
      run(read_sizes_from_inputs);
      run(share_common_subexpressions);
      if (report_.applied == before) return;
    }
  }

  void fuse() {
    if (!config_.disable_layer_norm_fusion) {
      run(fuse_layer_normalization);
      run(fuse_simplified_layer_normalization);
    }
    if (!config_.disable_gelu_fusion) {
      run(fuse_gelu);
      run(fuse_quick_gelu);
    }
    if (!config_.disable_rotary_embeddings) {
      run(fuse_rotary_embeddings);
      run(remove_no_ops);
    }
    if (!config_.disable_attention_fusion) run(fuse_attention);
    if (!config_.disable_embed_layer_norm_fusion) run(fuse_embed_layer_normalization);
    if (!config_.disable_skip_layer_norm_fusion) run(fuse_skip_layer_normalization);
    if (!config_.disable_bias_gelu_fusion) run(fuse_bias_gelu);
    if (config_.enable_gelu_approximation) run(approximate_gelu);
  }

 private:
  void run(Pass pass) {
    onnx::GraphEditor editor(model_.graph);
    run(pass, editor, nullptr, editor.inputs());
    editor.finish();
  }

  void run(Pass pass, onnx::GraphEditor& editor, const ShapeInference* outer,
           const std::vector<onnx::ValueInfo>& model_inputs) {
    const ShapeInference shapes(editor, outer);
    PassContext context{editor, shapes, journal_, config_, opset_, model_inputs};
    pass(context);
    editor.edit_subgraphs([&](onnx::GraphEditor& inner) { run(pass, inner, &shapes, model_inputs); });
  }

  onnx::Model& model_;
  const OptimizationConfig& config_;
  OptimizedModel& report_;
  Journal journal_;
  int opset_ = 0;
};

bool uses_domain(const onnx::Model& model, std::string_view domain) {
  bool found = false;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes) found = found || node.domain == domain;
  });
  return found;
}

}  // namespace

void Journal::left(std::string_view what, const onnx::Node& node, std::string reason) {
  if (told_.emplace(std::string(what), node.name).second)
    model_.left.push_back({std::string(what), node.name, std::move(reason)});
}

void optimize_model(onnx::Model& model, const OptimizationConfig& config, OptimizedModel& report) {
  if (config.optimization_level == 0) return;
  Optimizer optimizer(model, config, report);
  optimizer.simplify();
  if (const int shared = share_weights(model); shared > 0) {
    report.applied["WeightSharing"] += shared;
    optimizer.simplify();
  }
  if (config.optimization_level < 2 || !config.enable_transformers_specific_optimizations) return;
  optimizer.fuse();
  optimizer.simplify();
  if (uses_domain(model, "com.microsoft")) model.opset_imports.emplace("com.microsoft", 1);
}

}  // namespace onnxport::optimization
