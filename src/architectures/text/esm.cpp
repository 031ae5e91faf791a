// ESM (Rives et al., 2019) and ESM-2 (Lin et al., 2022), models of proteins: HF's EsmModel and its heads.
#include <cmath>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"
#include "nn/rope.h"

namespace onnxport {
namespace {

/// ESM was trained with 12% of the tokens masked and zeroed, as by dropout: zeroes those of the input and scales the
/// others to make up for the difference.
Tensor drop_mask_tokens(ModelBuilder& m, Tensor x) {
  constexpr double masked_in_training = 0.15 * 0.8;
  const Tensor masked = ops::equal(m.input("input_ids"), static_cast<double>(m.config.integer("mask_token_id")));
  const Tensor share = ops::reduce_mean(ops::cast(masked, DataType::Float32), {1});
  return x * ops::unsqueeze(ops::where(masked, 0.0, (1.0 - masked_in_training) / (1.0 - share)), 2);
}

Tensor embeddings(ModelBuilder& m, Weights w, std::string_view position_embedding_type) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  (w / "word_embeddings").expect("weight", {m.config.positive("vocab_size"), m.config.positive("hidden_size")});
  Tensor x = nn::embedding(input_ids, w / "word_embeddings");
  if (m.config.boolean("token_dropout", false)) x = drop_mask_tokens(m, x);
  if (position_embedding_type == "absolute")
    x = x + nn::embedding(nn::position_ids_after_padding(input_ids, m.config.integer("pad_token_id")),
                          w / "position_embeddings");
  if (!m.config.boolean("emb_layer_norm_before", false)) return x;
  return nn::layer_norm(x, w / "layer_norm", m.config.number("layer_norm_eps", 1e-12));
}

Tensor rotary_self_attention(ModelBuilder& m, Weights w, Tensor x, Tensor bias, const ops::Rotation& rotation) {
  const auto scope = w.scope();
  const std::int64_t num_heads = m.config.positive("num_attention_heads", 12);
  const auto heads_of = [&](std::string_view name) { return nn::split_heads(nn::linear(x, w / name), num_heads); };
  const Tensor query = ops::rotary_embedding(heads_of("query"), rotation);
  const Tensor key = ops::rotary_embedding(heads_of("key"), rotation);
  const float scale = 1.0F / std::sqrt(static_cast<float>(query.dim(3).constant()));
  return nn::merge_heads(ops::attention(query, key, heads_of("value"), {.scale = scale, .bias = bias}));
}

Tensor encode(ModelBuilder& m) {
  const std::string type = m.config.string("position_embedding_type", "absolute");
  if (type != "absolute" && type != "rotary") m.config.unsupported("position_embedding_type");
  const Weights encoder = m.base() / "encoder";
  Tensor x = embeddings(m, m.base() / "embeddings", type);
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  std::optional<ops::Rotation> rotation;
  if (type == "rotary") {
    const std::int64_t head_size = m.config.positive("hidden_size") / m.config.positive("num_attention_heads", 12);
    rotation = nn::rotation(nn::position_ids(m.input("input_ids")), head_size, {});
  }
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers", 12); ++i) {
    const Weights w = encoder / "layer" / i;
    x = pre_norm_bert_layer(m, w, x, "LayerNorm", "gelu", [&](Tensor h) {
      const Weights attention = w / "attention.self";
      return rotation ? rotary_self_attention(m, attention, h, bias, *rotation)
                      : bert_self_attention(m, attention, h, bias);
    });
  }
  return nn::layer_norm(x, encoder / "emb_layer_norm_after", m.config.number("layer_norm_eps", 1e-12));
}

}  // namespace

void register_esm(Registry& registry) {
  register_text_encoder(registry, {.model_type = "esm",
                                   .base_model_prefix = "esm",
                                   .class_prefix = "Esm",
                                   .inputs = {"input_ids", "attention_mask"},
                                   .encode = encode,
                                   .heads = {{"fill-mask", heads::lm_head},
                                             {"text-classification", heads::dense_classifier},
                                             {"token-classification", heads::token_classifier}}});
}

}  // namespace onnxport
