#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnx/graph_editor.h"
#include "onnxport/optimizer.h"
#include "optimization/shape_inference.h"

/// Passes over one graph of a model. Each takes a graph whose nodes stand in order, and changes it through its editor;
/// what no output needs any more is gone when the editor finishes.
namespace onnxport::optimization {

/// What passes tell of their work. A pattern that looked right but was left alone is told with the reason.
class Journal {
 public:
  explicit Journal(OptimizedModel& model) : model_(model) {}
  void done(std::string_view what) { ++model_.applied[std::string(what)]; }
  void left(std::string_view what, const onnx::Node& node, std::string reason);

 private:
  OptimizedModel& model_;
  std::set<std::pair<std::string, std::string>> told_;  ///< fusion and node
};

struct PassContext {
  onnx::GraphEditor& graph;
  const ShapeInference& shapes;
  Journal& journal;
  const OptimizationConfig& config;
  int opset = 0;
  /// Of the whole model: a subgraph sees them, too.
  const std::vector<onnx::ValueInfo>& model_inputs;
};

using Pass = void (*)(PassContext&);

// ---- What keeps plain ONNX plain (O1) -------------------------------------------------------------------------------

/// Constant nodes become initializers; whatever depends on constants alone is computed, by ONNX Runtime where it is
/// small and lazily where it rearranges a weight; sizes that shape inference knows become constants.
void fold_constants(PassContext& context);
/// Identity, Dropout, Cast to the type that is there, Transpose that moves nothing, Reshape to the same shape, a
/// neutral Add, Mul, ..., and transpositions of transpositions.
void remove_no_ops(PassContext& context);
/// Sizes that are those of an input's axis are read there and nowhere else: values inside lose users that only asked
/// for their shape, and may be fused away.
void read_sizes_from_inputs(PassContext& context);
/// Nodes that compute the same become one.
void share_common_subexpressions(PassContext& context);

// ---- Fusions (O2) ---------------------------------------------------------------------------------------------------

void fuse_layer_normalization(PassContext& context);
void fuse_simplified_layer_normalization(PassContext& context);
void fuse_gelu(PassContext& context);
void fuse_quick_gelu(PassContext& context);
/// Rotary position embeddings, in the form that turns halves of a head.
void fuse_rotary_embeddings(PassContext& context);
void fuse_attention(PassContext& context);
/// The sum of word, position and segment embeddings with the LayerNormalization behind it.
void fuse_embed_layer_normalization(PassContext& context);
void fuse_skip_layer_normalization(PassContext& context);
void fuse_bias_gelu(PassContext& context);

// ---- Approximations (O3) --------------------------------------------------------------------------------------------

/// Gelu and BiasGelu become FastGelu, which computes tanh for erf.
void approximate_gelu(PassContext& context);

}  // namespace onnxport::optimization
