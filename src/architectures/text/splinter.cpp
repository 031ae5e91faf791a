// Splinter (Ram et al., 2021): BERT with a head that answers questions at the place of a question token.
#include "architectures/text/bert_layers.h"
#include "architectures/text/text_encoder_common.h"

namespace onnxport {
namespace {

Tensor encode(ModelBuilder& m) {
  require_absolute_positions(m.config);
  return bert_encoder(m, m.base() / "encoder", bert_embeddings(m, m.base() / "embeddings"),
                      nn::attention_bias(m.input("attention_mask")));
}

/// SplinterFullyConnectedLayer.
Tensor transform(Tensor x, Weights w) {
  return nn::layer_norm(nn::activation("gelu", nn::linear(x, w / "dense")), w / "LayerNorm", 1e-5);
}

/// The state of the first question token, or of the first token where there is none: (batch, 1, hidden_size).
Tensor question_state(ModelBuilder& m, Tensor x) {
  const double id = static_cast<double>(m.config.integer("question_token_id", 104));
  const Tensor is_question = ops::cast(ops::equal(m.input("input_ids"), id), DataType::Int64);
  const Tensor position = ops::reshape(ops::arg_max(is_question, 1), {x.dim(0), 1, 1});
  return ops::gather_elements(x, ops::expand(position, {x.dim(0), 1, x.dim(2)}), 1);
}

/// QuestionAwareSpanSelectionHead: (batch, length, 2).
Tensor question_answering(ModelBuilder& m, Tensor x) {
  const Weights w = m.root() / "splinter_qass";
  const Tensor question = question_state(m, x);
  const Tensor mask = ops::reshape(nn::attention_bias(m.input("attention_mask")), {x.dim(0), x.dim(1), 1});
  const auto logits = [&](const std::string& end) {
    const Tensor query =
        nn::linear(transform(question, w / ("query_" + end + "_transform")), w / (end + "_classifier"));
    const Tensor states = transform(x, w / (end + "_transform"));
    return ops::matmul(states, ops::transpose(query, {0, 2, 1})) + mask;
  };
  return ops::concat({logits("start"), logits("end")}, 2);
}

}  // namespace

void register_splinter(Registry& registry) {
  register_text_encoder(registry, {.model_type = "splinter",
                                   .base_model_prefix = "splinter",
                                   .class_prefix = "Splinter",
                                   .encode = encode,
                                   .heads = {{"question-answering", question_answering}}});
}

}  // namespace onnxport
