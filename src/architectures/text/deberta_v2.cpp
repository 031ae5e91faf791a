// DeBERTa-v2 and -v3 (He et al., 2021): HF's DebertaV2Model, DeBERTa with relative positions in logarithmic buckets and
// a convolution after the first layer, and its heads.
#include <algorithm>
#include <cmath>

#include "architectures/text/deberta_layers.h"

namespace onnxport {
namespace {

DisentangledProjections project(ModelBuilder& m, Weights w, Tensor x, std::optional<Tensor> relative) {
  DisentangledProjections result{.query = nn::linear(x, w / "query_proj"),
                                 .key = nn::linear(x, w / "key_proj"),
                                 .value = nn::linear(x, w / "value_proj")};
  const bool shared = m.config.boolean("share_att_key", false);
  if (relative && attends(m.config, "c2p"))
    result.position_key = nn::linear(*relative, w / (shared ? "key_proj" : "pos_key_proj"));
  if (relative && attends(m.config, "p2c"))
    result.position_query = nn::linear(*relative, w / (shared ? "query_proj" : "pos_query_proj"));
  return result;
}

Tensor normalize_relative(ModelBuilder& m, Weights encoder, Tensor relative) {
  const std::string norm = m.config.string("norm_rel_ebd", "none");
  if (norm == "none") return relative;
  if (norm != "layer_norm") m.config.unsupported("norm_rel_ebd");
  return nn::layer_norm(relative, encoder / "LayerNorm", m.config.number("layer_norm_eps"));
}

/// make_log_bucket_position: distances up to half of position_buckets have one of their own, larger ones share buckets
/// that widen up to max_relative_positions. In the float arithmetic of torch, which decides where a bucket ends.
std::vector<std::int64_t> buckets(ModelBuilder& m) {
  const std::int64_t count = m.config.integer("position_buckets", -1);
  if (count < 1) return {};
  const std::int64_t half = count / 2;
  const std::int64_t max_positions = max_relative_positions(m.config);
  if (count % 2 != 0 || half < 2 || max_positions <= count) m.config.unsupported("position_buckets");
  const float range = std::log(static_cast<float>(max_positions - 1) / static_cast<float>(half));
  const auto wide = [&](std::int64_t distance) {
    const float logarithm = std::log(static_cast<float>(distance) / static_cast<float>(half));
    return half + static_cast<std::int64_t>(std::ceil(logarithm / range * static_cast<float>(half - 1)));
  };
  std::vector<std::int64_t> result;
  for (std::int64_t distance = 0; result.empty() || result.back() < count; ++distance)
    result.push_back(distance <= half ? distance : std::min(wide(distance), count));
  return result;
}

/// ConvLayer.
Tensor convolution(ModelBuilder& m, Weights encoder, Tensor embeddings, Tensor x) {
  const std::int64_t kernel_size = m.config.integer("conv_kernel_size", 0);
  if (kernel_size < 1) return x;
  const Weights w = encoder / "conv";
  const std::int64_t pad = (kernel_size - 1) / 2;
  const Tensor h = nn::conv(ops::transpose(embeddings, {0, 2, 1}), w / "conv",
                            {.pads = {pad, pad}, .groups = m.config.positive("conv_groups", 1)});
  const Tensor residual =
      nn::activation(m.config.string("conv_act", "tanh"), deberta_mask(m, ops::transpose(h, {0, 2, 1})));
  return deberta_mask(m, nn::layer_norm(x + residual, w / "LayerNorm", m.config.number("layer_norm_eps")));
}

Tensor multiple_choice(ModelBuilder& m, Tensor x) { return nn::linear(deberta_pooler(m, x), m.root() / "classifier"); }

}  // namespace

void register_deberta_v2(Registry& registry) {
  TextEncoder encoder = deberta_family("deberta-v2", "DebertaV2",
                                       {.project = project,
                                        .normalize_relative = normalize_relative,
                                        .buckets = buckets,
                                        .after_first_layer = convolution});
  for (const auto& [name, value] : {Json::Member{"vocab_size", 128100},
                                    {"hidden_size", 1536},
                                    {"num_hidden_layers", 24},
                                    {"num_attention_heads", 24}})
    encoder.defaults.emplace_back(name, value);
  encoder.heads["fill-mask"] = [masked_lm = encoder.heads.at("fill-mask")](ModelBuilder& m, Tensor x) {
    (m.root() / "mask_predictions").idle();  // of the pre-training, in published checkpoints
    return masked_lm(m, x);
  };
  encoder.heads["multiple-choice"] = multiple_choice;
  register_text_encoder(registry, std::move(encoder));
}

}  // namespace onnxport
