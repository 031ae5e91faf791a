// RoBERTa (Liu et al., 2019) and the model types that share its graph: XLM-RoBERTa (Conneau et al., 2019), CamemBERT
// (Martin et al., 2019), data2vec's text model (Baevski et al., 2022) and I-BERT (Kim et al., 2021) before
// quantization.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor encode(ModelBuilder& m) {
  const Tensor positions = nn::position_ids_after_padding(m.input("input_ids"), m.config.integer("pad_token_id", 1));
  return bert_encoder(m, m.base() / "encoder", bert_embeddings(m, m.base() / "embeddings", positions),
                      nn::attention_bias(m.input("attention_mask")));
}

/// IBertModel without quantization, which knows one activation and one kind of positions.
Tensor encode_ibert(ModelBuilder& m) {
  if (m.config.boolean("quant_mode", false)) m.config.unsupported("quant_mode");
  if (m.config.string("hidden_act", "gelu") != "gelu") m.config.unsupported("hidden_act");
  require_absolute_positions(m.config);
  for (const char* buffer : {"weight_integer", "bias_integer", "weight_scaling_factor", "fc_scaling_factor", "shift",
                             "act_scaling_factor", "x_min", "x_max"})
    m.base().idle(buffer);
  return encode(m);
}

TextEncoder roberta(std::string model_type, std::string base_model_prefix, std::string class_prefix) {
  return {.model_type = std::move(model_type),
          .base_model_prefix = std::move(base_model_prefix),
          .class_prefix = std::move(class_prefix),
          .inputs = {"input_ids", "attention_mask"},
          .has_pooler = true,
          .encode = encode,
          .heads = {{"fill-mask", heads::lm_head},
                    {"multiple-choice", heads::pooled_choice},
                    {"question-answering", heads::question_answering},
                    {"text-classification", heads::dense_classifier},
                    {"token-classification", heads::token_classifier}}};
}

}  // namespace

void register_roberta(Registry& registry) {
  TextEncoder original = roberta("roberta", "roberta", "Roberta");
  original.defaults = {{"vocab_size", 50265}};
  register_text_encoder(registry, std::move(original));
  register_text_encoder(registry, roberta("xlm-roberta", "roberta", "XLMRoberta"));
  register_text_encoder(registry, roberta("camembert", "roberta", "Camembert"));
  register_text_encoder(registry, roberta("data2vec-text", "data2vec_text", "Data2VecText"));
  TextEncoder ibert = roberta("ibert", "ibert", "IBert");
  ibert.encode = encode_ibert;
  register_text_encoder(registry, std::move(ibert));
}

}  // namespace onnxport
