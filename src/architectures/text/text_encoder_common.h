#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "architectures/registry.h"
#include "nn/layers.h"

namespace onnxport {

/// An encoder of text with the tasks that its family has. Every head is given the last hidden states
/// (batch_size, sequence_length, hidden_size) and returns logits:
///   fill-mask, token-classification   (batch_size, sequence_length, n)
///   text-classification               (batch_size, num_labels)
///   multiple-choice                   (batch_size, 1); one row a choice, folded and unfolded by register_text_encoder
///   question-answering                (batch_size, sequence_length, 2)
struct TextEncoder {
  using Head = std::function<Tensor(ModelBuilder&, Tensor hidden_states)>;

  std::string model_type;
  std::string base_model_prefix;
  std::string class_prefix;  ///< "Bert" of BertForMaskedLM
  std::vector<std::string> inputs{"input_ids", "attention_mask", "token_type_ids"};
  bool has_pooler = false;  ///< the base class has a `pooler`, which feature-extraction returns if it is asked to
  std::function<Tensor(ModelBuilder&)> encode{};
  std::map<std::string, Head> heads{};               ///< by task; feature-extraction needs none
  std::map<std::string, std::string> class_names{};  ///< by task, where not the usual suffix of class_prefix
  std::vector<WeightStore::Alias> aliases{};
  /// Inputs that depend on the config or the task, instead of `inputs`.
  std::function<std::vector<std::string>(const Config&, std::string_view task)> inputs_of{};
  Head pooler{};  ///< of the base class, where it is not heads::pooler
  /// See Architecture. Sizes and counts that are not stated here are BERT's.
  Json::Object defaults{};
};

void register_text_encoder(Registry& registry, TextEncoder encoder);

/// Heads that several families share.
namespace heads {

/// Hidden state of the first token: (batch, hidden_size).
Tensor first_token(Tensor hidden_states);
/// num_labels of a config: the size of id2label, or 2.
std::int64_t num_labels(const Config& config);
/// A linear layer named `classifier` with num_labels outputs.
Tensor classifier(ModelBuilder& m, Tensor x);

/// BertPooler: tanh(dense(first token)) with the weights of `pooler.dense`.
Tensor pooler(Tensor hidden_states, Weights w);
/// classifier(pooler(hidden_states)), as Bert's text-classification and multiple-choice.
Tensor pooled_classifier(ModelBuilder& m, Tensor hidden_states);
Tensor pooled_choice(ModelBuilder& m, Tensor hidden_states);
/// What DistilBERT has in place of a pooler: relu(pre_classifier(first token)).
Tensor pre_classifier(ModelBuilder& m, Tensor hidden_states);
/// All of BERT's heads: those above, those below, and a family's own for fill-mask.
std::map<std::string, TextEncoder::Head> pooled(TextEncoder::Head masked_lm);
/// classifier on every token.
Tensor token_classifier(ModelBuilder& m, Tensor hidden_states);
/// qa_outputs on every token.
Tensor question_answering(ModelBuilder& m, Tensor hidden_states);
/// out_proj(tanh(dense(first token))) of `classifier`, as RobertaClassificationHead.
Tensor dense_classifier(ModelBuilder& m, Tensor hidden_states);
/// The same with another activation.
Tensor dense_classifier_with(std::string_view activation, ModelBuilder& m, Tensor hidden_states);

/// SequenceSummary of XLM and ELECTRA: one vector of a sequence, (batch, n), by the config's summary_type ("first",
/// "last", "mean", "cls_index"; others throw Error(UnsupportedArchitecture)), summary_use_proj and summary_activation.
Tensor sequence_summary(ModelBuilder& m, Tensor hidden_states, Weights w, std::string_view default_activation);

/// Logits over the vocabulary: x Wᵀ + bias, where W is that of `decoder` if tie_word_embeddings is false, and else the
/// base model's `embeddings.word_embeddings`.
Tensor vocabulary(ModelBuilder& m, Tensor x, Weights decoder, Tensor bias);
/// The same with `decoder` and `bias` of w. The bias is the decoder's too; a checkpoint has it under either name.
Tensor vocabulary(ModelBuilder& m, Tensor x, Weights w);
/// RobertaLMHead: vocabulary(layer_norm(gelu(dense(x)))) of `lm_head`.
Tensor lm_head(ModelBuilder& m, Tensor hidden_states);

}  // namespace heads
}  // namespace onnxport
