// RemBERT (Chung et al., 2020): BERT with small embeddings at its input and large ones, never tied, at its output.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor encode(ModelBuilder& m) {
  const Weights encoder = m.base() / "encoder";
  const Tensor x = nn::linear(bert_embeddings(m, m.base() / "embeddings"), encoder / "embedding_hidden_mapping_in");
  return bert_encoder(m, encoder, x, nn::attention_bias(m.input("attention_mask")));
}

/// RemBertOnlyMLMHead.
Tensor masked_lm(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "cls.predictions";
  return nn::linear(prediction_transform(m, x, w, m.config.string("hidden_act", "gelu")), w / "decoder");
}

}  // namespace

void register_rembert(Registry& registry) {
  register_text_encoder(
      registry,
      {.model_type = "rembert",
       .base_model_prefix = "rembert",
       .class_prefix = "RemBert",
       .has_pooler = true,
       .encode = encode,
       .heads = heads::pooled(masked_lm),
       .defaults = {
           {"vocab_size", 250300}, {"hidden_size", 1152}, {"num_hidden_layers", 32}, {"num_attention_heads", 18}}});
}

}  // namespace onnxport
