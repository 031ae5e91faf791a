// ELECTRA (Clark et al., 2020): HF's ElectraModel, which generator and discriminator share, and its heads.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor encode(ModelBuilder& m) {
  Tensor x = bert_embeddings(m, m.base() / "embeddings");
  if (m.config.positive("embedding_size", 128) != m.config.positive("hidden_size"))
    x = nn::linear(x, m.base() / "embeddings_project");
  return bert_encoder(m, m.base() / "encoder", x, nn::attention_bias(m.input("attention_mask")));
}

Tensor multiple_choice(ModelBuilder& m, Tensor x) {
  return nn::linear(heads::sequence_summary(m, x, m.root() / "sequence_summary", "gelu"), m.root() / "classifier");
}

/// ElectraClassificationHead: RoBERTa's with another activation.
Tensor text_classification(ModelBuilder& m, Tensor x) { return heads::dense_classifier_with("gelu", m, x); }

}  // namespace

void register_electra(Registry& registry) {
  register_text_encoder(registry, {.model_type = "electra",
                                   .base_model_prefix = "electra",
                                   .class_prefix = "Electra",
                                   .encode = encode,
                                   .heads = {{"fill-mask", electra_masked_lm},
                                             {"multiple-choice", multiple_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", text_classification},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"hidden_size", 256}, {"num_attention_heads", 4}}});
}

}  // namespace onnxport
