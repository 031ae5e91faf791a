// DistilBERT (Sanh et al., 2019): HF's DistilBertModel and its heads.
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

constexpr double epsilon = 1e-12;  // of every normalization, whatever the config says

Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  (w / "word_embeddings").expect("weight", {m.config.positive("vocab_size"), m.config.positive("dim")});
  const Tensor positions = ops::slice((w / "position_embeddings")["weight"], 0, 0, input_ids.dim(1));
  return nn::layer_norm(nn::embedding(input_ids, w / "word_embeddings") + positions, w / "LayerNorm", epsilon);
}

Tensor transformer_block(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const Weights attention = w / "attention";
  const Tensor context = nn::attention({.query = nn::linear(x, attention / "q_lin"),
                                        .key = nn::linear(x, attention / "k_lin"),
                                        .value = nn::linear(x, attention / "v_lin"),
                                        .num_heads = m.config.positive("n_heads"),
                                        .bias = bias});
  x = nn::layer_norm(x + nn::linear(context, attention / "out_lin"), w / "sa_layer_norm", epsilon);
  const Tensor h = nn::activation(m.config.string("activation", "gelu"), nn::linear(x, w / "ffn.lin1"));
  return nn::layer_norm(x + nn::linear(h, w / "ffn.lin2"), w / "output_layer_norm", epsilon);
}

Tensor encode(ModelBuilder& m) {
  Tensor x = embeddings(m, m.base() / "embeddings");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  for (std::int64_t i = 0; i < m.config.positive("n_layers"); ++i)
    x = transformer_block(m, m.base() / "transformer.layer" / i, m.hidden_state(x), bias);
  return m.hidden_state(x);
}

Tensor masked_lm(ModelBuilder& m, Tensor x) {
  x = nn::activation(m.config.string("activation", "gelu"), nn::linear(x, m.root() / "vocab_transform"));
  x = nn::layer_norm(x, m.root() / "vocab_layer_norm", epsilon);
  const Weights projector = m.root() / "vocab_projector";
  return heads::vocabulary(m, x, projector, projector["bias"]);
}

Tensor multiple_choice(ModelBuilder& m, Tensor x) {
  return nn::linear(heads::pre_classifier(m, x), m.root() / "classifier");
}

Tensor text_classification(ModelBuilder& m, Tensor x) { return heads::classifier(m, heads::pre_classifier(m, x)); }

}  // namespace

void register_distilbert(Registry& registry) {
  register_text_encoder(registry, {.model_type = "distilbert",
                                   .base_model_prefix = "distilbert",
                                   .class_prefix = "DistilBert",
                                   .inputs = {"input_ids", "attention_mask"},
                                   .encode = encode,
                                   .heads = {{"fill-mask", masked_lm},
                                             {"multiple-choice", multiple_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", text_classification},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"n_layers", 6}, {"n_heads", 12}, {"dim", 768}}});
}

}  // namespace onnxport
