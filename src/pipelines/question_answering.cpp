// question-answering, after transformers/pipelines/question_answering.py.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "onnxport/error.h"
#include "pipelines/code_points.h"
#include "pipelines/json_form.h"
#include "pipelines/task_pipeline.h"
#include "tokenizers/chat_template/text.h"

namespace onnxport {
namespace pipelines {
namespace {

/// Probabilities of the answer's first and last token in one window.
struct Window {
  std::vector<float> start;
  std::vector<float> end;
  std::vector<bool> is_candidate;  ///< tokens that an answer may begin or end with
  float null_score = 0;            ///< of the answer that there is none
};

/// A span of tokens, both ends in it.
struct Span {
  std::size_t start;
  std::size_t end;
  float score;
};

/// Probabilities in which tokens that are no candidates have no part.
std::vector<float> probabilities(std::span<const float> logits, const std::vector<bool>& is_candidate) {
  std::vector<float> values(logits.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = is_candidate[i] ? logits[i] : -10000.0F;
  const float largest = *std::max_element(values.begin(), values.end());
  float sum = 0;
  for (float& value : values) sum += value = std::exp(value - largest);
  for (float& value : values) value /= sum;
  return values;
}

/// The best spans of at most max_answer_len tokens, best first. Spans without any probability are none; Python fills up
/// with them where there are no others.
std::vector<Span> best_spans(const Window& window, std::size_t count, std::size_t max_answer_len) {
  std::vector<Span> spans;
  for (std::size_t start = 0; start < window.start.size(); ++start) {
    const std::size_t last = std::min(window.end.size() - start, max_answer_len) + start;
    for (std::size_t end = start; end < last; ++end)
      if (const float score = window.start[start] * window.end[end]; score > 0) spans.push_back({start, end, score});
  }
  count = std::min(count, spans.size());
  std::partial_sort(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(count), spans.end(),
                    [](const Span& a, const Span& b) {
                      if (a.score != b.score) return a.score > b.score;
                      return a.start != b.start ? a.start < b.start : a.end < b.end;
                    });
  spans.resize(count);
  std::erase_if(spans,
                [&](const Span& span) { return !window.is_candidate[span.start] || !window.is_candidate[span.end]; });
  return spans;
}

/// The characters of a word, as Encoding.word_to_chars of tokenizers: as much of it as the window has.
std::optional<Offset> word_to_chars(const Encoding& encoding, std::int32_t word, std::int32_t sequence) {
  if (word == no_index) return std::nullopt;
  std::optional<Offset> found;
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    if (encoding.sequence_ids[i] != sequence) continue;
    if (encoding.word_ids[i] > word) break;
    if (encoding.word_ids[i] != word) continue;
    if (!found) found = encoding.offsets[i];
    found->end = encoding.offsets[i].end;
  }
  return found;
}

Offset characters_of(const Encoding& encoding, const Span& span, std::int32_t sequence, bool align_to_words) {
  if (align_to_words) {
    const auto first = word_to_chars(encoding, encoding.word_ids[span.start], sequence);
    const auto last = word_to_chars(encoding, encoding.word_ids[span.end], sequence);
    if (first && last) return {first->begin, last->end};
  }
  return {encoding.offsets[span.start].begin, encoding.offsets[span.end].end};
}

}  // namespace

template <>
class Steps<QuestionAnswering> {
 public:
  using Input = QuestionAnsweringInput;
  using Options = QuestionAnsweringOptions;
  using RowResult = Window;
  static constexpr std::size_t window_bytes = 1 << 20;

  static ORTModel open_model(const std::filesystem::path& model, const ORTModelOptions& options) {
    return ORTModelForQuestionAnswering::from_pretrained(model, options);
  }
  Steps(const ORTModel&, const PreTrainedTokenizer& tokenizer, const std::filesystem::path&)
      : tokenizer_(tokenizer),
        cls_id_(tokenizer.special_token_id("cls_token")),
        question_first_(tokenizer.padding_side() == Direction::Right) {}

  std::vector<std::string> output_names() const { return {"start_logits", "end_logits"}; }
  static std::size_t size_of(const Input& input) { return input.question.size() + input.context.size(); }

  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    check(input, options);
    const std::size_t max_length =
        options.max_seq_len.value_or(std::min<std::size_t>(tokenizer_.model_max_length(), 384));
    const std::size_t stride = options.doc_stride.value_or(std::min<std::size_t>(max_length / 2, 128));
    if (stride > max_length)
      throw Error(ErrorKind::InvalidArgument, "doc_stride (" + std::to_string(stride) +
                                                  ") is larger than max_seq_len (" + std::to_string(max_length) + ")");
    const TokenizerCallOptions call{
        .truncation = question_first_ ? TruncationStrategy::OnlySecond : TruncationStrategy::OnlyFirst,
        .max_length = max_length,
        .stride = stride,
        .return_overflowing_tokens = true,
        .fields = EncodingFields::Offsets,
        .threads = 1};
    return (question_first_ ? tokenizer_(input.question, input.context, call)
                            : tokenizer_(input.context, input.question, call))
        .encodings();
  }

  RowResult reduce(const Input&, const Options&, const Encoding& row, const RowOutput& output) const {
    Window window;
    for (std::size_t i = 0; i < row.size(); ++i) {
      // Python's mask has nothing in it for tokenizers that pad on the left, so that all tokens count.
      const bool is_context = !question_first_ || row.sequence_ids[i] == 1;
      window.is_candidate.push_back((is_context || row.ids[i] == cls_id_) && row.attention_mask[i] != 0);
    }
    window.start = probabilities(output.per_token("start_logits"), window.is_candidate);
    window.end = probabilities(output.per_token("end_logits"), window.is_candidate);
    window.null_score = window.start.front() * window.end.front();
    window.start.front() = window.end.front() = 0;
    return window;
  }

  QuestionAnsweringOutput postprocess(const Input& input, const Options& options, std::span<const Encoding> rows,
                                      std::span<RowResult> windows) const {
    const CodePoints context(input.context);
    std::vector<Answer> answers;
    std::unordered_map<std::string, std::size_t> known;  // the answer of each text, case ignored
    float null_score = 1000000;
    // Some spans fall together when they are aligned to words.
    const std::size_t count = options.align_to_words ? options.top_k * 2 + 10 : options.top_k;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      null_score = std::min(null_score, windows[i].null_score);
      for (const Span& span : best_spans(windows[i], count, options.max_answer_len)) {
        const Offset place = characters_of(rows[i], span, question_first_ ? 1 : 0, options.align_to_words);
        const std::string text(context.slice(place.begin, place.end));
        const auto [entry, is_new] = known.try_emplace(jinja::to_lower(text), answers.size());
        if (is_new)
          answers.push_back({.score = span.score, .start = place.begin, .end = place.end, .answer = text});
        else
          answers[entry->second].score += double{span.score};
      }
    }
    if (options.handle_impossible_answer) answers.push_back({.score = null_score, .answer = ""});
    std::stable_sort(answers.begin(), answers.end(),
                     [](const Answer& a, const Answer& b) { return a.score > b.score; });
    if (answers.size() > options.top_k) answers.resize(options.top_k);
    QuestionAnsweringOutput output;
    if (!answers.empty()) static_cast<Answer&>(output) = answers.front();
    output.answers = std::move(answers);
    return output;
  }

 private:
  static void check(const Input& input, const Options& options) {
    const auto refuse = [](const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); };
    if (input.question.empty()) refuse("question-answering: `question` cannot be empty");
    if (input.context.empty()) refuse("question-answering: `context` cannot be empty");
    if (options.top_k < 1) refuse("top_k must be at least 1");
    if (options.max_answer_len < 1) refuse("max_answer_len must be at least 1");
  }

  PreTrainedTokenizer tokenizer_;
  std::optional<std::uint32_t> cls_id_;
  bool question_first_;  ///< else the context stands first, which is what padding on the left means
};

template <>
struct JsonForm<QuestionAnswering> {
  static constexpr std::string_view task = "question-answering";

  static QuestionAnsweringOptions options(OptionReader& reader) {
    QuestionAnsweringOptions options;
    options.top_k = reader.size("top_k", 1).value_or(options.top_k);
    options.doc_stride = reader.size("doc_stride");
    options.max_seq_len = reader.size("max_seq_len", 1);
    options.max_question_len = reader.size("max_question_len", 1).value_or(options.max_question_len);
    options.max_answer_len = reader.size("max_answer_len", 1).value_or(options.max_answer_len);
    options.handle_impossible_answer = reader.boolean("handle_impossible_answer", options.handle_impossible_answer);
    options.align_to_words = reader.boolean("align_to_words", options.align_to_words);
    return options;
  }

  static QuestionAnsweringInput input(const Json& json, const QuestionAnsweringOptions&, const Json&) {
    if (!json.is_object()) refuse_input(json, task, R"({"question": ..., "context": ...} or a list of them)");
    return {.question = text_member(json, "question", task), .context = text_member(json, "context", task)};
  }

  static Json output(const QuestionAnsweringOutput& output, const Json&) {
    Json::Array list;
    for (const Answer& answer : output.answers)
      list.push_back(Json::Object{{"score", answer.score},
                                  {"start", static_cast<std::int64_t>(answer.start)},
                                  {"end", static_cast<std::int64_t>(answer.end)},
                                  {"answer", answer.answer}});
    if (list.size() == 1) return list.front();
    return list;
  }

  static Json call(const QuestionAnsweringPipeline& pipeline, const Json& inputs, const Json& options) {
    Json::Array results = call_list(pipeline, examples(inputs), options);
    if (results.size() == 1) return std::move(results.front());
    return results;
  }

 private:
  /// A list of questions goes with one context, or with as many.
  static Json::Array examples(const Json& inputs) {
    if (inputs.is_array()) return inputs.array();
    const Json* questions = inputs.find("question");
    const Json* contexts = inputs.find("context");
    if (questions == nullptr || contexts == nullptr || !questions->is_array()) return {inputs};
    const std::size_t count = questions->array().size();
    if (contexts->is_array() && contexts->array().size() != count)
      throw Error(ErrorKind::InvalidArgument, "question-answering: there are " + std::to_string(count) +
                                                  " questions and " + std::to_string(contexts->array().size()) +
                                                  " contexts");
    Json::Array list;
    for (std::size_t i = 0; i < count; ++i)
      list.push_back(Json::Object{{"question", questions->array()[i]},
                                  {"context", contexts->is_array() ? contexts->array()[i] : *contexts}});
    return list;
  }
};

template Json call_json(const TaskPipeline<QuestionAnswering>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<QuestionAnswering>&, const std::function<std::optional<Pipeline::Item>()>&,
                          const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<QuestionAnswering>;

}  // namespace onnxport
