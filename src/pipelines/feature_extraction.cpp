// feature-extraction, after transformers/pipelines/feature_extraction.py.
#include <algorithm>

#include "onnxport/error.h"
#include "pipelines/json_form.h"
#include "pipelines/task_pipeline.h"

namespace onnxport {
namespace pipelines {

template <>
class Steps<FeatureExtraction> {
 public:
  using Input = FeatureExtractionInput;
  using Options = FeatureExtractionOptions;
  using RowResult = Array;
  /// Features are a thousand times as large as the text that they are made from.
  static constexpr std::size_t window_bytes = 1 << 16;

  static ORTModel open_model(const std::filesystem::path& model, const ORTModelOptions& options) {
    return ORTModelForFeatureExtraction::from_pretrained(model, options);
  }
  Steps(const ORTModel& model, const PreTrainedTokenizer& tokenizer, const std::filesystem::path&)
      : tokenizer_(tokenizer), output_name_(model.outputs().front().name) {}

  std::vector<std::string> output_names() const { return {output_name_}; }
  static std::size_t size_of(const Input& input) { return input.text.size(); }

  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    return tokenizer_(input.text, {.truncation = options.truncation, .max_length = options.max_length, .threads = 1})
        .encodings();
  }

  RowResult reduce(const Input&, const Options&, const Encoding&, const RowOutput& output) const {
    const std::span<const float> values = output.per_token(output_name_);
    const auto length = static_cast<std::int64_t>(output.length());
    return Array::float32({length, static_cast<std::int64_t>(values.size()) / length}, values);
  }

  Array postprocess(const Input&, const Options&, std::span<const Encoding>, std::span<RowResult> rows) const {
    return std::move(rows.front());
  }

 private:
  PreTrainedTokenizer tokenizer_;
  std::string output_name_;  ///< last_hidden_state, or a sentence transformer's token_embeddings
};

template <>
struct JsonForm<FeatureExtraction> {
  static constexpr std::string_view task = "feature-extraction";

  static FeatureExtractionOptions options(OptionReader& reader) {
    FeatureExtractionOptions options;
    options.truncation = reader.truncation();
    const Json* given = reader.find("tokenize_kwargs");
    const Json tokenize_kwargs = given == nullptr ? Json{} : *given;
    OptionReader tokenizer_reader(tokenize_kwargs);
    if (const auto truncation = tokenizer_reader.truncation()) {
      if (options.truncation)
        throw Error(ErrorKind::InvalidArgument,
                    "truncation is given twice, as an option and in tokenize_kwargs: leave one of them out");
      options.truncation = truncation;
    }
    options.max_length = tokenizer_reader.size("max_length", 1);
    tokenizer_reader.finish("feature-extraction's tokenize_kwargs");
    return options;
  }

  static FeatureExtractionInput input(const Json& json, const FeatureExtractionOptions&, const Json&) {
    return {.text = text_input(json, task)};
  }

  /// [[[...]]]: a batch of one text.
  static Json output(const Array& features, const Json&) {
    Json::Array tokens;
    const auto size = static_cast<std::size_t>(features.shape()[1]);
    for (std::size_t token = 0; token < static_cast<std::size_t>(features.shape()[0]); ++token) {
      Json::Array values;
      values.reserve(size);
      for (const float value : features.values<float>().subspan(token * size, size)) values.emplace_back(double{value});
      tokens.push_back(std::move(values));
    }
    return Json::Array{std::move(tokens)};
  }

  static Json call(const FeatureExtractionPipeline& pipeline, const Json& inputs, const Json& options) {
    return call_one_or_list(pipeline, inputs, options);
  }
};

template Json call_json(const TaskPipeline<FeatureExtraction>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<FeatureExtraction>&, const std::function<std::optional<Pipeline::Item>()>&,
                          const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<FeatureExtraction>;

}  // namespace onnxport
