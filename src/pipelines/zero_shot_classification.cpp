// zero-shot-classification, after transformers/pipelines/zero_shot_classification.py.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "onnxport/error.h"
#include "pipelines/json_form.h"
#include "pipelines/labels.h"
#include "pipelines/model_head.h"
#include "pipelines/task_pipeline.h"
#include "tokenizers/chat_template/text.h"

namespace onnxport {
namespace pipelines {
namespace {

[[noreturn]] void refuse_template(const std::string& text, const std::string& reason) {
  throw Error(ErrorKind::InvalidArgument, "hypothesis_template " + quote_json(text) + " " + reason);
}

/// Python's template.format(label) for what a template of a hypothesis may hold: {}, {0}, {{ and }}.
std::string format_hypothesis(const std::string& text, const std::string& label) {
  std::string result;
  bool has_place = false, has_numbered_place = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = std::string_view(text).substr(i);
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      result += text[i++];
    } else if (rest.starts_with("{0}")) {
      has_numbered_place = true;
      result += label;
      i += 2;
    } else if (rest.starts_with("{}")) {
      if (has_place) refuse_template(text, "has several places for the label; write {0} for each of them");
      has_place = true;
      result += label;
      ++i;
    } else if (text[i] == '{' || text[i] == '}') {
      refuse_template(text, "has a brace that belongs to no {} or {0}; write {{ for a brace in the text");
    } else {
      result += text[i];
    }
  }
  if (has_place && has_numbered_place) refuse_template(text, "has both {} and {0}; write one of them");
  return result;
}

/// The output of the model that means that the hypothesis follows; -1, the last one, if the labels do not say.
std::int64_t entailment_id(const Json& config) {
  for (const auto& [label, id] : label2id(config))
    if (jinja::to_lower(label).starts_with("entail")) return id;
  return -1;
}

/// As Python indexes: from the end if negative.
float at(std::span<const float> values, std::int64_t index) {
  const auto size = static_cast<std::int64_t>(values.size());
  if (index < -size || index >= size)
    throw Error(ErrorKind::InvalidCheckpoint, "config.json: label2id has the id " + std::to_string(index) +
                                                  ", and the model has " + std::to_string(size) + " outputs");
  return values[static_cast<std::size_t>(index < 0 ? index + size : index)];
}

}  // namespace

template <>
class Steps<ZeroShotClassification> {
 public:
  using Input = ZeroShotClassificationInput;
  using Options = ZeroShotClassificationOptions;
  using RowResult = std::vector<float>;
  static constexpr std::size_t window_bytes = 1 << 18;

  static ORTModel open_model(const std::filesystem::path& model, const ORTModelOptions& options) {
    ORTModel opened = ORTModelForSequenceClassification::from_pretrained(model, options);
    require_head(opened, "ForSequenceClassification", 2, "zero-shot-classification");
    return opened;
  }
  Steps(const ORTModel& model, const PreTrainedTokenizer& tokenizer, const std::filesystem::path&)
      : tokenizer_(tokenizer), entailment_id_(entailment_id(model.config())) {}

  std::vector<std::string> output_names() const { return {"logits"}; }
  static std::size_t size_of(const Input& input) { return input.text.size(); }

  /// A row for each label.
  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    if (options.candidate_labels.empty() || input.text.empty())
      throw Error(ErrorKind::InvalidArgument,
                  "zero-shot-classification: you must include at least one label and at least one sequence");
    const std::string& hypothesis = options.hypothesis_template;
    if (format_hypothesis(hypothesis, options.candidate_labels.front()) == hypothesis)
      refuse_template(hypothesis, "has no place for the label: write {} where it is to stand");
    std::vector<Encoding> rows;
    for (const std::string& label : options.candidate_labels)
      rows.push_back(encode(input.text, format_hypothesis(hypothesis, label)));
    return rows;
  }

  RowResult reduce(const Input&, const Options&, const Encoding&, const RowOutput& output) const {
    const std::span<const float> logits = output.per_row("logits");
    return {logits.begin(), logits.end()};
  }

  ZeroShotResult postprocess(const Input& input, const Options& options, std::span<const Encoding>,
                             std::span<RowResult> rows) const {
    const std::vector<float> scores = options.multi_label || rows.size() == 1 ? independent(rows) : exclusive(rows);
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Python sorts upwards and turns the order round.
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] < scores[b]; });
    std::reverse(order.begin(), order.end());
    ZeroShotResult result{.sequence = input.text, .labels = {}, .scores = {}};
    for (const std::size_t i : order) {
      result.labels.push_back(options.candidate_labels[i]);
      result.scores.push_back(scores[i]);
    }
    return result;
  }

 private:
  /// The text is cut, the hypothesis never. Where cutting the text is not enough nothing is cut.
  Encoding encode(const std::string& sequence, const std::string& hypothesis) const {
    TokenizerCallOptions call{.truncation = TruncationStrategy::OnlyFirst, .threads = 1};
    if (tokenizer_.model_max_length() == std::numeric_limits<std::size_t>::max()) call.truncation.reset();
    try {
      return tokenizer_(sequence, hypothesis, call).encodings().front();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::InvalidArgument || !call.truncation) throw;
      call.truncation.reset();
      return tokenizer_(sequence, hypothesis, call).encodings().front();
    }
  }

  /// Entailment against contradiction, for each label alone.
  std::vector<float> independent(std::span<const RowResult> rows) const {
    std::vector<float> scores;
    for (const RowResult& logits : rows) {
      std::array<float, 2> pair{at(logits, entailment_id_ == 0 ? -1 : 0), at(logits, entailment_id_)};
      apply_softmax(pair);
      scores.push_back(pair[1]);
    }
    return scores;
  }

  /// The entailments of all labels against each other.
  std::vector<float> exclusive(std::span<const RowResult> rows) const {
    std::vector<float> scores;
    for (const RowResult& logits : rows) scores.push_back(at(logits, entailment_id_));
    apply_softmax(scores);
    return scores;
  }

  PreTrainedTokenizer tokenizer_;
  std::int64_t entailment_id_;
};

template <>
struct JsonForm<ZeroShotClassification> {
  static constexpr std::string_view task = "zero-shot-classification";

  static ZeroShotClassificationOptions options(OptionReader& reader) {
    ZeroShotClassificationOptions options;
    if (const Json* labels = reader.find("candidate_labels"); labels != nullptr && labels->is_string())
      options.candidate_labels = split_labels(labels->string());
    else
      options.candidate_labels = reader.texts("candidate_labels").value_or(std::vector<std::string>{});
    options.hypothesis_template = reader.text("hypothesis_template").value_or(options.hypothesis_template);
    options.multi_label = reader.boolean("multi_label", options.multi_label);
    return options;
  }

  static ZeroShotClassificationInput input(const Json& json, const ZeroShotClassificationOptions&, const Json&) {
    return {.text = text_input(json, task)};
  }

  static Json output(const ZeroShotResult& result, const Json&) {
    Json::Array labels(result.labels.begin(), result.labels.end());
    Json::Array scores(result.scores.begin(), result.scores.end());
    return Json::Object{{"sequence", result.sequence}, {"labels", std::move(labels)}, {"scores", std::move(scores)}};
  }

  static Json call(const ZeroShotClassificationPipeline& pipeline, const Json& inputs, const Json& options) {
    return call_one_or_list(pipeline, inputs, options);
  }

 private:
  /// "travel, music" is two labels.
  static std::vector<std::string> split_labels(const std::string& text) {
    std::vector<std::string> labels;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      const std::string_view label = jinja::strip(std::string_view(text).substr(begin, end - begin), true, true);
      if (!label.empty()) labels.emplace_back(label);
      begin = end + 1;
    }
    return labels;
  }
};

template Json call_json(const TaskPipeline<ZeroShotClassification>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<ZeroShotClassification>&,
                          const std::function<std::optional<Pipeline::Item>()>&, const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<ZeroShotClassification>;

}  // namespace onnxport
