// BERT (Devlin et al., 2018): HF's BertModel and its heads.
#include <cmath>

#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor input_ids = m.input("input_ids");
  (w / "word_embeddings").expect("weight", {m.config.positive("vocab_size"), m.config.positive("hidden_size")});
  Tensor x = nn::embedding(input_ids, w / "word_embeddings") +
             nn::embedding(m.input("token_type_ids"), w / "token_type_embeddings");
  if (m.config.string("position_embedding_type", "absolute") == "absolute")
    x = x + ops::slice((w / "position_embeddings")["weight"], 0, 0, input_ids.dim(1));
  return nn::layer_norm(x, w / "LayerNorm", m.config.number("layer_norm_eps", 1e-12));
}

Tensor encode(ModelBuilder& m) {
  return bert_encoder(m, m.base() / "encoder", embeddings(m, m.base() / "embeddings"),
                      nn::attention_bias(m.input("attention_mask")));
}

/// BertOnlyMLMHead.
Tensor masked_lm(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "cls.predictions";
  x = nn::activation(m.config.string("hidden_act", "gelu"), nn::linear(x, w / "transform.dense"));
  x = nn::layer_norm(x, w / "transform.LayerNorm", m.config.number("layer_norm_eps", 1e-12));
  return nn::tied_linear(x, w / "decoder", m.base() / "embeddings.word_embeddings", w["bias"]);
}

}  // namespace

void register_bert(Registry& registry) {
  register_text_encoder(registry, {.model_type = "bert",
                                   .base_model_prefix = "bert",
                                   .class_prefix = "Bert",
                                   .encode = encode,
                                   .heads = {{"fill-mask", masked_lm},
                                             {"multiple-choice", heads::pooled_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", heads::pooled_classifier},
                                             {"token-classification", heads::token_classifier}}});
}

}  // namespace onnxport
