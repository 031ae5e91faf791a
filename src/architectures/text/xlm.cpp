// XLM (Lample & Conneau, 2019) and FlauBERT (Le et al., 2020): HF's XLMModel and FlaubertModel, which differ in
// FlauBERT's pre_norm only, and their heads.
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

struct Layer {
  ModelBuilder& m;
  std::int64_t index;

  Weights weights(std::string_view module) const { return m.base() / module / index; }
  Tensor norm(Tensor x, std::string_view module) const {
    return nn::layer_norm(x, weights(module), m.config.number("layer_norm_eps"));
  }
  Tensor attention(Tensor x, Tensor bias) const {
    const Weights w = weights("attentions");
    return nn::linear(nn::attention({.query = nn::linear(x, w / "q_lin"),
                                     .key = nn::linear(x, w / "k_lin"),
                                     .value = nn::linear(x, w / "v_lin"),
                                     .num_heads = m.config.positive("n_heads"),
                                     .bias = bias}),
                      w / "out_lin");
  }
  Tensor feed_forward(Tensor x) const {
    const Weights w = weights("ffns");
    const std::string_view activation = m.config.boolean("gelu_activation") ? "gelu" : "relu";
    return nn::linear(nn::activation(activation, nn::linear(x, w / "lin1")), w / "lin2");
  }
};

/// The embedding of token types is that of words. Languages are no input of the exported model.
Tensor embeddings(ModelBuilder& m) {
  const Weights w = m.base();
  const Tensor input_ids = m.input("input_ids");
  (w / "lang_embeddings").idle();
  Tensor x = nn::embedding(input_ids, w / "embeddings") +
             ops::slice((w / "position_embeddings")["weight"], 0, 0, input_ids.dim(1));
  if (m.has_input("token_type_ids")) x = x + nn::embedding(m.input("token_type_ids"), w / "embeddings");
  return nn::layer_norm(x, w / "layer_norm_emb", m.config.number("layer_norm_eps"));
}

Tensor encode(ModelBuilder& m) {
  for (const char* option : {"causal", "asm"})
    if (m.config.boolean(option)) m.config.unsupported(option);
  if (!m.config.boolean("is_encoder")) m.config.unsupported("is_encoder");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  const Tensor real = ops::unsqueeze(ops::cast(m.input("attention_mask"), DataType::Float32), -1);
  const bool pre_norm = m.config.boolean("pre_norm");
  Tensor x = embeddings(m) * real;
  for (std::int64_t i = 0; i < m.config.positive("n_layers"); ++i) {
    const Layer layer{m, i};
    m.hidden_state(x);
    if (pre_norm) {
      x = x + layer.attention(layer.norm(x, "layer_norm1"), bias);
      x = x + layer.feed_forward(layer.norm(x, "layer_norm2"));
    } else {
      x = layer.norm(x + layer.attention(x, bias), "layer_norm1");
      x = layer.norm(x + layer.feed_forward(x), "layer_norm2");
    }
    x = x * real;
  }
  return m.hidden_state(x);
}

Tensor masked_lm(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "pred_layer.proj";
  const auto scope = w.scope();
  w.idle();
  const bool tied = m.config.boolean("tie_word_embeddings", true);
  return ops::linear(x, (tied ? m.base() / "embeddings" : w)["weight"], w["bias"]);
}

Tensor summary(ModelBuilder& m, Tensor x) {
  return heads::sequence_summary(m, x, m.root() / "sequence_summary", "linear");
}

Tensor multiple_choice(ModelBuilder& m, Tensor x) { return nn::linear(summary(m, x), m.root() / "logits_proj"); }

void register_family(Registry& registry, const std::string& model_type, const std::string& class_prefix) {
  register_text_encoder(registry, {.model_type = model_type,
                                   .base_model_prefix = "transformer",
                                   .class_prefix = class_prefix,
                                   .encode = encode,
                                   .heads = {{"fill-mask", masked_lm},
                                             {"multiple-choice", multiple_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", summary},
                                             {"token-classification", heads::token_classifier}},
                                   .class_names = {{"fill-mask", class_prefix + "WithLMHeadModel"},
                                                   {"question-answering", class_prefix + "ForQuestionAnsweringSimple"}},
                                   .defaults = {{"n_layers", 12},
                                                {"n_heads", 16},
                                                {"layer_norm_eps", 1e-12},
                                                {"gelu_activation", true},
                                                {"causal", false},
                                                {"asm", false},
                                                {"is_encoder", true},
                                                {"pre_norm", false}}});
}

}  // namespace

void register_xlm(Registry& registry) {
  register_family(registry, "xlm", "XLM");
  register_family(registry, "flaubert", "Flaubert");
}

}  // namespace onnxport
