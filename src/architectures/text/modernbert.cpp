// ModernBERT (Warner et al., 2024): HF's ModernBertModel and its heads. Rotary positions, normalization before each
// block, gated feed-forward, and layers that see a local window between layers that see everything.
#include "architectures/text/text_encoder_common.h"
#include "nn/rope.h"

namespace onnxport {
namespace {

/// What the layers of one kind, global or local, share.
struct AttentionKind {
  Tensor bias;
  ops::Rotation rotation;
};

/// A missing base of rotation has a default, which registration states; one of null is that of the global layers.
ops::Rotation rotation(ModelBuilder& m, std::string_view layer_type) {
  const std::int64_t head_size = m.config.positive("hidden_size") / m.config.positive("num_attention_heads");
  return nn::rotation(nn::position_ids(m.input("input_ids")), head_size, rope_parameters(m.config, layer_type));
}

AttentionKind global_attention(ModelBuilder& m) {
  return {nn::attention_bias(m.input("attention_mask")), rotation(m, "full_attention")};
}

AttentionKind local_attention(ModelBuilder& m, Tensor global_bias) {
  const Tensor positions = ops::range(m.graph(), 0, m.input("input_ids").dim(1));
  const Tensor distances = ops::abs(ops::unsqueeze(positions, 0) - ops::unsqueeze(positions, 1));
  const std::int64_t reach = m.config.positive("local_attention") / 2;
  const Tensor near = ops::less(distances, static_cast<double>(reach + 1));
  return {ops::where(near, global_bias, nn::lowest), rotation(m, "sliding_attention")};
}

/// Layer kinds: layer_types of transformers 5, or every n-th layer is global.
bool is_global(const Config& config, std::int64_t layer) {
  if (const auto types = config.optional_strings("layer_types")) {
    if (layer >= static_cast<std::int64_t>(types->size())) config.fail("layer_types", "has too few members");
    return (*types)[static_cast<std::size_t>(layer)] == "full_attention";
  }
  return layer % config.positive("global_attn_every_n_layers") == 0;
}

Tensor norm(ModelBuilder& m, Tensor x, Weights w) { return nn::layer_norm(x, w, m.config.number("norm_eps")); }

Tensor attention(ModelBuilder& m, Tensor x, Weights w, const AttentionKind& kind) {
  const auto scope = w.scope();
  const std::int64_t heads = m.config.positive("num_attention_heads");
  // Queries and keys turn together before they part.
  const std::vector<Tensor> parts =
      ops::split(nn::split_heads(nn::linear(x, w / "Wqkv"), 3 * heads), 1, {2 * heads, heads});
  const std::vector<Tensor> turned = ops::split(ops::rotary_embedding(parts[0], kind.rotation), 1, 2);
  return nn::linear(nn::attention_of_heads(turned[0], turned[1], parts[1], kind.bias), w / "Wo");
}

Tensor feed_forward(ModelBuilder& m, Tensor x, Weights w) {
  const auto scope = w.scope();
  const std::vector<Tensor> parts = ops::split(nn::linear(x, w / "Wi"), -1, 2);
  return nn::linear(nn::activation(m.config.string("hidden_activation"), parts[0]) * parts[1], w / "Wo");
}

Tensor encode(ModelBuilder& m) {
  const Weights w = m.base();
  const AttentionKind global = global_attention(m);
  const AttentionKind local = local_attention(m, global.bias);
  Tensor x = norm(m, nn::embedding(m.input("input_ids"), w / "embeddings.tok_embeddings"), w / "embeddings.norm");
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i) {
    const Weights layer = w / "layers" / i;
    const auto scope = layer.scope();
    m.hidden_state(x);
    const Tensor normalized = i == 0 ? x : norm(m, x, layer / "attn_norm");
    x = x + attention(m, normalized, layer / "attn", is_global(m.config, i) ? global : local);
    x = x + feed_forward(m, norm(m, x, layer / "mlp_norm"), layer / "mlp");
  }
  return norm(m, m.hidden_state(x), w / "final_norm");
}

/// ModernBertPredictionHead, which stands before every head's own linear layer.
Tensor prediction_head(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "head";
  x = nn::activation(m.config.string("classifier_activation"), nn::linear(x, w / "dense"));
  return norm(m, x, w / "norm");
}

Tensor masked_lm(ModelBuilder& m, Tensor x) {
  const Weights decoder = m.root() / "decoder";
  const bool tied = m.config.boolean("tie_word_embeddings", true);
  decoder.idle();
  const Tensor weight = (tied ? m.base() / "embeddings.tok_embeddings" : decoder)["weight"];
  return ops::linear(prediction_head(m, x), weight, decoder.find("bias"));
}

Tensor mean_of_tokens(Tensor x, Tensor attention_mask) {
  const Tensor mask = ops::unsqueeze(ops::cast(attention_mask, DataType::Float32), -1);
  return ops::reduce_sum(x * mask, {1}, false) / ops::reduce_sum(mask, {1}, false);
}

Tensor sequence_classifier(ModelBuilder& m, Tensor x) {
  const std::string pooling = m.config.string("classifier_pooling");
  if (pooling != "cls" && pooling != "mean") m.config.unsupported("classifier_pooling");
  x = pooling == "cls" ? heads::first_token(x) : mean_of_tokens(x, m.input("attention_mask"));
  return heads::classifier(m, prediction_head(m, x));
}

Tensor token_classifier(ModelBuilder& m, Tensor x) { return heads::classifier(m, prediction_head(m, x)); }

}  // namespace

void register_modernbert(Registry& registry) {
  register_text_encoder(registry, {.model_type = "modernbert",
                                   .base_model_prefix = "model",
                                   .class_prefix = "ModernBert",
                                   .inputs = {"input_ids", "attention_mask"},
                                   .encode = encode,
                                   .heads = {{"fill-mask", masked_lm},
                                             {"text-classification", sequence_classifier},
                                             {"token-classification", token_classifier}},
                                   .defaults = {{"hidden_size", 768},
                                                {"num_hidden_layers", 22},
                                                {"num_attention_heads", 12},
                                                {"hidden_activation", "gelu"},
                                                {"norm_eps", 1e-5},
                                                {"global_rope_theta", 160000.0},
                                                {"local_rope_theta", 10000.0},
                                                {"global_attn_every_n_layers", 3},
                                                {"local_attention", 128},
                                                {"classifier_pooling", "cls"},
                                                {"classifier_activation", "gelu"}}});
}

}  // namespace onnxport
