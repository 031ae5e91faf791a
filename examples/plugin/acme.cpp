// An encoder of text that nobody else has: BERT's layers under names of Acme's own. In src/architectures/text of
// onnxport this file would be what it is here.
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

constexpr double epsilon = 1e-12;  // of every normalization

Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  (w / "tokens").expect("weight", {m.config.positive("vocab_size"), m.config.positive("width")});
  const Tensor positions = ops::slice((w / "positions")["weight"], 0, 0, input_ids.dim(1));
  const Tensor segments = nn::embedding(m.input("token_type_ids"), w / "segments");
  return nn::layer_norm(nn::embedding(input_ids, w / "tokens") + segments + positions, w / "norm", epsilon);
}

Tensor block(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const Weights attention = w / "attention";
  const Tensor context = nn::attention({.query = nn::linear(x, attention / "query"),
                                        .key = nn::linear(x, attention / "key"),
                                        .value = nn::linear(x, attention / "value"),
                                        .num_heads = m.config.positive("heads"),
                                        .bias = bias});
  x = nn::layer_norm(x + nn::linear(context, attention / "out"), attention / "norm", epsilon);
  const Tensor h = nn::activation("gelu", nn::linear(x, w / "mlp.up"));
  return nn::layer_norm(x + nn::linear(h, w / "mlp.down"), w / "mlp.norm", epsilon);
}

Tensor encode(ModelBuilder& m) {
  Tensor x = embeddings(m, m.base() / "embeddings");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  for (std::int64_t i = 0; i < m.config.positive("depth"); ++i)
    x = block(m, m.base() / "blocks" / i, m.hidden_state(x), bias);
  return m.hidden_state(x);
}

}  // namespace

void register_acme(Registry& registry) {
  register_text_encoder(registry, {.model_type = "acme",
                                   .base_model_prefix = "acme",
                                   .class_prefix = "Acme",
                                   .has_pooler = true,
                                   .encode = encode,
                                   .heads = {{"text-classification", heads::pooled_classifier},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"width", 768}, {"depth", 12}, {"heads", 12}}});
}

}  // namespace onnxport
