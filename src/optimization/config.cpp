#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/nearest.h"
#include "onnxport/error.h"
#include "onnxport/optimizer.h"

namespace onnxport {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

/// The members of the class by their names in ort_config.json, but for optimization_level, which is no flag.
const std::vector<std::pair<const char*, bool OptimizationConfig::*>>& flags() {
  using Config = OptimizationConfig;
  static const std::vector<std::pair<const char*, bool OptimizationConfig::*>> table{
      {"disable_attention_fusion", &Config::disable_attention_fusion},
      {"disable_bias_add_fusion", &Config::disable_bias_add_fusion},
      {"disable_bias_gelu_fusion", &Config::disable_bias_gelu_fusion},
      {"disable_bias_skip_layer_norm_fusion", &Config::disable_bias_skip_layer_norm_fusion},
      {"disable_bias_splitgelu_fusion", &Config::disable_bias_splitgelu_fusion},
      {"disable_embed_layer_norm_fusion", &Config::disable_embed_layer_norm_fusion},
      {"disable_gelu_fusion", &Config::disable_gelu_fusion},
      {"disable_group_norm_fusion", &Config::disable_group_norm_fusion},
      {"disable_layer_norm_fusion", &Config::disable_layer_norm_fusion},
      {"disable_nhwc_conv", &Config::disable_nhwc_conv},
      {"disable_packed_kv", &Config::disable_packed_kv},
      {"disable_packed_qkv", &Config::disable_packed_qkv},
      {"disable_rotary_embeddings", &Config::disable_rotary_embeddings},
      {"disable_shape_inference", &Config::disable_shape_inference},
      {"disable_skip_group_norm_fusion", &Config::disable_skip_group_norm_fusion},
      {"disable_skip_layer_norm_fusion", &Config::disable_skip_layer_norm_fusion},
      {"enable_gelu_approximation", &Config::enable_gelu_approximation},
      {"enable_gemm_fast_gelu_fusion", &Config::enable_gemm_fast_gelu_fusion},
      {"enable_transformers_specific_optimizations", &Config::enable_transformers_specific_optimizations},
      {"fp16", &Config::fp16},
      {"no_attention_mask", &Config::no_attention_mask},
      {"optimize_for_gpu", &Config::optimize_for_gpu},
      {"use_group_norm_channels_first", &Config::use_group_norm_channels_first},
      {"use_mask_index", &Config::use_mask_index},
      {"use_multi_head_attention", &Config::use_multi_head_attention},
      {"use_raw_attention_mask", &Config::use_raw_attention_mask}};
  return table;
}

bool is_level(std::int64_t level) { return level == 0 || level == 1 || level == 2 || level == 99; }

}  // namespace

Json OptimizationConfig::to_json() const {
  Json::Object members;
  for (const auto& [name, member] : flags()) members.emplace_back(name, this->*member);
  members.emplace_back("optimization_level", optimization_level);
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return members;
}

OptimizationConfig OptimizationConfig::from_json(const Json& json) {
  if (!json.is_object()) fail("\"optimization\" is not an object");
  OptimizationConfig config;
  for (const auto& [name, value] : json.object()) {
    if (name == "optimization_level") {
      if (!value.is_integer() || !is_level(value.integer()))
        fail("\"optimization_level\" is 0, 1, 2 or 99, not " + dump_json(value));
      config.optimization_level = static_cast<int>(value.integer());
      continue;
    }
    const auto flag =
        std::find_if(flags().begin(), flags().end(), [&](const auto& entry) { return name == entry.first; });
    if (flag == flags().end()) {
      std::vector<std::string> known{"optimization_level"};
      for (const auto& [other, member] : flags()) known.emplace_back(other);
      fail("optimization has no member " + quote_json(name) + describe_nearest(name, known));
    }
    if (!value.is_boolean()) fail(quote_json(name) + " is true or false, not " + dump_json(value));
    config.*(flag->second) = value.boolean();
  }
  return config;
}

OptimizationConfig AutoOptimizationConfig::with_optimization_level(std::string_view level, bool for_gpu) {
  OptimizationConfig config;
  config.optimize_for_gpu = for_gpu;
  if (level != "O1" && level != "O2" && level != "O3" && level != "O4")
    fail("optimization level " + quote_json(level) + " is not known: O1, O2, O3 and O4 are");
  config.optimization_level = level == "O1" ? 1 : 2;
  config.enable_transformers_specific_optimizations = level != "O1";
  config.enable_gelu_approximation = level == "O3" || level == "O4";
  if (level == "O4") {
    config.fp16 = true;
    config.optimize_for_gpu = true;
  }
  return config;
}

}  // namespace onnxport
