// OPT (Zhang et al., 2022): HF's OPTModel and its heads.
#include "architectures/text/decoder_common.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

constexpr double epsilon = 1e-5;         // torch's, of every normalization
constexpr double position_offset = 2.0;  // the table of positions begins two rows before that of the first token

std::int64_t num_heads(const Config& config) { return config.positive("num_attention_heads"); }
std::int64_t num_layers(const Config& config) { return config.positive("num_hidden_layers"); }
std::int64_t hidden_size(const Config& config) { return config.positive("hidden_size"); }
/// The 350 million parameters are the one size that normalizes after its layers.
bool normalizes_before(const Config& config) { return config.boolean("do_layer_norm_before"); }

CacheShape cache_shape(const Config& config) {
  return {num_layers(config), num_heads(config), hidden_size(config) / num_heads(config)};
}

/// Where the model is given none, real tokens are counted, and padding is at -1.
Tensor position_ids(ModelBuilder& m) {
  if (m.has_input("position_ids")) return m.input("position_ids");
  const ScopeGuard scope(m.graph(), "position_ids");
  const Tensor attention_mask = m.input("attention_mask");
  return ops::cumulative_sum(attention_mask, 1) * attention_mask - 1.0;
}

Tensor embeddings(ModelBuilder& m, Weights w) {
  (w / "embed_tokens").expect_rows("weight", m.config.positive("vocab_size"));
  Tensor x = nn::embedding(m.input("input_ids"), w / "embed_tokens");
  if (x.dim(-1) != hidden_size(m.config)) x = nn::linear(x, w / "project_in");
  return x + nn::embedding(position_ids(m) + position_offset, w / "embed_positions");
}

Tensor attention(ModelBuilder& m, DecoderState& state, std::int64_t layer, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const auto heads = [&](const char* name) { return nn::split_heads(nn::linear(x, w / name), num_heads(m.config)); };
  return nn::linear(state.attention(layer, heads("q_proj"), {heads("k_proj"), heads("v_proj")}, bias), w / "out_proj");
}

Tensor feed_forward(ModelBuilder& m, Weights w, Tensor x) {
  return nn::linear(nn::activation(m.config.string("activation_function"), nn::linear(x, w / "fc1")), w / "fc2");
}

Tensor decoder_layer(ModelBuilder& m, DecoderState& state, std::int64_t layer, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const Weights first = w / "self_attn_layer_norm";
  const Weights second = w / "final_layer_norm";
  if (normalizes_before(m.config)) {
    x = x + attention(m, state, layer, w / "self_attn", nn::layer_norm(x, first, epsilon), bias);
    return x + feed_forward(m, w, nn::layer_norm(x, second, epsilon));
  }
  x = nn::layer_norm(x + attention(m, state, layer, w / "self_attn", x, bias), first, epsilon);
  return nn::layer_norm(x + feed_forward(m, w, x), second, epsilon);
}

Tensor decode(ModelBuilder& m, DecoderState& state) {
  const Weights w = m.base() / "decoder";
  const auto scope = w.scope();
  const Tensor bias = state.causal_bias();
  Tensor x = embeddings(m, w);
  const Dim embedding_size = (w / "embed_tokens")["weight"].dim(1);
  for (std::int64_t i = 0; i < num_layers(m.config); ++i)
    x = decoder_layer(m, state, i, w / "layers" / i, m.hidden_state(x), bias);
  if (normalizes_before(m.config) && !m.config.boolean("_remove_final_layer_norm"))
    x = nn::layer_norm(x, w / "final_layer_norm", epsilon);
  return m.hidden_state(x.dim(-1) == embedding_size ? x : nn::linear(x, w / "project_out"));
}

Tensor causal_lm(ModelBuilder& m, Tensor x) { return heads::causal_lm(m, x, m.base() / "decoder.embed_tokens"); }

}  // namespace

void register_opt(Registry& registry) {
  register_text_decoder(registry, {.model_type = "opt",
                                   .base_model_prefix = "model",
                                   .class_prefix = "OPT",
                                   .inputs = {"input_ids", "attention_mask", "past_key_values", "position_ids"},
                                   .cache_shape = cache_shape,
                                   .decode = decode,
                                   .heads = {{"question-answering", heads::question_answering},
                                             {"text-classification", heads::last_token_classifier},
                                             {"text-generation", causal_lm}},
                                   .defaults = {{"vocab_size", 50272},
                                                {"hidden_size", 768},
                                                {"num_hidden_layers", 12},
                                                {"num_attention_heads", 12},
                                                {"activation_function", "relu"},
                                                {"do_layer_norm_before", true},
                                                {"_remove_final_layer_norm", false},
                                                {"pad_token_id", 1}}});
}

}  // namespace onnxport
