#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipelines/option_reader.h"
#include "pipelines/sentence_pooling.h"
#include "pipelines/task_pipeline.h"

namespace onnxport::pipelines {

/// What embeddings and sentence-similarity have in common: a text in, its embedding out.
class SentenceEncoder {
 public:
  using Options = EmbeddingsOptions;

  static ORTModel open_model(const std::filesystem::path& model, const ORTModelOptions& options);
  SentenceEncoder(const ORTModel& model, const PreTrainedTokenizer& tokenizer, const std::filesystem::path& directory);

  const SentenceSettings& settings() const { return settings_; }
  std::vector<std::string> output_names() const { return {output_name_}; }
  Encoding preprocess(const std::string& text, const Options& options) const;
  std::vector<float> reduce(const Options& options, const RowOutput& output) const;

 private:
  PreTrainedTokenizer tokenizer_;
  SentenceSettings settings_;
  std::string output_name_;
  std::optional<SentencePooling> pooling_;  ///< absent if it is in the graph
};

EmbeddingsOptions read_embeddings_options(OptionReader& reader);

}  // namespace onnxport::pipelines
