// sentence-similarity: how alike a sentence is to others, by their embeddings.
#include "onnxport/error.h"
#include "pipelines/embeddings.h"
#include "pipelines/json_form.h"

namespace onnxport {
namespace pipelines {

template <>
class Steps<SentenceSimilarity> : public SentenceEncoder {
 public:
  using Input = SentenceSimilarityInput;
  using RowResult = std::vector<float>;
  using SentenceEncoder::SentenceEncoder;
  static constexpr std::size_t window_bytes = 1 << 20;

  static std::size_t size_of(const Input& input) {
    std::size_t size = input.source_sentence.size();
    for (const std::string& sentence : input.sentences) size += sentence.size();
    return size;
  }

  std::vector<Encoding> preprocess(const Input& input, const Options& options) const {
    std::vector<Encoding> rows{SentenceEncoder::preprocess(input.source_sentence, options)};
    for (const std::string& sentence : input.sentences) rows.push_back(SentenceEncoder::preprocess(sentence, options));
    return rows;
  }

  RowResult reduce(const Input&, const Options& options, const Encoding&, const RowOutput& output) const {
    return SentenceEncoder::reduce(options, output);
  }

  std::vector<double> postprocess(const Input&, const Options&, std::span<const Encoding>,
                                  std::span<RowResult> rows) const {
    std::vector<double> similarities;
    for (std::size_t i = 1; i < rows.size(); ++i)
      similarities.push_back(similarity(rows.front(), rows[i], settings().similarity_fn_name));
    return similarities;
  }
};

template <>
struct JsonForm<SentenceSimilarity> {
  static constexpr std::string_view task = "sentence-similarity";

  static EmbeddingsOptions options(OptionReader& reader) { return read_embeddings_options(reader); }

  static SentenceSimilarityInput input(const Json& json, const EmbeddingsOptions&, const Json&) {
    constexpr std::string_view wanted = R"({"source_sentence": ..., "sentences": [...]} or a list of them)";
    if (!json.is_object()) refuse_input(json, task, wanted);
    SentenceSimilarityInput input{.source_sentence = text_member(json, "source_sentence", task), .sentences = {}};
    const Json* sentences = json.find("sentences");
    if (sentences == nullptr || !sentences->is_array()) refuse_input(json, task, wanted);
    for (const Json& sentence : sentences->array()) {
      if (!sentence.is_string()) refuse_input(sentence, task, "texts as sentences");
      input.sentences.push_back(sentence.string());
    }
    return input;
  }

  static Json output(const std::vector<double>& similarities, const Json&) {
    return Json::Array(similarities.begin(), similarities.end());
  }

  static Json call(const SentenceSimilarityPipeline& pipeline, const Json& inputs, const Json& options) {
    return call_one_or_list(pipeline, inputs, options);
  }
};

template Json call_json(const TaskPipeline<SentenceSimilarity>&, const Json&, const Json&);
template void stream_json(const TaskPipeline<SentenceSimilarity>&,
                          const std::function<std::optional<Pipeline::Item>()>&, const std::function<void(Json)>&);

}  // namespace pipelines

template class TaskPipeline<SentenceSimilarity>;

}  // namespace onnxport
