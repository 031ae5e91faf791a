// SqueezeBERT (Iandola et al., 2020): HF's SqueezeBertModel, BERT with grouped convolutions in place of linear layers,
// and its heads.
#include <cmath>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

/// (batch, length, channels) to (batch, channels, length), which convolutions take, and back.
Tensor turn(Tensor x) { return ops::transpose(x, {0, 2, 1}); }

/// A convolution with kernels of one element over (batch, channels, length).
Tensor pointwise(ModelBuilder& m, Weights w, Tensor x, std::string_view groups, std::int64_t default_groups) {
  return nn::conv(x, w, {.groups = m.config.positive(groups, default_groups)});
}

/// SqueezeBertSelfAttention over (batch, channels, length).
Tensor attention(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const std::int64_t num_heads = m.config.positive("num_attention_heads");
  const std::int64_t channels = x.dim(1).constant();
  if (channels % num_heads != 0) m.config.fail("num_attention_heads", "must divide hidden_size");
  const auto by_head = [&](std::string_view name, std::string_view groups) {
    const Tensor states = pointwise(m, w / name, x, groups, 4);
    return ops::swap_axes(ops::reshape(states, {x.dim(0), num_heads, channels / num_heads, x.dim(2)}), 2, 3);
  };
  const Tensor query = by_head("query", "q_groups");
  const Tensor key = by_head("key", "k_groups");
  const double scale = 1.0 / std::sqrt(static_cast<double>(channels / num_heads));
  const Tensor context =
      ops::attention(query, key, by_head("value", "v_groups"), {.scale = static_cast<float>(scale), .bias = bias});
  // What transformers calls attentions here are the scores before the softmax.
  m.graph().record(nn::attentions, ops::matmul(query, ops::swap_axes(key, 2, 3)) * scale + bias);
  return ops::reshape(ops::swap_axes(context, 2, 3), x.shape());
}

/// SqueezeBertModule. Its normalizations are torch's with the epsilon of BERT, whatever the config says.
Tensor layer(ModelBuilder& m, Weights w, Tensor x, Tensor bias) {
  const auto scope = w.scope();
  const auto add_and_norm = [](Tensor residual, Tensor h, Weights norm) {
    return nn::layer_norm(residual + turn(h), norm, 1e-12);
  };
  const Tensor context = attention(m, w / "attention", turn(x), bias);
  const Tensor mixed = pointwise(m, w / "post_attention.conv1d", context, "post_attention_groups", 1);
  x = add_and_norm(x, mixed, w / "post_attention.layernorm");
  const Tensor h = nn::activation(m.config.string("hidden_act", "gelu"),
                                  pointwise(m, w / "intermediate.conv1d", turn(x), "intermediate_groups", 4));
  return add_and_norm(x, pointwise(m, w / "output.conv1d", h, "output_groups", 4), w / "output.layernorm");
}

Tensor encode(ModelBuilder& m) {
  require_absolute_positions(m.config);
  (m.base() / "pooler").idle();  // which all classes have
  Tensor x = bert_embeddings(m, m.base() / "embeddings");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = layer(m, m.base() / "encoder.layers" / i, m.hidden_state(x), bias);
  return m.hidden_state(x);
}

}  // namespace

void register_squeezebert(Registry& registry) {
  register_text_encoder(registry,
                        {.model_type = "squeezebert",
                         .base_model_prefix = "transformer",
                         .class_prefix = "SqueezeBert",
                         .encode = encode,
                         .heads = heads::pooled(bert_masked_lm),
                         .pooler = [](ModelBuilder& m, Tensor x) { return heads::pooler(x, m.base() / "pooler"); }});
}

}  // namespace onnxport
