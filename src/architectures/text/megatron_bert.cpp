// Megatron-BERT (Shoeybi et al., 2019): BERT that normalizes before attention and feed-forward.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor encode(ModelBuilder& m) {
  const Weights encoder = m.base() / "encoder";
  const std::string hidden_act = m.config.string("hidden_act", "gelu");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  const SelfAttention attention = [&](Weights self, Tensor h) { return bert_self_attention(m, self, h, bias); };
  Tensor x = embedding_sum(m, m.base() / "embeddings");
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = pre_norm_bert_layer(m, encoder / "layer" / i, m.hidden_state(x), {"attention.ln", "ln"}, hidden_act, attention);
  return m.hidden_state(nn::layer_norm(x, encoder / "ln", m.config.number("layer_norm_eps", 1e-12)));
}

}  // namespace

void register_megatron_bert(Registry& registry) {
  register_text_encoder(
      registry,
      {.model_type = "megatron-bert",
       .base_model_prefix = "bert",
       .class_prefix = "MegatronBert",
       .has_pooler = true,
       .encode = encode,
       .heads = heads::pooled(bert_masked_lm),
       .defaults = {
           {"vocab_size", 29056}, {"hidden_size", 1024}, {"num_hidden_layers", 24}, {"num_attention_heads", 16}}});
}

}  // namespace onnxport
