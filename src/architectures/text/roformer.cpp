// RoFormer (Su et al., 2021): HF's RoFormerModel and its heads. BERT's layers with rotary positions, which the
// checkpoint has as a table.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor embeddings(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor x = nn::embedding(m.input("input_ids"), w / "word_embeddings") +
                   nn::embedding(m.input("token_type_ids"), w / "token_type_embeddings");
  return nn::layer_norm(x, w / "LayerNorm", m.config.number("layer_norm_eps"));
}

/// A row of the table has the sines of all angles, then the cosines.
ops::Rotation rotation(ModelBuilder& m, Weights w) {
  const auto scope = w.scope();
  const Tensor rows = ops::slice(w["weight"], 0, 0, m.input("input_ids").dim(1));
  const std::vector<Tensor> parts = ops::split(ops::unsqueeze(rows, 0), -1, 2);
  return {.cos = parts[1], .sin = parts[0]};
}

Tensor encode(ModelBuilder& m) {
  const Weights encoder = m.base() / "encoder";
  Tensor x = embeddings(m, m.base() / "embeddings");
  if (m.config.positive("embedding_size", m.config.positive("hidden_size")) != m.config.positive("hidden_size"))
    x = nn::linear(x, m.base() / "embeddings_project");
  const Tensor bias = nn::attention_bias(m.input("attention_mask"));
  const ops::Rotation angles = rotation(m, encoder / "embed_positions");
  return bert_encoder(m, encoder, x, [&](Weights w, Tensor h) {
    const auto scope = w.scope();
    const auto projection = [&](std::string_view name, bool turned) {
      const Tensor parts = nn::split_heads(nn::linear(h, w / name), m.config.positive("num_attention_heads"));
      return turned ? ops::rotary_embedding(parts, angles, ops::RotaryPairs::Neighbours) : parts;
    };
    return nn::attention_of_heads(projection("query", true), projection("key", true),
                                  projection("value", m.config.boolean("rotary_value")), bias);
  });
}

Tensor multiple_choice(ModelBuilder& m, Tensor x) {
  return nn::linear(heads::sequence_summary(m, x, m.root() / "sequence_summary", "linear"), m.root() / "classifier");
}

Tensor text_classification(ModelBuilder& m, Tensor x) {
  return heads::dense_classifier_with(m.config.string("hidden_act"), m, x);
}

}  // namespace

void register_roformer(Registry& registry) {
  register_text_encoder(registry, {.model_type = "roformer",
                                   .base_model_prefix = "roformer",
                                   .class_prefix = "RoFormer",
                                   .encode = encode,
                                   .heads = {{"fill-mask", bert_masked_lm},
                                             {"multiple-choice", multiple_choice},
                                             {"question-answering", heads::question_answering},
                                             {"text-classification", text_classification},
                                             {"token-classification", heads::token_classifier}},
                                   .defaults = {{"vocab_size", 50000},
                                                {"hidden_size", 768},
                                                {"num_hidden_layers", 12},
                                                {"num_attention_heads", 12},
                                                {"hidden_act", "gelu"},
                                                {"layer_norm_eps", 1e-12},
                                                {"rotary_value", false},
                                                {"summary_type", "last"},
                                                {"summary_use_proj", false}}});
}

}  // namespace onnxport
