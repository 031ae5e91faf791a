#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "onnxport/array.h"
#include "onnxport/auto_tokenizer.h"
#include "onnxport/exporter.h"
#include "onnxport/json.h"
#include "onnxport/session_types.h"

/// Exported models under ONNX Runtime, with the names that Optimum has in Python.
namespace onnxport {

/// Arguments of from_pretrained; names and meanings are Optimum's.
struct ORTModelOptions {
  std::string provider = "CPUExecutionProvider";
  std::map<std::string, std::string> provider_options{};
  SessionOptions session_options{};
  std::string file_name{};  ///< absent: model.onnx, or else the only ONNX file; others must be named
  std::string subfolder{};
  /// Of a model id: what HubOptions says of these.
  std::string revision = "main";
  std::filesystem::path cache_dir{};
  std::optional<std::string> token{};
  bool local_files_only = false;
  /// Export the checkpoint first, for the class's task, into a temporary directory that lives as long as the model.
  /// save_pretrained() keeps what was exported. Not validated, as in Optimum. Where there is no ONNX file (and no
  /// file_name) this is done without being asked, and `warn` is told.
  bool export_ = false;
  std::optional<bool> use_io_binding{};  ///< absent: with CUDA, as in Optimum; the CPU gains nothing

  std::function<void(std::string_view line)> warn{};
  std::function<void(const ExportProgress&)> progress{};  ///< of downloads and exports
};

/// A model of any task: named arrays in, named arrays out. Move-only; run by any number of threads at once.
class ORTModel {
 public:
  /// Opens a directory with an ONNX file and config.json, or a model id of the Hub. The ONNX file is looked for in
  /// `subfolder`, then below it ("onnx/model.onnx"); config.json beside it, in the subfolder and in the directory.
  /// A checkpoint is exported for the task that its config.json names (sentence-transformers directories: as sentence
  /// embeddings).
  /// Throws Error: InvalidModel if there is no ONNX file or several (lists them), or if the file or its external data
  /// is damaged or missing; InvalidArgument for a provider that this ONNX Runtime lacks (lists those it has);
  /// InvalidCheckpoint for a config.json that is missing or damaged; HubFailed; and with export_ what export_onnx
  /// throws.
  /// A bfloat16 model on the CPU, for which ONNX Runtime has no bfloat16, runs in float32 with the weights that it has.
  static ORTModel from_pretrained(const std::filesystem::path& model, const ORTModelOptions& options = {});

  ORTModel(ORTModel&&) noexcept;
  ORTModel& operator=(ORTModel&&) noexcept;
  ~ORTModel();

  /// Runs the model. Inputs that the graph lacks are dropped. Those that it wants and that are missing are made:
  /// token_type_ids (zeros), attention_mask (ones), position_ids (counted along the attention mask). Integers are
  /// converted to the integer type wanted, and any number to a float type. Nothing else is copied.
  /// Outputs are in the graph's order; they hold ONNX Runtime's own memory, without a copy.
  /// Throws Error(InvalidArgument) that names the input: missing, of another rank or type, sizes that differ between
  /// inputs, token ids beyond vocab_size, rows longer than the model's positions; Error(RuntimeFailed) for whatever
  /// else ONNX Runtime objects to.
  NamedArrays operator()(const NamedArrays& inputs) const { return run(inputs); }
  NamedArrays operator()(const BatchEncoding& inputs) const { return run(inputs.tensors()); }
  /// The same for some of the outputs, in the order of their names. Throws Error(InvalidArgument) for an unknown one.
  NamedArrays run(const NamedArrays& inputs, std::span<const std::string> output_names = {}) const;

  const std::vector<ModelInput>& inputs() const;
  const std::vector<ModelInput>& outputs() const;
  const Json& config() const;                 ///< config.json
  const std::filesystem::path& path() const;  ///< of the ONNX file
  const std::string& provider() const;
  /// Tokens that a row may have, by config.json: nullopt if positions are relative, or for a model_type that onnxport
  /// does not know.
  std::optional<std::int64_t> max_length() const;

  /// Writes the ONNX file, its external data and the companion files (config.json, tokenizer files, ...) to a
  /// directory, where from_pretrained finds them. Returns what was written. Throws Error(OutputFailed).
  std::vector<std::filesystem::path> save_pretrained(const std::filesystem::path& directory) const;

 private:
  struct Implementation;
  explicit ORTModel(std::unique_ptr<Implementation> implementation);
  /// For the task and library that export_ is to export for, "" for any.
  static ORTModel open(const std::filesystem::path& model, const ORTModelOptions& options, std::string_view task,
                       std::string_view library_name);
  template <typename Output>
  friend class ORTModelFor;

  std::unique_ptr<Implementation> implementation_;
};

/// What transformers' output classes hold, by the same names. hidden_states and attentions stay empty unless the graph
/// has outputs "hidden_states.0", "attentions.0" and so on.
struct BaseModelOutput {
  Array last_hidden_state;  ///< (batch_size, sequence_length, hidden_size)
  std::vector<Array> hidden_states{};
  std::vector<Array> attentions{};
};
struct MaskedLMOutput {
  Array logits;  ///< (batch_size, sequence_length, vocab_size)
  std::vector<Array> hidden_states{};
  std::vector<Array> attentions{};
};
struct QuestionAnsweringModelOutput {
  Array start_logits;  ///< (batch_size, sequence_length); so are the end_logits
  Array end_logits;
  std::vector<Array> hidden_states{};
  std::vector<Array> attentions{};
};
struct SequenceClassifierOutput {
  Array logits;  ///< (batch_size, num_labels)
  std::vector<Array> hidden_states{};
  std::vector<Array> attentions{};
};
struct TokenClassifierOutput {
  Array logits;  ///< (batch_size, sequence_length, num_labels)
  std::vector<Array> hidden_states{};
  std::vector<Array> attentions{};
};
struct MultipleChoiceModelOutput {
  Array logits;  ///< (batch_size, num_choices); the inputs are (batch_size, num_choices, sequence_length)
  std::vector<Array> hidden_states{};
  std::vector<Array> attentions{};
};
/// As a SentenceTransformer's forward.
struct SentenceTransformerOutput {
  Array token_embeddings;    ///< (batch_size, sequence_length, hidden_size)
  Array sentence_embedding;  ///< (batch_size, embedding_size)
  std::vector<Array> hidden_states{};
  std::vector<Array> attentions{};
};

/// A model of one task, whose outputs are fields of a struct.
template <typename Output>
class ORTModelFor : public ORTModel {
 public:
  /// As ORTModel::from_pretrained; with export_, exports for this class's task.
  /// Throws Error(InvalidModel) also if the graph's outputs are those of another task.
  static ORTModelFor from_pretrained(const std::filesystem::path& model, const ORTModelOptions& options = {});
  /// A model that was opened without a task. Throws Error(InvalidModel) if its outputs are those of another one.
  explicit ORTModelFor(ORTModel model);

  Output operator()(const NamedArrays& inputs) const;
  Output operator()(const BatchEncoding& inputs) const { return (*this)(inputs.tensors()); }
};

extern template class ORTModelFor<BaseModelOutput>;
extern template class ORTModelFor<MaskedLMOutput>;
extern template class ORTModelFor<QuestionAnsweringModelOutput>;
extern template class ORTModelFor<SequenceClassifierOutput>;
extern template class ORTModelFor<TokenClassifierOutput>;
extern template class ORTModelFor<MultipleChoiceModelOutput>;
extern template class ORTModelFor<SentenceTransformerOutput>;

/// Task feature-extraction. Where the graph is that of a sentence-transformers directory, last_hidden_state is its
/// token_embeddings.
using ORTModelForFeatureExtraction = ORTModelFor<BaseModelOutput>;
using ORTModelForMaskedLM = ORTModelFor<MaskedLMOutput>;                          ///< fill-mask
using ORTModelForQuestionAnswering = ORTModelFor<QuestionAnsweringModelOutput>;   ///< question-answering
using ORTModelForSequenceClassification = ORTModelFor<SequenceClassifierOutput>;  ///< text-classification
using ORTModelForTokenClassification = ORTModelFor<TokenClassifierOutput>;        ///< token-classification
using ORTModelForMultipleChoice = ORTModelFor<MultipleChoiceModelOutput>;         ///< multiple-choice
using ORTModelForSentenceTransformers = ORTModelFor<SentenceTransformerOutput>;   ///< sentence-similarity
/// Inputs and outputs of any names.
using ORTModelForCustomTasks = ORTModel;

using AnyORTModel = std::variant<ORTModelForFeatureExtraction, ORTModelForMaskedLM, ORTModelForQuestionAnswering,
                                 ORTModelForSequenceClassification, ORTModelForTokenClassification,
                                 ORTModelForMultipleChoice, ORTModelForSentenceTransformers>;

class AutoORTModel {
 public:
  /// Opens a model as the class that fits the graph's outputs and, where these are "logits", the architectures of
  /// config.json. Throws as ORTModel::from_pretrained, and Error(InvalidModel) if no class fits: ORTModelForCustomTasks
  /// always does.
  static AnyORTModel from_pretrained(const std::filesystem::path& model, const ORTModelOptions& options = {});
};

/// Execution providers of the ONNX Runtime in use, best first, as onnxruntime.get_available_providers() lists them.
std::vector<std::string> available_providers();

}  // namespace onnxport
