// XLM-RoBERTa-XL (Goyal et al., 2021): XLM-RoBERTa that normalizes before attention and feed-forward, and not its
// embeddings.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor encode(ModelBuilder& m) {
  const Tensor positions = nn::position_ids_after_padding(m.input("input_ids"), m.config.integer("pad_token_id", 1));
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  const SelfAttention attention = [&](Weights self, Tensor h) { return bert_self_attention(m, self, h, bias); };
  const Weights encoder = m.base() / "encoder";
  const std::string hidden_act = m.config.string("hidden_act");
  Tensor x = embedding_sum(m, m.base() / "embeddings", positions);
  for (std::int64_t i = 0; i < m.config.positive("num_hidden_layers"); ++i)
    x = pre_norm_bert_layer(m, encoder / "layer" / i, m.hidden_state(x),
                            {"attention.self_attn_layer_norm", "LayerNorm"}, hidden_act, attention);
  return m.hidden_state(nn::layer_norm(x, encoder / "LayerNorm", m.config.number("layer_norm_eps")));
}

}  // namespace

void register_xlm_roberta_xl(Registry& registry) {
  register_text_encoder(registry, {.model_type = "xlm-roberta-xl",
                                   .base_model_prefix = "roberta",
                                   .class_prefix = "XLMRobertaXL",
                                   .inputs = {"input_ids", "attention_mask"},
                                   .has_pooler = true,
                                   .encode = encode,
                                   .heads = {{"fill-mask", heads::lm_head},
                                             {"multiple-choice", heads::pooled_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", heads::dense_classifier},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"vocab_size", 250880},
                                                {"num_hidden_layers", 36},
                                                {"num_attention_heads", 32},
                                                {"hidden_act", "gelu"},
                                                {"max_position_embeddings", 514},
                                                {"layer_norm_eps", 1e-5}}});
}

}  // namespace onnxport
