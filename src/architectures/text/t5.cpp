// T5 (Raffel et al., 2020) and its version 1.1: HF's T5Model and T5ForConditionalGeneration. Attention without scaling,
// with a learned bias by distance that the first layer has for all; normalization before each block, without mean.
#include <cmath>

#include "architectures/text/seq2seq_common.h"
#include "nn/relative_position.h"

namespace onnxport {
namespace {

constexpr double scale = 1.0;  // of attention's products

std::int64_t num_heads(const Config& config) { return config.positive("num_heads"); }
std::int64_t num_encoder_layers(const Config& config) { return config.positive("num_layers"); }
std::int64_t num_decoder_layers(const Config& config) {
  return config.positive("num_decoder_layers", num_encoder_layers(config));
}

CacheShape cache_shape(const Config& config) {
  return {num_decoder_layers(config), num_heads(config), config.positive("d_kv")};
}

Tensor norm(ModelBuilder& m, Tensor x, Weights w) { return nn::rms_norm(x, w, m.config.number("layer_norm_epsilon")); }

Tensor embed(ModelBuilder& m) {
  const Weights shared = m.base() / "shared";
  m.base().idle("embed_tokens.weight");  // the same
  shared.expect("weight", {m.config.positive("vocab_size"), m.config.positive("d_model")});
  return nn::embedding(m.input("input_ids"), shared);
}

/// The bias of all layers of a stack, which has its weights in the first one.
Tensor position_bias(ModelBuilder& m, Weights stack, Tensor queries, Tensor keys, bool bidirectional) {
  const Weights w = stack / "block.0.layer.0.SelfAttention.relative_attention_bias";
  return nn::relative_position_bias(w["weight"], queries, keys,
                                    {.num_buckets = m.config.positive("relative_attention_num_buckets"),
                                     .max_distance = m.config.positive("relative_attention_max_distance"),
                                     .bidirectional = bidirectional});
}

Tensor heads_of(ModelBuilder& m, Tensor x, Weights w) { return nn::split_heads(nn::linear(x, w), num_heads(m.config)); }

KeyValue keys_and_values(ModelBuilder& m, Tensor x, Weights w) {
  return {heads_of(m, x, w / "k"), heads_of(m, x, w / "v")};
}

/// T5LayerSelfAttention and T5LayerCrossAttention: `attend` makes the context that `query` looks up, given the
/// normalized states.
using Attend = std::function<Tensor(Weights w, Tensor normal, Tensor query)>;
Tensor attention(ModelBuilder& m, Tensor x, Weights layer, std::string_view name, const Attend& attend) {
  const auto scope = layer.scope();
  const Weights w = layer / name;
  const Tensor normal = norm(m, x, layer / "layer_norm");
  return x + nn::linear(attend(w, normal, heads_of(m, normal, w / "q")), w / "o");
}

struct FeedForwardKind {
  std::string activation;
  bool gated;
};

/// feed_forward_proj is "relu", "gated-silu", ...; "gated-gelu" means the approximation by tanh.
FeedForwardKind feed_forward_kind(const Config& config) {
  const std::string projection = config.string("feed_forward_proj");
  const bool gated = projection.starts_with("gated-");
  const std::string name = projection == "gated-gelu" ? "gelu_new" : gated ? projection.substr(6) : projection;
  return {config.string("dense_act_fn", name), config.boolean("is_gated_act", gated)};
}

/// T5LayerFF
Tensor feed_forward(ModelBuilder& m, Tensor x, Weights layer) {
  const auto scope = layer.scope();
  const Weights w = layer / "DenseReluDense";
  const FeedForwardKind kind = feed_forward_kind(m.config);
  const Tensor normal = norm(m, x, layer / "layer_norm");
  Tensor h = nn::activation(kind.activation, nn::linear(normal, w / (kind.gated ? "wi_0" : "wi")));
  if (kind.gated) h = h * nn::linear(normal, w / "wi_1");
  return x + nn::linear(h, w / "wo");
}

Tensor encode(ModelBuilder& m) {
  const Weights w = m.base() / "encoder";
  Tensor x = embed(m);
  const Tensor positions = ops::range(m.graph(), 0, m.input("input_ids").dim(1));
  const Tensor bias = position_bias(m, w, positions, positions, true) + nn::attention_bias(m.input("attention_mask"));
  for (std::int64_t i = 0; i < num_encoder_layers(m.config); ++i) {
    const Weights block = w / "block" / i;
    m.hidden_state(x);
    x = attention(m, x, block / "layer.0", "SelfAttention", [&](Weights self, Tensor normal, Tensor query) {
      const KeyValue states = keys_and_values(m, normal, self);
      return nn::attention_of_heads(query, states.key, states.value, bias, scale);
    });
    x = feed_forward(m, x, block / "layer.1");
  }
  return m.hidden_state(norm(m, x, w / "final_layer_norm"));
}

Tensor decode(ModelBuilder& m, Seq2SeqState& state) {
  const Weights w = m.base() / "decoder";
  w.idle("EncDecAttention.relative_attention_bias.weight");  // in the first checkpoints
  Tensor x = embed(m);
  const Tensor bias = position_bias(m, w, state.query_positions(), state.key_positions(), false) + state.causal_bias();
  const Tensor cross_bias = nn::attention_bias(m.input("encoder_attention_mask"));
  for (std::int64_t i = 0; i < num_decoder_layers(m.config); ++i) {
    const Weights block = w / "block" / i;
    m.hidden_state(x);
    x = attention(m, x, block / "layer.0", "SelfAttention", [&](Weights self, Tensor normal, Tensor query) {
      return state.self_attention(i, query, keys_and_values(m, normal, self), bias, scale);
    });
    x = attention(m, x, block / "layer.1", "EncDecAttention", [&](Weights cross, Tensor, Tensor query) {
      const auto project = [&](Tensor states) { return keys_and_values(m, states, cross); };
      return state.cross_attention(i, query, project, cross_bias, scale);
    });
    x = feed_forward(m, x, block / "layer.2");
  }
  return m.hidden_state(norm(m, x, w / "final_layer_norm"));
}

Tensor lm_head(ModelBuilder& m, Tensor x) {
  const Weights head = m.root() / "lm_head";
  if (!m.config.boolean("tie_word_embeddings", true)) return nn::linear(x, head);
  head.idle();
  x = x * (1.0 / std::sqrt(static_cast<double>(m.config.positive("d_model"))));
  return ops::linear(x, (m.base() / "shared")["weight"], {});
}

}  // namespace

void register_t5(Registry& registry) {
  register_seq2seq(registry, {.model_type = "t5",
                              .base_model_prefix = "transformer",
                              .class_prefix = "T5",
                              .cache_shape = cache_shape,
                              .encode = encode,
                              .decode = decode,
                              .lm_head = lm_head,
                              .defaults = {{"vocab_size", 32128},
                                           {"d_model", 512},
                                           {"d_kv", 64},
                                           {"num_layers", 6},
                                           {"num_heads", 8},
                                           {"relative_attention_num_buckets", 32},
                                           {"relative_attention_max_distance", 128},
                                           {"layer_norm_epsilon", 1e-6},
                                           {"feed_forward_proj", "relu"}}});
}

}  // namespace onnxport
