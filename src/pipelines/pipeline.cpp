// Pipelines by the name of their task.
#include "onnxport/pipeline.h"

#include <algorithm>
#include <array>

#include "core/nearest.h"
#include "onnxport/error.h"
#include "pipelines/json_calls.h"

namespace onnxport {
namespace {

struct TaskEntry {
  std::string_view name;
  std::vector<std::string_view> synonyms;
  std::vector<std::string_view> input_names;  ///< members of an input, or the argument that takes it
};

/// Ordered by name.
const std::vector<TaskEntry>& task_entries() {
  static const std::vector<TaskEntry> entries{
      {"embeddings", {"sentence-embeddings", "sentence-embedding"}, {"text"}},
      {"feature-extraction", {}, {"text"}},
      {"fill-mask", {"masked-lm"}, {"text"}},
      {"question-answering", {}, {"question", "context"}},
      {"sentence-similarity", {}, {"source_sentence", "sentences"}},
      {"text-classification", {"sentiment-analysis", "sequence-classification"}, {"text", "text_pair"}},
      {"token-classification", {"ner"}, {"text"}},
      {"zero-shot-classification", {}, {"sequences", "text"}},
  };
  return entries;
}

const TaskEntry& find_task(std::string_view name) {
  for (const TaskEntry& entry : task_entries()) {
    if (entry.name == name) return entry;
    if (std::find(entry.synonyms.begin(), entry.synonyms.end(), name) != entry.synonyms.end()) return entry;
  }
  const std::vector<std::string> names = pipeline_tasks();
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  throw Error(ErrorKind::UnsupportedTask, "there is no pipeline for the task " + quote_json(name) +
                                              describe_nearest(name, names) + "; there are " + list);
}

}  // namespace

std::vector<std::string> pipeline_tasks() {
  std::vector<std::string> names;
  for (const TaskEntry& entry : task_entries()) names.emplace_back(entry.name);
  return names;
}

Pipeline pipeline(std::string_view task, const std::filesystem::path& model, const PipelineOptions& options) {
  const std::string name(find_task(task).name);
  if (name == "embeddings") return {name, EmbeddingsPipeline(model, options)};
  if (name == "feature-extraction") return {name, FeatureExtractionPipeline(model, options)};
  if (name == "fill-mask") return {name, FillMaskPipeline(model, options)};
  if (name == "question-answering") return {name, QuestionAnsweringPipeline(model, options)};
  if (name == "sentence-similarity") return {name, SentenceSimilarityPipeline(model, options)};
  if (name == "text-classification") return {name, TextClassificationPipeline(model, options)};
  if (name == "token-classification") return {name, TokenClassificationPipeline(model, options)};
  return {name, ZeroShotClassificationPipeline(model, options)};
}

Json Pipeline::operator()(const Json& inputs, const Json& options) const {
  return std::visit([&](const auto& typed) { return pipelines::call_json(typed, inputs, options); }, pipeline_);
}

QuestionAnsweringOutput Pipeline::operator()(const QuestionAnsweringInput& input,
                                             const QuestionAnsweringOptions& options) const {
  return as<QuestionAnsweringPipeline>()(input, options);
}

void Pipeline::stream(const std::function<std::optional<Item>()>& next, const std::function<void(Json)>& emit) const {
  std::visit([&](const auto& typed) { pipelines::stream_json(typed, next, emit); }, pipeline_);
}

Pipeline::Item Pipeline::item_of(const Json& arguments) const {
  if (!arguments.is_object()) return {arguments, {}};
  const std::vector<std::string_view>& names = find_task(task_).input_names;
  Json input;
  Json options;
  for (const auto& [name, value] : arguments.object()) {
    if (name == "inputs")
      input = value;
    else if (std::find(names.begin(), names.end(), name) != names.end())
      input.set(name, value);
    else
      options.set(name, value);
  }
  if (!input.is_null()) return {std::move(input), std::move(options)};
  std::string list = "\"inputs\"";
  for (const std::string_view name : names) list += ", " + quote_json(name);
  throw Error(ErrorKind::InvalidArgument, task_ + ": the object has no input; its name is one of " + list);
}

void Pipeline::refuse_class() const {
  throw Error(ErrorKind::InvalidArgument, "the pipeline is one for " + task_ + ", and is used as one for another task");
}

}  // namespace onnxport
