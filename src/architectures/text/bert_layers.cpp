#include "architectures/text/bert_layers.h"

#include <cmath>

#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

double layer_norm_eps(const ModelBuilder& m) { return m.config.number("layer_norm_eps", 1e-12); }

/// Scores of relative positions (Shaw et al., 2018): x (batch, heads, length, size) with distances (length, length,
/// size) to (batch, heads, length, length). `rows` says whether x's length is the first axis of the distances.
Tensor relative_scores(Tensor x, Tensor distances, bool rows) {
  const Dim &batch = x.dim(0), &heads = x.dim(1), &length = x.dim(2), &size = x.dim(3);
  const Tensor by_position = ops::reshape(ops::transpose(x, {2, 0, 1, 3}), {length, batch * heads, size});
  const Tensor table = rows ? ops::transpose(distances, {0, 2, 1}) : ops::transpose(distances, {1, 2, 0});
  const Tensor scores = ops::reshape(ops::matmul(by_position, table), {length, batch, heads, length});
  return rows ? ops::transpose(scores, {1, 2, 0, 3}) : ops::transpose(scores, {1, 2, 3, 0});
}

}  // namespace

Tensor embedding_sum(ModelBuilder& m, Weights w, std::optional<Tensor> position_ids, double word_scale) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  (w / "word_embeddings").expect_rows("weight", m.config.positive("vocab_size"));
  Tensor x = nn::embedding(input_ids, w / "word_embeddings");
  if (word_scale != 1.0) x = x * word_scale;
  const Weights token_types = w / "token_type_embeddings";
  x = x + (m.has_input("token_type_ids") ? nn::embedding(m.input("token_type_ids"), token_types)
                                         : token_types.add("weight.0", slice(token_types.source("weight"), 0, 0, 1)));
  const Weights positions = w / "position_embeddings";
  if (m.config.string("position_embedding_type", "absolute") != "absolute") {
    positions.idle();
    return x;
  }
  return x + (position_ids ? nn::embedding(*position_ids, positions)
                           : ops::slice(positions["weight"], 0, 0, input_ids.dim(1)));
}

Tensor bert_embeddings(ModelBuilder& m, Weights w, std::optional<Tensor> position_ids) {
  return nn::layer_norm(embedding_sum(m, w, position_ids), w / "LayerNorm", layer_norm_eps(m));
}

void require_absolute_positions(const Config& config) {
  if (config.string("position_embedding_type", "absolute") != "absolute") config.unsupported("position_embedding_type");
}

Tensor bert_self_attention(ModelBuilder& m, Weights w, Tensor x, Tensor bias, std::string_view series) {
  const auto scope = w.scope();
  const std::int64_t num_heads = m.config.positive("num_attention_heads");
  const Tensor query = nn::linear(x, w / "query");
  const Tensor key = nn::linear(x, w / "key");
  const std::string type = m.config.string("position_embedding_type", "absolute");
  if (type == "relative_key" || type == "relative_key_query") {
    const Tensor q = nn::split_heads(query, num_heads);
    const std::int64_t max_positions = m.config.positive("max_position_embeddings");
    const Tensor positions = ops::range(m.graph(), 0, x.dim(1));
    const Tensor offsets =
        ops::unsqueeze(positions, 1) - ops::unsqueeze(positions, 0) + static_cast<double>(max_positions - 1);
    const Tensor distances = nn::embedding(offsets, w / "distance_embedding");
    Tensor scores = relative_scores(q, distances, true);
    if (type == "relative_key_query")
      scores = scores + relative_scores(nn::split_heads(key, num_heads), distances, false);
    bias = scores / std::sqrt(static_cast<double>(q.dim(3).constant())) + bias;
  } else if (type != "absolute") {
    m.config.unsupported("position_embedding_type");
  }
  return nn::attention({.query = query,
                        .key = key,
                        .value = nn::linear(x, w / "value"),
                        .num_heads = num_heads,
                        .bias = bias,
                        .series = series});
}

Tensor bert_layer(ModelBuilder& m, Weights w, Tensor x, const SelfAttention& attention) {
  const auto scope = w.scope();
  const Tensor context = nn::linear(attention(w / "attention.self", x), w / "attention.output.dense");
  return bert_feed_forward(m, w, nn::layer_norm(x + context, w / "attention.output.LayerNorm", layer_norm_eps(m)));
}

Tensor bert_feed_forward(ModelBuilder& m, Weights w, Tensor x) {
  const auto scope = w.scope();
  const Tensor h = nn::activation(m.config.string("hidden_act", "gelu"), nn::linear(x, w / "intermediate.dense"));
  return nn::layer_norm(x + nn::linear(h, w / "output.dense"), w / "output.LayerNorm", layer_norm_eps(m));
}

Tensor bert_encoder(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  return bert_encoder(m, w, x, [&](Weights self, Tensor h) { return bert_self_attention(m, self, h, bias); });
}

Tensor bert_encoder(ModelBuilder& m, Weights w, Tensor x, const SelfAttention& attention) {
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = bert_layer(m, w / "layer" / i, m.hidden_state(x), attention);
  return m.hidden_state(x);
}

Tensor pre_norm_bert_layer(ModelBuilder& m, Weights w, Tensor x, PreNormNames norms, std::string_view hidden_act,
                           const SelfAttention& attention) {
  const auto scope = w.scope();
  const double epsilon = layer_norm_eps(m);
  const Tensor context = attention(w / "attention.self", nn::layer_norm(x, w / norms.attention, epsilon));
  x = x + nn::linear(context, w / "attention.output.dense");
  const Tensor h = nn::linear(nn::layer_norm(x, w / norms.feed_forward, epsilon), w / "intermediate.dense");
  return x + nn::linear(nn::activation(hidden_act, h), w / "output.dense");
}

Tensor prediction_transform(ModelBuilder& m, Tensor x, Weights w, std::string_view activation) {
  const auto scope = w.scope();
  return nn::layer_norm(nn::activation(activation, nn::linear(x, w / "dense")), w / "LayerNorm", layer_norm_eps(m));
}

Tensor bert_masked_lm(ModelBuilder& m, Tensor hidden_states) {
  const Weights w = m.root() / "cls.predictions";
  const std::string activation = m.config.string("hidden_act", "gelu");
  return heads::vocabulary(m, prediction_transform(m, hidden_states, w / "transform", activation), w);
}

Tensor electra_masked_lm(ModelBuilder& m, Tensor hidden_states) {
  const Weights vocabulary = m.root() / "generator_lm_head";
  const Tensor x = prediction_transform(m, hidden_states, m.root() / "generator_predictions", "gelu");
  return heads::vocabulary(m, x, vocabulary, vocabulary["bias"]);
}

}  // namespace onnxport
