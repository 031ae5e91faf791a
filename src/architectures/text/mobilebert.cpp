// MobileBERT (Sun et al., 2020): HF's MobileBertModel and its heads. Wide hidden states between layers, which work in a
// narrow bottleneck, and embeddings of three neighbouring tokens.
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

/// The epsilon of those LayerNorms that HF builds without the config's.
constexpr double torch_epsilon = 1e-5;

double epsilon_of(const Config& config) { return config.number("layer_norm_eps"); }

/// NORM2FN: NoNorm only scales and shifts.
Tensor norm(ModelBuilder& m, Tensor x, Weights w, double epsilon) {
  const std::string type = m.config.string("normalization_type");
  if (type != "no_norm" && type != "layer_norm") m.config.unsupported("normalization_type");
  if (type == "layer_norm") return nn::layer_norm(x, w, epsilon);
  const auto scope = w.scope();
  return x * w["weight"] + w["bias"];
}

/// Each token with the one after and the one before it; zeros beyond the ends.
Tensor trigrams(Tensor x) {
  const Dim& length = x.dim(1);
  const Tensor padded = ops::pad(x, 1, 1, 1, 0.0);
  return ops::concat({ops::slice(padded, 1, 2, length + 2), x, ops::slice(padded, 1, 0, length)}, 2);
}

Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  Tensor x = nn::embedding(input_ids, w / "word_embeddings");
  const bool trigram_input = m.config.boolean("trigram_input");
  if (trigram_input) x = trigrams(x);
  (w / "embedding_transformation").idle();
  if (trigram_input || m.config.positive("embedding_size") != m.config.positive("hidden_size"))
    x = nn::linear(x, w / "embedding_transformation");
  x = x + nn::embedding(m.input("token_type_ids"), w / "token_type_embeddings") +
      ops::slice((w / "position_embeddings")["weight"], 0, 0, input_ids.dim(1));
  return norm(m, x, w / "LayerNorm", torch_epsilon);
}

/// norm(dense(x) + residual)
Tensor add_and_norm(ModelBuilder& m, Tensor x, Tensor residual, Weights w, double epsilon) {
  return norm(m, nn::linear(x, w / "dense") + residual, w / "LayerNorm", epsilon);
}

Tensor intermediate(ModelBuilder& m, Tensor x, Weights w) {
  return nn::activation(m.config.string("hidden_act"), nn::linear(x, w / "dense"));
}

struct LayerInputs {
  Tensor query_and_key;
  Tensor value;
  Tensor residual;
};

LayerInputs bottleneck(ModelBuilder& m, Tensor x, Weights w) {
  if (!m.config.boolean("use_bottleneck")) return {x, x, x};
  const auto narrow = [&](Weights layer) {
    return norm(m, nn::linear(x, layer / "dense"), layer / "LayerNorm", epsilon_of(m.config));
  };
  const Tensor residual = narrow(w / "input");
  if (m.config.boolean("use_bottleneck_attention")) return {residual, residual, residual};
  if (m.config.boolean("key_query_shared_bottleneck")) return {narrow(w / "attention"), x, residual};
  return {x, x, residual};
}

Tensor layer(ModelBuilder& m, Weights w, Tensor hidden_states, Tensor bias) {
  const auto scope = w.scope();
  const double epsilon = epsilon_of(m.config);
  const LayerInputs inputs = bottleneck(m, hidden_states, w / "bottleneck");
  const Weights self = w / "attention.self";
  Tensor x = nn::attention({.query = nn::linear(inputs.query_and_key, self / "query"),
                            .key = nn::linear(inputs.query_and_key, self / "key"),
                            .value = nn::linear(inputs.value, self / "value"),
                            .num_heads = m.config.positive("num_attention_heads"),
                            .bias = bias});
  x = add_and_norm(m, x, inputs.residual, w / "attention.output", epsilon);
  for (std::int64_t i = 0; i + 1 < m.config.positive("num_feedforward_networks"); ++i) {
    const Weights ffn = w / "ffn" / i;
    x = add_and_norm(m, intermediate(m, x, ffn / "intermediate"), x, ffn / "output", epsilon);
  }
  x = add_and_norm(m, intermediate(m, x, w / "intermediate"), x, w / "output", torch_epsilon);
  if (!m.config.boolean("use_bottleneck")) return x;
  return add_and_norm(m, x, hidden_states, w / "output.bottleneck", epsilon);
}

Tensor encode(ModelBuilder& m) {
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  Tensor x = embeddings(m, m.base() / "embeddings");
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = layer(m, m.base() / "encoder.layer" / i, m.hidden_state(x), bias);
  return m.hidden_state(x);
}

/// MobileBertLMPredictionHead: the embedding is narrower than the hidden states, a matrix of its own has the rest.
Tensor masked_lm(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "cls.predictions";
  x = nn::activation(m.config.string("hidden_act"), nn::linear(x, w / "transform.dense"));
  x = nn::layer_norm(x, w / "transform.LayerNorm", epsilon_of(m.config));
  const bool tied = m.config.boolean("tie_word_embeddings", true);
  const Weights decoder = tied ? m.base() / "embeddings.word_embeddings" : w / "decoder";
  const auto scope = w.scope();
  (w / "decoder").idle();
  const Tensor weight =
      w.add("decoder_and_dense", concat({transpose(decoder.source("weight"), {1, 0}), w.source("dense.weight")}, 0));
  return ops::linear(x, weight, w["bias"], ops::WeightLayout::InOut);
}

Tensor pooler(ModelBuilder& m, Tensor x) {
  return m.config.boolean("classifier_activation") ? heads::pooler(x, m.base() / "pooler") : heads::first_token(x);
}

}  // namespace

void register_mobilebert(Registry& registry) {
  register_text_encoder(
      registry,
      {.model_type = "mobilebert",
       .base_model_prefix = "mobilebert",
       .class_prefix = "MobileBert",
       .has_pooler = true,
       .encode = encode,
       .heads = {{"fill-mask", masked_lm},
                 {"multiple-choice",
                  [](ModelBuilder& m, Tensor x) { return nn::linear(pooler(m, x), m.root() / "classifier"); }},
                 {"question-answering", heads::question_answering},
                 {"text-classification", [](ModelBuilder& m, Tensor x) { return heads::classifier(m, pooler(m, x)); }},
                 {"token-classification", heads::token_classifier}},
       .pooler = pooler,
       .defaults = {{"hidden_size", 512},
                    {"embedding_size", 128},
                    {"num_hidden_layers", 24},
                    {"num_attention_heads", 4},
                    {"hidden_act", "relu"},
                    {"layer_norm_eps", 1e-12},
                    {"trigram_input", true},
                    {"use_bottleneck", true},
                    {"use_bottleneck_attention", false},
                    {"key_query_shared_bottleneck", true},
                    {"num_feedforward_networks", 4},
                    {"normalization_type", "no_norm"},
                    {"classifier_activation", true}}});
}

}  // namespace onnxport
