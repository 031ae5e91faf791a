// embeddings, as SentenceTransformer.encode of sentence-transformers.
#include "pipelines/embeddings.h"

#include <algorithm>
#include <limits>

#include "onnxport/error.h"
#include "pipelines/json_form.h"
#include "tokenizers/chat_template/text.h"

namespace onnxport {
namespace pipelines {

ORTModel SentenceEncoder::open_model(const std::filesystem::path& model, const ORTModelOptions& options) {
  // Exported here, the graph has the poolings in it; graphs that were exported as transformers serve as well.
  if (options.export_) return ORTModelForSentenceTransformers::from_pretrained(model, options);
  return ORTModelForFeatureExtraction::from_pretrained(model, options);
}

SentenceEncoder::SentenceEncoder(const ORTModel& model, const PreTrainedTokenizer& tokenizer,
                                 const std::filesystem::path& directory)
    : tokenizer_(tokenizer),
      settings_(read_sentence_settings(directory, tokenizer, model.max_length())),
      output_name_(model.outputs().front().name) {
  for (const ModelInput& output : model.outputs())
    if (output.name == "sentence_embedding") output_name_ = output.name;
  if (output_name_ != "sentence_embedding") pooling_.emplace(directory);
}

Encoding SentenceEncoder::preprocess(const std::string& text, const Options& options) const {
  const std::string prompted = options.prompt.value_or(settings_.default_prompt) + text;
  const std::string_view stripped = jinja::strip(prompted, true, true);
  TokenizerCallOptions call{
      .truncation = TruncationStrategy::LongestFirst, .max_length = settings_.max_seq_length, .threads = 1};
  if (settings_.max_seq_length == std::numeric_limits<std::size_t>::max())
    call.truncation.reset(), call.max_length.reset();
  const BatchEncoding encoded =
      settings_.do_lower_case ? tokenizer_(jinja::to_lower(stripped), call) : tokenizer_(stripped, call);
  return encoded.encodings().front();
}

std::vector<float> SentenceEncoder::reduce(const Options& options, const RowOutput& output) const {
  std::vector<float> embedding;
  if (pooling_) {
    embedding = (*pooling_)(output.per_token(output_name_), output.length());
  } else {
    const std::span<const float> values = output.per_row(output_name_);
    embedding.assign(values.begin(), values.end());
  }
  if (options.normalize_embeddings) normalize(embedding);
  return embedding;
}

EmbeddingsOptions read_embeddings_options(OptionReader& reader) {
  EmbeddingsOptions options;
  options.normalize_embeddings = reader.boolean("normalize_embeddings", false);
  options.prompt = reader.text("prompt");
  return options;
}

template <>
class Steps<Embeddings> : public SentenceEncoder {
 public:
  using Input = EmbeddingsInput;
  using RowResult = std::vector<float>;
  using SentenceEncoder::SentenceEncoder;
  static constexpr std::size_t window_bytes = 1 << 20;

  static std::size_t size_of(const Input& input) { return input.text.size(); }
  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    return {SentenceEncoder::preprocess(input.text, options)};
  }
  RowResult reduce(const Input&, const Options& options, const Encoding&, const RowOutput& output) const {
    return SentenceEncoder::reduce(options, output);
  }
  std::vector<float> postprocess(const Input&, const Options&, std::span<const Encoding>,
                                 std::span<RowResult> rows) const {
    return std::move(rows.front());
  }
};

template <>
struct JsonForm<Embeddings> {
  static constexpr std::string_view task = "embeddings";

  static EmbeddingsOptions options(OptionReader& reader) { return read_embeddings_options(reader); }

  static EmbeddingsInput input(const Json& json, const EmbeddingsOptions&, const Json&) {
    return {.text = text_input(json, task)};
  }

  static Json output(const std::vector<float>& embedding, const Json&) {
    Json::Array values;
    values.reserve(embedding.size());
    for (const float value : embedding) values.emplace_back(double{value});
    return values;
  }

  static Json call(const EmbeddingsPipeline& pipeline, const Json& inputs, const Json& options) {
    return call_one_or_list(pipeline, inputs, options);
  }
};

template Json call_json(const TaskPipeline<Embeddings>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<Embeddings>&, const std::function<std::optional<Pipeline::Item>()>&,
                          const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<Embeddings>;

}  // namespace onnxport
