#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "onnxport/auto_tokenizer.h"
#include "onnxport/json.h"

namespace onnxport::pipelines {

/// What a sentence-transformers directory says beside its graph.
struct SentenceSettings {
  std::size_t max_seq_length = 0;
  bool do_lower_case = false;
  std::string default_prompt;
  std::string similarity_fn_name = "cosine";
};

/// From sentence_*_config.json and config_sentence_transformers.json; what they lack comes from the tokenizer and the
/// model's config. Throws Error(InvalidCheckpoint) for members of another type.
SentenceSettings read_sentence_settings(const std::filesystem::path& directory, const PreTrainedTokenizer& tokenizer,
                                        std::optional<std::int64_t> model_max_length);

/// The modules behind the transformer, for a graph that ends at the tokens: poolings and normalization.
class SentencePooling {
 public:
  /// As modules.json says; without it the mean. Throws Error(UnsupportedArchitecture) for a module with weights: such a
  /// directory is to be exported as sentence-transformers, with all modules in the graph.
  explicit SentencePooling(const std::filesystem::path& directory);

  /// The embedding of one text: `tokens` are its hidden states, `length` of them.
  std::vector<float> operator()(std::span<const float> tokens, std::size_t length) const;

 private:
  std::vector<std::string> modes_;
  bool normalizes_ = false;
};

/// To length 1.
void normalize(std::vector<float>& embedding);

/// How alike two embeddings are. `name` is cosine, dot, euclidean or manhattan; the last two are distances, negated.
/// Throws Error(InvalidCheckpoint) for another name.
double similarity(std::span<const float> a, std::span<const float> b, const std::string& name);

}  // namespace onnxport::pipelines
