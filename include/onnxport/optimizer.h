#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"

/// Optimization of existing ONNX models, with the names that Optimum has in Python (optimum.onnxruntime).
namespace onnxport {

/// What to do with a model; members and defaults are those of Optimum's class, and so are their names in
/// ort_config.json. Members that say "changes nothing" are kept in the file for Python's sake.
struct OptimizationConfig {
  /// 1: what leaves plain ONNX (constant folding, no-ops, common subexpressions, dead nodes, equal weights).
  /// 2 and 99: also the fusions into operators of ONNX Runtime, if enable_transformers_specific_optimizations is set.
  int optimization_level = 1;
  bool optimize_for_gpu = false;
  bool fp16 = false;  ///< float16 inside, inputs and outputs keep their types
  bool enable_transformers_specific_optimizations = true;

  bool disable_gelu_fusion = false;
  bool disable_layer_norm_fusion = false;
  bool disable_attention_fusion = false;
  bool disable_skip_layer_norm_fusion = false;
  bool disable_bias_skip_layer_norm_fusion = false;
  bool disable_bias_gelu_fusion = false;
  /// EmbedLayerNormalization refuses ids that count from the end of a table, which ONNX's Gather takes.
  bool disable_embed_layer_norm_fusion = true;
  bool disable_rotary_embeddings = false;  ///< false: rotations of whole heads become RotaryEmbedding
  bool enable_gelu_approximation = false;
  bool use_multi_head_attention = false;

  bool use_mask_index = false;                ///< changes nothing: masks stay additive, whichever side is padded
  bool no_attention_mask = false;             ///< changes nothing
  bool use_raw_attention_mask = false;        ///< changes nothing
  bool disable_shape_inference = false;       ///< changes nothing: it has no cost here
  bool enable_gemm_fast_gelu_fusion = false;  ///< changes nothing: GemmFastGelu is an operator of ROCm
  bool disable_group_norm_fusion = true;      ///< this and the rest are of diffusion models, and change nothing
  bool disable_skip_group_norm_fusion = false;
  bool disable_bias_splitgelu_fusion = false;
  bool disable_packed_qkv = false;
  bool disable_packed_kv = true;
  bool disable_bias_add_fusion = false;
  bool disable_nhwc_conv = false;
  bool use_group_norm_channels_first = false;

  Json to_json() const;
  /// Missing members have their defaults. Throws Error(InvalidArgument) for an unknown member (the nearest is shown), a
  /// value of another type and a level other than 0, 1, 2 and 99.
  static OptimizationConfig from_json(const Json& json);
};

/// Optimum's levels.
struct AutoOptimizationConfig {
  /// "O1" basic; "O2" also extended and transformers fusions; "O3" also the approximation of GELU; "O4" also float16,
  /// for GPUs. Throws Error(InvalidArgument) for another one.
  static OptimizationConfig with_optimization_level(std::string_view level, bool for_gpu = false);
  static OptimizationConfig O1(bool for_gpu = false) { return with_optimization_level("O1", for_gpu); }
  static OptimizationConfig O2(bool for_gpu = false) { return with_optimization_level("O2", for_gpu); }
  static OptimizationConfig O3(bool for_gpu = false) { return with_optimization_level("O3", for_gpu); }
  static OptimizationConfig O4(bool for_gpu = true) { return with_optimization_level("O4", for_gpu); }
};

/// A pattern that was found and left as it is.
struct LeftPattern {
  std::string fusion;  ///< "Attention"
  std::string node;    ///< where: the name of a node
  std::string reason;
};

/// Counts of operators, in subgraphs too. Those of other domains than ONNX's have it before their name:
/// "com.microsoft.Attention".
using OperatorCounts = std::map<std::string, std::int64_t>;

struct OptimizedModel {
  std::filesystem::path source;
  std::filesystem::path path;
  std::uint64_t source_bytes = 0;  ///< with external data
  std::uint64_t bytes = 0;
  OperatorCounts source_operators;
  OperatorCounts operators;
  std::map<std::string, int> applied;  ///< "Attention", "ConstantFolding", ...: how often
  std::vector<LeftPattern> left;
};

struct OptimizationResult {
  std::vector<OptimizedModel> models;
  std::vector<std::filesystem::path> files;  ///< all that was written
};

/// How a config with fp16 makes a model's numbers narrower, with the names of onnxruntime/transformers/float16.py.
struct HalfPrecision {
  bool bfloat16 = false;  ///< instead of float16
  /// Operators and nodes that stay in float32, beside the operators that always do. A name that no model has is an
  /// error.
  std::vector<std::string> op_block_list{};
  std::vector<std::string> node_block_list{};
};

class ORTOptimizer {
 public:
  /// A directory with ONNX models and the files beside them, or one ONNX file. `file_names`: of these models only.
  /// Throws Error(InvalidModel) if there are none.
  static ORTOptimizer from_pretrained(const std::filesystem::path& model,
                                      const std::vector<std::string>& file_names = {});

  /// Writes NAME_<file_suffix>.onnx for each model, ort_config.json and the files beside the models into `save_dir`,
  /// all when all is complete. Weights stay where they are until they are written: memory does not grow with them.
  /// Throws Error: InvalidArgument (the output is the models' directory, unknown names in `half_precision`),
  /// InvalidModel (damaged, external data missing, already quantized), OutputFailed, RuntimeFailed.
  OptimizationResult optimize(const OptimizationConfig& config, const std::filesystem::path& save_dir,
                              const std::string& file_suffix = "optimized", bool external_data = false) const;

  /// What optimize() does about config.fp16.
  HalfPrecision half_precision{};

  /// Shown while models are written: a stage, bytes done and in total.
  std::function<void(std::string_view stage, std::uint64_t done, std::uint64_t total)> progress{};

  /// The fused operators in a model and how many there are of each. Throws Error(InvalidModel).
  static OperatorCounts get_fused_operators(const std::filesystem::path& onnx_model_path);
  /// How many nodes fewer the optimized model has.
  static std::int64_t get_nodes_number_difference(const std::filesystem::path& onnx_model_path,
                                                  const std::filesystem::path& onnx_optimized_model_path);
  /// Of each operator, how many fewer the optimized model has; those of which it has as many are left out.
  static OperatorCounts get_operators_difference(const std::filesystem::path& onnx_model_path,
                                                 const std::filesystem::path& onnx_optimized_model_path);

 private:
  std::filesystem::path model_;
  std::vector<std::string> file_names_;
};

}  // namespace onnxport
