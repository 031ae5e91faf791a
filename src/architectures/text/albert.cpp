// ALBERT (Lan et al., 2019): BERT whose layers share their weights, group by group.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

std::string hidden_act(const ModelBuilder& m) { return m.config.string("hidden_act", "gelu_new"); }

Tensor albert_layer(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const double epsilon = m.config.number("layer_norm_eps", 1e-12);
  const Tensor context = bert_self_attention(m, w / "attention", x, bias);
  x = nn::layer_norm(x + nn::linear(context, w / "attention.dense"), w / "attention.LayerNorm", epsilon);
  const Tensor h = nn::activation(hidden_act(m), nn::linear(x, w / "ffn"));
  return nn::layer_norm(x + nn::linear(h, w / "ffn_output"), w / "full_layer_layer_norm", epsilon);
}

Tensor encode(ModelBuilder& m) {
  require_absolute_positions(m.config);  // unlike BERT's, scores of relative positions would not be scaled
  const Weights encoder = m.base() / "encoder";
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  Tensor x = nn::linear(bert_embeddings(m, m.base() / "embeddings"), encoder / "embedding_hidden_mapping_in");
  const std::int64_t layers = m.config.positive("num_hidden_layers");
  const std::int64_t groups = m.config.positive("num_hidden_groups", 1);
  for (std::int64_t i = 0; i < layers; ++i) {
    const Weights group = encoder / "albert_layer_groups" / (i * groups / layers) / "albert_layers";
    m.hidden_state(x);
    for (std::int64_t j = 0; j < m.config.positive("inner_group_num", 1); ++j) x = albert_layer(m, group / j, x, bias);
  }
  return m.hidden_state(x);
}

/// AlbertMLMHead.
Tensor masked_lm(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "predictions";
  return heads::vocabulary(m, prediction_transform(m, x, w, hidden_act(m)), w);
}

/// The pooler has no scope of its own: `pooler` is its linear layer.
Tensor pooler(ModelBuilder& m, Tensor x) { return ops::tanh(nn::linear(heads::first_token(x), m.base() / "pooler")); }

Tensor multiple_choice(ModelBuilder& m, Tensor x) { return nn::linear(pooler(m, x), m.root() / "classifier"); }

Tensor text_classification(ModelBuilder& m, Tensor x) { return heads::classifier(m, pooler(m, x)); }

}  // namespace

void register_albert(Registry& registry) {
  register_text_encoder(registry,
                        {.model_type = "albert",
                         .base_model_prefix = "albert",
                         .class_prefix = "Albert",
                         .has_pooler = true,
                         .encode = encode,
                         .heads = {{"fill-mask", masked_lm},
                                   {"multiple-choice", multiple_choice},
                                   {"question-answering", heads::question_answering},
                                   {"text-classification", text_classification},
                                   {"token-classification", heads::token_classifier}},
                         .pooler = pooler,
                         .defaults = {{"vocab_size", 30000}, {"hidden_size", 4096}, {"num_attention_heads", 64}}});
}

}  // namespace onnxport
