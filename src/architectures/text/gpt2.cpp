// GPT-2 (Radford et al., 2019): HF's GPT2Model and its heads.
#include <cmath>

#include "architectures/text/decoder_common.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

std::int64_t num_heads(const Config& config) { return config.positive("n_head"); }
std::int64_t num_layers(const Config& config) { return config.positive("n_layer"); }
std::int64_t hidden_size(const Config& config) { return config.positive("n_embd"); }

CacheShape cache_shape(const Config& config) {
  return {num_layers(config), num_heads(config), hidden_size(config) / num_heads(config)};
}

Tensor norm(ModelBuilder& m, Tensor x, Weights w) {
  return nn::layer_norm(x, w, m.config.number("layer_norm_epsilon"));
}

Tensor attention(ModelBuilder& m, DecoderState& state, std::int64_t layer, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const std::vector<Tensor> parts =
      ops::split(nn::split_heads(nn::linear_in_out(x, w / "c_attn"), 3 * num_heads(m.config)), 1, 3);
  double scale = 1.0;
  if (m.config.boolean("scale_attn_weights")) scale /= std::sqrt(static_cast<double>(parts[0].dim(3).constant()));
  if (m.config.boolean("scale_attn_by_inverse_layer_idx")) scale /= static_cast<double>(layer + 1);
  return nn::linear_in_out(state.attention(layer, parts[0], {parts[1], parts[2]}, bias, scale), w / "c_proj");
}

Tensor feed_forward(ModelBuilder& m, Weights w, Tensor x) {
  const auto scope = w.scope();
  x = nn::activation(m.config.string("activation_function"), nn::linear_in_out(x, w / "c_fc"));
  return nn::linear_in_out(x, w / "c_proj");
}

Tensor decode(ModelBuilder& m, DecoderState& state) {
  if (m.config.boolean("add_cross_attention", false)) m.config.unsupported("add_cross_attention");
  const Weights w = m.base();
  (w / "wte").expect("weight", {m.config.positive("vocab_size"), hidden_size(m.config)});
  for (const char* mask : {"attn.bias", "attn.masked_bias"}) w.idle(mask);
  const Tensor bias = state.causal_bias();
  Tensor x = nn::embedding(m.input("input_ids"), w / "wte") + nn::embedding(state.position_ids(), w / "wpe");
  for (std::int64_t i = 0; i < num_layers(m.config); ++i) {
    const Weights block = w / "h" / i;
    const auto scope = block.scope();
    m.hidden_state(x);
    x = x + attention(m, state, i, block / "attn", norm(m, x, block / "ln_1"), bias);
    x = x + feed_forward(m, block / "mlp", norm(m, x, block / "ln_2"));
  }
  return m.hidden_state(norm(m, x, w / "ln_f"));
}

}  // namespace

void register_gpt2(Registry& registry) {
  register_text_decoder(registry,
                        {.model_type = "gpt2",
                         .base_model_prefix = "transformer",
                         .class_prefix = "GPT2",
                         .inputs = {"input_ids", "past_key_values", "attention_mask", "position_ids"},
                         .cache_shape = cache_shape,
                         .decode = decode,
                         .heads = {{"text-classification", heads::last_token_classifier},
                                   {"text-generation",
                                    [](ModelBuilder& m, Tensor x) { return heads::causal_lm(m, x, m.base() / "wte"); }},
                                   {"token-classification", heads::token_classifier}},
                         .class_names = {{"text-generation", "GPT2LMHeadModel"}},
                         .defaults = {{"vocab_size", 50257},
                                      {"n_embd", 768},
                                      {"n_layer", 12},
                                      {"n_head", 12},
                                      {"activation_function", "gelu_new"},
                                      {"layer_norm_epsilon", 1e-5},
                                      {"scale_attn_weights", true},
                                      {"scale_attn_by_inverse_layer_idx", false}}});
}

}  // namespace onnxport
