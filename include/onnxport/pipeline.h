#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "onnxport/auto_tokenizer.h"
#include "onnxport/json.h"
#include "onnxport/model.h"

/// The pipelines of transformers: text in, answers out.
///
///     auto qa = onnxport::pipeline("question-answering", "distilbert_squad_onnx");
///     auto answer = qa({.question = "...", .context = "..."});  // answer.score, answer.start, answer.end,
///     answer.answer
///
/// Every task has a class of its own below (TextClassificationPipeline, ...) with arguments and results as structs.
/// Options, defaults and the fields of results are those of the pipelines in Python. Positions in texts count Unicode
/// code points, as Python's do. Text that is not UTF-8 is read with U+FFFD for each invalid part.
///
/// Many inputs are tokenized on all cores, sorted by length and run in small batches, each by one single-threaded
/// worker for each core; results come in the order of the inputs.
namespace onnxport {

/// How a pipeline opens and runs its model.
struct PipelineOptions {
  /// The model's. session_options.intra_op_num_threads = 0 means one thread for each worker, which is fastest for many
  /// inputs; a larger number speeds up single ones.
  ORTModelOptions model_options{};
  int num_workers = 0;         ///< runs of the model at a time; 0: as many as the cores have room for
  std::size_t batch_size = 0;  ///< most rows of one run; 0: by the rows' lengths
};

// ---- text-classification --------------------------------------------------------------------------------------------

struct LabelScore {
  std::string label;
  double score = 0;
};

enum class ClassificationFunction { Sigmoid, Softmax, None };

struct TextClassification {
  struct Input {
    std::string text;
    std::optional<std::string> text_pair{};
  };
  struct Options {
    std::optional<std::size_t> top_k = 1;  ///< absent: all labels
    /// Absent: None for problem_type "regression", Sigmoid for "multi_label_classification" or a single label, else
    /// Softmax.
    std::optional<ClassificationFunction> function_to_apply{};
    bool return_all_scores = false;  ///< all labels in the config's order, not by score
    /// Arguments of the tokenizer's call. Without truncation a text that is longer than the model is an error.
    std::optional<TruncationStrategy> truncation{};
    std::optional<std::size_t> max_length{};  ///< absent: the tokenizer's model_max_length
  };
  using Output = std::vector<LabelScore>;  ///< best first
};
using TextClassificationInput = TextClassification::Input;
using TextClassificationOptions = TextClassification::Options;

// ---- token-classification -------------------------------------------------------------------------------------------

enum class AggregationStrategy { None, Simple, First, Average, Max };

struct Entity {
  std::string entity;  ///< the label; "entity_group" in Python where there is an aggregation strategy
  double score = 0;
  std::optional<std::size_t> index{};  ///< of the token, without an aggregation strategy
  std::string word;
  std::size_t start = 0;  ///< code points
  std::size_t end = 0;
};

struct TokenClassification {
  struct Input {
    std::string text;
    /// Instead of the text: it is then these words, joined by `delimiter` (is_split_into_words in Python).
    std::optional<std::vector<std::string>> words{};
  };
  struct Options {
    AggregationStrategy aggregation_strategy = AggregationStrategy::None;
    std::vector<std::string> ignore_labels{"O"};
    /// Texts longer than model_max_length are read in windows that overlap by this many tokens; without it they are
    /// truncated. Needs an aggregation strategy.
    std::optional<std::size_t> stride{};
    std::string delimiter = " ";
  };
  using Output = std::vector<Entity>;
};
using TokenClassificationInput = TokenClassification::Input;
using TokenClassificationOptions = TokenClassification::Options;

// ---- question-answering ---------------------------------------------------------------------------------------------

struct Answer {
  double score = 0;
  std::size_t start = 0;  ///< code points of the context
  std::size_t end = 0;
  std::string answer;  ///< empty if the context has none
};

struct QuestionAnswering {
  struct Input {
    std::string question;
    std::string context;
  };
  struct Options {
    std::size_t top_k = 1;
    std::optional<std::size_t> doc_stride{};   ///< tokens that windows overlap by; absent: half of max_seq_len, to 128
    std::optional<std::size_t> max_seq_len{};  ///< tokens of a window; absent: model_max_length, at most 384
    std::size_t max_question_len = 64;         ///< acts on Python's slow tokenizers only, so on nothing here
    std::size_t max_answer_len = 15;           ///< tokens
    bool handle_impossible_answer = false;
    bool align_to_words = true;
  };
  /// The best answer; `answers` holds the top_k best.
  struct Output : Answer {
    std::vector<Answer> answers{};
  };
};
using QuestionAnsweringInput = QuestionAnswering::Input;
using QuestionAnsweringOptions = QuestionAnswering::Options;
using QuestionAnsweringOutput = QuestionAnswering::Output;

// ---- fill-mask ------------------------------------------------------------------------------------------------------

struct MaskFill {
  double score = 0;
  std::uint32_t token = 0;
  std::string token_str;
  std::string sequence;  ///< the text with the mask replaced
};

struct FillMask {
  struct Input {
    std::string text;  ///< has the tokenizer's mask token at least once
  };
  struct Options {
    std::size_t top_k = 5;
    /// Only these tokens are scored. A word that is no token stands for its first token.
    std::optional<std::vector<std::string>> targets{};
    std::optional<TruncationStrategy> truncation{};  ///< this and the next as for text-classification
    std::optional<std::size_t> max_length{};
  };
  using Output = std::vector<std::vector<MaskFill>>;  ///< for each mask the best fills
};
using FillMaskInput = FillMask::Input;
using FillMaskOptions = FillMask::Options;

// ---- feature-extraction ---------------------------------------------------------------------------------------------

struct FeatureExtraction {
  struct Input {
    std::string text;
  };
  struct Options {
    std::optional<TruncationStrategy> truncation{};  ///< this and the next as for text-classification
    std::optional<std::size_t> max_length{};
  };
  using Output = Array;  ///< float32 (sequence_length, hidden_size)
};
using FeatureExtractionInput = FeatureExtraction::Input;
using FeatureExtractionOptions = FeatureExtraction::Options;

// ---- zero-shot-classification ---------------------------------------------------------------------------------------

struct ZeroShotResult {
  std::string sequence;
  std::vector<std::string> labels;  ///< best first
  std::vector<double> scores;
};

struct ZeroShotClassification {
  struct Input {
    std::string text;
  };
  struct Options {
    std::vector<std::string> candidate_labels{};
    std::string hypothesis_template = "This example is {}.";
    bool multi_label = false;  ///< labels do not exclude each other
  };
  using Output = ZeroShotResult;
};
using ZeroShotClassificationInput = ZeroShotClassification::Input;
using ZeroShotClassificationOptions = ZeroShotClassification::Options;

// ---- Sentence embeddings --------------------------------------------------------------------------------------------

/// As SentenceTransformer.encode: what the graph gives as "sentence_embedding"; of a graph without it the hidden
/// states, pooled and normalized as modules.json says, or their mean without that file. Texts are truncated.
struct Embeddings {
  struct Input {
    std::string text;
  };
  struct Options {
    bool normalize_embeddings = false;  ///< to length 1, whatever the model does
    /// Put before every text; absent: the default prompt of config_sentence_transformers.json, if it has one.
    std::optional<std::string> prompt{};
  };
  using Output = std::vector<float>;
};
using EmbeddingsInput = Embeddings::Input;
using EmbeddingsOptions = Embeddings::Options;

struct SentenceSimilarity {
  struct Input {
    std::string source_sentence;
    std::vector<std::string> sentences;
  };
  using Options = Embeddings::Options;
  /// One for each sentence: the cosine, or what similarity_fn_name of config_sentence_transformers.json names.
  using Output = std::vector<double>;
};
using SentenceSimilarityInput = SentenceSimilarity::Input;

// ---- The classes ----------------------------------------------------------------------------------------------------

namespace pipelines {
template <typename Task>
struct TaskState;
}

/// The pipeline of one task. Copies share the model; const functions may be called from several threads at once.
template <typename Task>
class TaskPipeline {
 public:
  using Input = typename Task::Input;
  using Options = typename Task::Options;
  using Output = typename Task::Output;

  /// Opens a directory with model and tokenizer; with options.model_options.export_ a checkpoint.
  /// Throws Error: as from_pretrained of the model (InvalidModel for one without the task's head) and the tokenizer do.
  explicit TaskPipeline(const std::filesystem::path& model, const PipelineOptions& options = {});

  /// Throws Error(InvalidArgument) for an option or input without meaning, and for a text that is longer than the
  /// model.
  Output operator()(const Input& input, const Options& options = {}) const;
  Output operator()(std::string_view text, const Options& options = {}) const requires requires(Input input) {
    input.text;
  }
  {
    Input input;
    input.text = text;
    return (*this)(input, options);
  }
  std::vector<Output> operator()(std::span<const Input> inputs, const Options& options = {}) const;
  std::vector<Output> operator()(std::span<const std::string> texts, const Options& options = {}) const requires
      requires(Input input) {
    input.text;
  }
  {
    std::vector<Input> inputs(texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) inputs[i].text = texts[i];
    return (*this)(std::span<const Input>(inputs), options);
  }

  /// An input with options of its own.
  struct Item {
    Input input;
    std::shared_ptr<const Options> options;
  };
  /// Runs inputs without end in constant memory: `next` is asked for inputs until it gives nothing, `emit` gets the
  /// outputs in their order; both are called by this thread. Inputs are read ahead by a window that grows to a few
  /// thousand. An input that fails throws when the outputs before it have been emitted, and so
  /// does what `next` throws.
  void stream(const std::function<std::optional<Item>()>& next, const std::function<void(Output)>& emit) const;

  const PreTrainedTokenizer& tokenizer() const;
  const ORTModel& model() const;

 private:
  std::shared_ptr<const pipelines::TaskState<Task>> state_;
};

using TextClassificationPipeline = TaskPipeline<TextClassification>;
using TokenClassificationPipeline = TaskPipeline<TokenClassification>;
using QuestionAnsweringPipeline = TaskPipeline<QuestionAnswering>;
using FillMaskPipeline = TaskPipeline<FillMask>;
using FeatureExtractionPipeline = TaskPipeline<FeatureExtraction>;
using ZeroShotClassificationPipeline = TaskPipeline<ZeroShotClassification>;
using EmbeddingsPipeline = TaskPipeline<Embeddings>;
using SentenceSimilarityPipeline = TaskPipeline<SentenceSimilarity>;

extern template class TaskPipeline<TextClassification>;
extern template class TaskPipeline<TokenClassification>;
extern template class TaskPipeline<QuestionAnswering>;
extern template class TaskPipeline<FillMask>;
extern template class TaskPipeline<FeatureExtraction>;
extern template class TaskPipeline<ZeroShotClassification>;
extern template class TaskPipeline<Embeddings>;
extern template class TaskPipeline<SentenceSimilarity>;

// ---- Pipelines by name ----------------------------------------------------------------------------------------------

/// A pipeline of any task. Its arguments and results are JSON with the shapes that Python's have: a text or a list of
/// texts, {"text", "text_pair"}, {"question", "context"}, {"source_sentence", "sentences"}; options by their names.
class Pipeline {
 public:
  /// As pipeline(inputs, **options) in Python. Throws Error(InvalidArgument) for an option that the task lacks (lists
  /// those it has) and for inputs of another shape.
  Json operator()(const Json& inputs, const Json& options = {}) const;
  /// Throws Error(InvalidArgument) unless the task is question-answering.
  QuestionAnsweringOutput operator()(const QuestionAnsweringInput& input,
                                     const QuestionAnsweringOptions& options = {}) const;

  /// One input and its options, an object or null.
  using Item = std::pair<Json, Json>;
  /// As TaskPipeline::stream. An output is what an element of the list is that a list of inputs would give.
  void stream(const std::function<std::optional<Item>()>& next, const std::function<void(Json)>& emit) const;

  /// Takes an object apart that has the names of inputs and of options side by side, as JSON lines have:
  /// {"question": ..., "context": ..., "top_k": 2}. A value of another type is an input without options.
  Item item_of(const Json& arguments) const;

  const std::string& task() const { return task_; }
  /// The pipeline as its task's class. Throws Error(InvalidArgument) if the task is another one.
  template <typename Class>
  const Class& as() const {
    if (const Class* typed = std::get_if<Class>(&pipeline_)) return *typed;
    refuse_class();
  }

 private:
  friend Pipeline pipeline(std::string_view task, const std::filesystem::path& model, const PipelineOptions& options);
  using AnyPipeline = std::variant<TextClassificationPipeline, TokenClassificationPipeline, QuestionAnsweringPipeline,
                                   FillMaskPipeline, FeatureExtractionPipeline, ZeroShotClassificationPipeline,
                                   EmbeddingsPipeline, SentenceSimilarityPipeline>;
  Pipeline(std::string task, AnyPipeline pipeline) : task_(std::move(task)), pipeline_(std::move(pipeline)) {}
  [[noreturn]] void refuse_class() const;

  std::string task_;
  AnyPipeline pipeline_;
};

/// Opens the pipeline of a task, or of a synonym ("sentiment-analysis", "ner").
/// Throws Error(UnsupportedTask) for another task (lists those there are), and as the task's class does.
Pipeline pipeline(std::string_view task, const std::filesystem::path& model, const PipelineOptions& options = {});

/// The tasks, sorted.
std::vector<std::string> pipeline_tasks();

}  // namespace onnxport
