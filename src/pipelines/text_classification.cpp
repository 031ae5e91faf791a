// text-classification, after transformers/pipelines/text_classification.py.
#include <algorithm>

#include "onnxport/error.h"
#include "pipelines/json_form.h"
#include "pipelines/labels.h"
#include "pipelines/model_head.h"
#include "pipelines/task_pipeline.h"

namespace onnxport {
namespace pipelines {
namespace {

/// What applies where the caller has not chosen.
ClassificationFunction default_function(const Json& config, std::size_t label_count) {
  const Json* stated = config.find("problem_type");
  const std::string problem_type = stated != nullptr && stated->is_string() ? stated->string() : "";
  if (problem_type == "regression") return ClassificationFunction::None;
  if (problem_type == "multi_label_classification" || label_count == 1) return ClassificationFunction::Sigmoid;
  return ClassificationFunction::Softmax;
}

void apply_function(ClassificationFunction function, std::span<float> values) {
  if (function == ClassificationFunction::Sigmoid) apply_sigmoid(values);
  if (function == ClassificationFunction::Softmax) apply_softmax(values);
}

}  // namespace

template <>
class Steps<TextClassification> {
 public:
  using Input = TextClassificationInput;
  using Options = TextClassificationOptions;
  using RowResult = std::vector<float>;
  static constexpr std::size_t window_bytes = 1 << 20;

  static ORTModel open_model(const std::filesystem::path& model, const ORTModelOptions& options) {
    ORTModel opened = ORTModelForSequenceClassification::from_pretrained(model, options);
    require_head(opened, "ForSequenceClassification", 2, "text-classification");
    return opened;
  }
  Steps(const ORTModel& model, const PreTrainedTokenizer& tokenizer, const std::filesystem::path&)
      : tokenizer_(tokenizer),
        labels_(id2label(model.config())),
        function_(default_function(model.config(), labels_.size())) {}

  std::vector<std::string> output_names() const { return {"logits"}; }
  static std::size_t size_of(const Input& input) { return input.text.size() + input.text_pair.value_or("").size(); }

  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    const TokenizerCallOptions call{.truncation = options.truncation, .max_length = options.max_length, .threads = 1};
    return (input.text_pair ? tokenizer_(input.text, *input.text_pair, call) : tokenizer_(input.text, call))
        .encodings();
  }

  RowResult reduce(const Input&, const Options& options, const Encoding&, const RowOutput& output) const {
    const std::span<const float> logits = output.per_row("logits");
    RowResult scores(logits.begin(), logits.end());
    apply_function(options.function_to_apply.value_or(function_), scores);
    return scores;
  }

  std::vector<LabelScore> postprocess(const Input&, const Options& options, std::span<const Encoding>,
                                      std::span<RowResult> rows) const {
    const RowResult& scores = rows.front();
    std::vector<LabelScore> result;
    for (std::size_t i = 0; i < scores.size(); ++i) result.push_back({label_of(labels_, i), scores[i]});
    if (options.return_all_scores) return result;
    std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    result.resize(std::min(result.size(), options.top_k.value_or(result.size())));
    return result;
  }

 private:
  PreTrainedTokenizer tokenizer_;
  std::map<std::int64_t, std::string> labels_;
  ClassificationFunction function_;
};

template <>
struct JsonForm<TextClassification> {
  static constexpr std::string_view task = "text-classification";

  static TextClassificationOptions options(OptionReader& reader) {
    TextClassificationOptions options;
    if (const Json* top_k = reader.find("top_k"); top_k != nullptr && top_k->is_null())
      options.top_k.reset();
    else
      options.top_k = reader.size("top_k").value_or(1);
    options.function_to_apply = function_named(reader.text("function_to_apply"));
    options.truncation = reader.truncation();
    options.max_length = reader.size("max_length", 1);
    // Deprecated in Python, and without effect beside top_k.
    const bool returns_all = reader.boolean("return_all_scores", false);
    options.return_all_scores = returns_all && !reader.has("top_k");
    return options;
  }

  static TextClassificationInput input(const Json& json, const TextClassificationOptions&, const Json&) {
    if (json.find("text") != nullptr) {
      for (const auto& [name, value] : json.object())
        if (name != "text" && name != "text_pair") refuse(json);
      TextClassificationInput input{.text = text_member(json, "text", task)};
      if (const Json* pair = json.find("text_pair"); pair != nullptr && !pair->is_null())
        input.text_pair = text_member(json, "text_pair", task);
      return input;
    }
    // [["text", "pair"]], which used to be the way to give a pair.
    if (json.is_array() && json.array().size() == 1 && json.array()[0].is_array() &&
        json.array()[0].array().size() == 2) {
      const Json::Array& pair = json.array()[0].array();
      if (pair[0].is_string() && pair[1].is_string()) return {.text = pair[0].string(), .text_pair = pair[1].string()};
    }
    if (json.is_array()) refuse(json);
    return {.text = text_input(json, task)};
  }

  static Json output(const std::vector<LabelScore>& labels, const Json& options) {
    const Json* all = options.find("return_all_scores");
    const bool is_list = options.find("top_k") != nullptr || (all != nullptr && all->is_boolean() && all->boolean());
    Json::Array list;
    for (const LabelScore& label : labels) {
      Json::Object object{{"label", label.label}, {"score", label.score}};
      if (!is_list) return object;
      list.push_back(std::move(object));
    }
    return list;
  }

  static Json call(const TextClassificationPipeline& pipeline, const Json& inputs, const Json& options) {
    Json result = call_one_or_list(pipeline, inputs, options);
    // One text without top_k gives a list nevertheless.
    if (inputs.is_string() && options.find("top_k") == nullptr) return Json::Array{std::move(result)};
    return result;
  }

 private:
  [[noreturn]] static void refuse(const Json& json) {
    refuse_input(json, task, R"(a text, or {"text": "My text", "text_pair": "My pair"}, or a list of them)");
  }

  static std::optional<ClassificationFunction> function_named(const std::optional<std::string>& name) {
    if (!name || *name == "default") return std::nullopt;
    if (*name == "sigmoid") return ClassificationFunction::Sigmoid;
    if (*name == "softmax") return ClassificationFunction::Softmax;
    if (*name == "none") return ClassificationFunction::None;
    throw Error(ErrorKind::InvalidArgument,
                "function_to_apply is default, sigmoid, softmax or none, not " + quote_json(*name));
  }
};

template Json call_json(const TaskPipeline<TextClassification>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<TextClassification>&,
                          const std::function<std::optional<Pipeline::Item>()>&, const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<TextClassification>;

}  // namespace onnxport
