// MPNet (Song et al., 2020): HF's MPNetModel and its heads, the graph of most sentence-transformers.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"
#include "nn/relative_position.h"

namespace onnxport {
namespace {

constexpr std::int64_t padding_idx = 1;  // for positions, whatever pad_token_id says

double layer_norm_eps(const ModelBuilder& m) { return m.config.number("layer_norm_eps", 1e-12); }

Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  (w / "word_embeddings").expect("weight", {m.config.positive("vocab_size"), m.config.positive("hidden_size")});
  const Tensor positions = nn::position_ids_after_padding(input_ids, padding_idx);
  const Tensor x =
      nn::embedding(input_ids, w / "word_embeddings") + nn::embedding(positions, w / "position_embeddings");
  return nn::layer_norm(x, w / "LayerNorm", layer_norm_eps(m));
}

/// One bias for all layers. MPNetEncoder makes 32 buckets whatever relative_attention_num_buckets says, which is only
/// the size of the table.
Tensor position_bias(ModelBuilder& m, Weights w) {
  if (m.config.positive("relative_attention_num_buckets", 32) < 32)
    m.config.unsupported("relative_attention_num_buckets");
  const Tensor positions = ops::range(m.graph(), 0, m.input("input_ids").dim(1));
  return nn::relative_position_bias((w / "relative_attention_bias")["weight"], positions, positions, {});
}

Tensor layer(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const Weights attention = w / "attention.attn";
  const Tensor context = nn::attention({.query = nn::linear(x, attention / "q"),
                                        .key = nn::linear(x, attention / "k"),
                                        .value = nn::linear(x, attention / "v"),
                                        .num_heads = m.config.positive("num_attention_heads"),
                                        .bias = bias});
  const Tensor sum = x + nn::linear(context, attention / "o");
  return bert_feed_forward(m, w, nn::layer_norm(sum, w / "attention.LayerNorm", layer_norm_eps(m)));
}

Tensor encode(ModelBuilder& m) {
  const Weights encoder = m.base() / "encoder";
  const Tensor bias = position_bias(m, encoder) + nn::attention_bias(m.input("attention_mask"));
  Tensor x = embeddings(m, m.base() / "embeddings");
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = layer(m, encoder / "layer" / i, m.hidden_state(x), bias);
  return m.hidden_state(x);
}

}  // namespace

void register_mpnet(Registry& registry) {
  register_text_encoder(registry, {.model_type = "mpnet",
                                   .base_model_prefix = "mpnet",
                                   .class_prefix = "MPNet",
                                   .inputs = {"input_ids", "attention_mask"},
                                   .has_pooler = true,
                                   .encode = encode,
                                   .heads = {{"fill-mask", heads::lm_head},
                                             {"multiple-choice", heads::pooled_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", heads::dense_classifier},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"vocab_size", 30527}}});
}

}  // namespace onnxport
