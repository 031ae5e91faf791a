// BERT (Devlin et al., 2018): HF's BertModel and its heads.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor encode(ModelBuilder& m) {
  return bert_encoder(m, m.base() / "encoder", bert_embeddings(m, m.base() / "embeddings"),
                      nn::attention_bias(m.input("attention_mask")));
}

}  // namespace

void register_bert(Registry& registry) {
  register_text_encoder(registry, {.model_type = "bert",
                                   .base_model_prefix = "bert",
                                   .class_prefix = "Bert",
                                   .has_pooler = true,
                                   .encode = encode,
                                   .heads = heads::pooled(bert_masked_lm)});
}

}  // namespace onnxport
