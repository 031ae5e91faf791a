// ESM (Rives et al., 2019) and ESM-2 (Lin et al., 2022), models of proteins: HF's EsmModel and its heads.
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
  const std::int64_t num_heads = m.config.positive("num_attention_heads");
  const auto heads_of = [&](std::string_view name) { return nn::split_heads(nn::linear(x, w / name), num_heads); };
  const Tensor query = ops::rotary_embedding(heads_of("query"), rotation);
  const Tensor key = ops::rotary_embedding(heads_of("key"), rotation);
  return nn::attention_of_heads(query, key, heads_of("value"), bias);
}

SelfAttention self_attention(ModelBuilder& m, std::string_view position_embedding_type) {
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  if (position_embedding_type == "absolute")
    return [&m, bias](Weights self, Tensor x) { return bert_self_attention(m, self, x, bias); };
  const std::int64_t head_size = m.config.positive("hidden_size") / m.config.positive("num_attention_heads");
  const ops::Rotation rotation = nn::rotation(nn::position_ids(m.input("input_ids")), head_size, {});
  return [&m, bias, rotation](Weights self, Tensor x) { return rotary_self_attention(m, self, x, bias, rotation); };
}

Tensor encode(ModelBuilder& m) {
  const std::string positions = m.config.string("position_embedding_type", "absolute");
  if (positions != "absolute" && positions != "rotary") m.config.unsupported("position_embedding_type");
  (m.base() / "contact_head").idle();
  const Weights encoder = m.base() / "encoder";
  const SelfAttention attention = self_attention(m, positions);
  Tensor x = embeddings(m, m.base() / "embeddings", positions);
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = pre_norm_bert_layer(m, encoder / "layer" / i, m.hidden_state(x), {"attention.LayerNorm", "LayerNorm"}, "gelu",
                            attention);
  return m.hidden_state(nn::layer_norm(x, encoder / "emb_layer_norm_after", m.config.number("layer_norm_eps", 1e-12)));
}

}  // namespace

void register_esm(Registry& registry) {
  register_text_encoder(registry, {.model_type = "esm",
                                   .base_model_prefix = "esm",
                                   .class_prefix = "Esm",
                                   .inputs = {"input_ids", "attention_mask"},
                                   .has_pooler = true,
                                   .encode = encode,
                                   .heads = {{"fill-mask", heads::lm_head},
                                             {"text-classification", heads::dense_classifier},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"vocab_size", nullptr}}});
}

}  // namespace onnxport
