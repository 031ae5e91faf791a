#include "pipelines/sentence_pooling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "architectures/sentence_transformers.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "onnxport/error.h"

namespace onnxport::pipelines {
namespace {

namespace fs = std::filesystem;

Config read_config(const fs::path& path) {
  return Config(parse_json(read_text_file(path), path.string()), path.string());
}

/// sentence_bert_config.json, or of another family.
std::optional<fs::path> find_transformer_config(const fs::path& directory) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("sentence_") && name.ends_with("_config.json")) found.push_back(entry.path());
  }
  if (found.empty()) return std::nullopt;
  return *std::min_element(found.begin(), found.end());
}

// ---- Poolings, each over the hidden states of one text
// ----------------------------------------------------------------

using Tokens = std::span<const float>;

/// Weights times tokens.
template <typename Weight>
std::vector<float> weighted_sum(Tokens tokens, std::size_t length, const Weight& weight) {
  const std::size_t size = tokens.size() / length;
  std::vector<float> sum(size);
  for (std::size_t token = 0; token < length; ++token)
    for (std::size_t i = 0; i < size; ++i) sum[i] += weight(token) * tokens[token * size + i];
  return sum;
}

std::vector<float> pool_cls(Tokens tokens, std::size_t length) {
  return {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(tokens.size() / length)};
}

std::vector<float> pool_last(Tokens tokens, std::size_t length) {
  return {tokens.end() - static_cast<std::ptrdiff_t>(tokens.size() / length), tokens.end()};
}

std::vector<float> pool_max(Tokens tokens, std::size_t length) {
  std::vector<float> result = pool_cls(tokens, length);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    float& value = result[i % result.size()];
    value = std::max(value, tokens[i]);
  }
  return result;
}

std::vector<float> pool_mean(Tokens tokens, std::size_t length) {
  const float weight = 1.0F / static_cast<float>(length);
  return weighted_sum(tokens, length, [=](std::size_t) { return weight; });
}

std::vector<float> pool_mean_sqrt_length(Tokens tokens, std::size_t length) {
  const float weight = 1.0F / std::sqrt(static_cast<float>(length));
  return weighted_sum(tokens, length, [=](std::size_t) { return weight; });
}

/// Token i counts i + 1 times.
std::vector<float> pool_weighted_mean(Tokens tokens, std::size_t length) {
  const float total = static_cast<float>(length) * static_cast<float>(length + 1) / 2;
  return weighted_sum(tokens, length, [=](std::size_t token) { return static_cast<float>(token + 1) / total; });
}

struct PoolingMode {
  std::string_view name;  ///< in pooling_mode
  std::string_view flag;  ///< the boolean that stood in its place before
  std::vector<float> (*pool)(Tokens, std::size_t);
};
/// In the order in which several are concatenated.
constexpr std::array<PoolingMode, 6> kPoolingModes{{
    {"cls", "pooling_mode_cls_token", pool_cls},
    {"max", "pooling_mode_max_tokens", pool_max},
    {"mean", "pooling_mode_mean_tokens", pool_mean},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", pool_mean_sqrt_length},
    {"weightedmean", "pooling_mode_weightedmean_tokens", pool_weighted_mean},
    {"lasttoken", "pooling_mode_lasttoken", pool_last},
}};

const PoolingMode* find_mode(std::string_view name) {
  const auto found =
      std::find_if(kPoolingModes.begin(), kPoolingModes.end(), [&](const auto& mode) { return mode.name == name; });
  return found == kPoolingModes.end() ? nullptr : &*found;
}

std::vector<std::string> read_pooling_modes(const Config& config) {
  std::vector<std::string> modes;
  if (config.has("pooling_mode")) {
    const bool is_one = config.json().find("pooling_mode")->is_string();
    modes = is_one ? std::vector{config.string("pooling_mode")} : config.strings("pooling_mode");
  } else {
    for (const PoolingMode& mode : kPoolingModes)
      if (config.boolean(mode.flag, false)) modes.emplace_back(mode.name);
  }
  for (const std::string& mode : modes)
    if (find_mode(mode) == nullptr) config.unsupported("pooling_mode");
  return modes.empty() ? std::vector<std::string>{"mean"} : modes;
}

}  // namespace

SentenceSettings read_sentence_settings(const fs::path& directory, const PreTrainedTokenizer& tokenizer,
                                        std::optional<std::int64_t> model_max_length) {
  SentenceSettings settings;
  settings.max_seq_length = tokenizer.model_max_length();
  if (model_max_length && *model_max_length > 0)
    settings.max_seq_length = std::min(settings.max_seq_length, static_cast<std::size_t>(*model_max_length));
  if (const auto path = find_transformer_config(directory)) {
    const Config config = read_config(*path);
    if (config.has("max_seq_length"))
      settings.max_seq_length = static_cast<std::size_t>(std::max<std::int64_t>(config.integer("max_seq_length"), 1));
    settings.do_lower_case = config.boolean("do_lower_case", false);
  }
  if (const fs::path path = directory / "config_sentence_transformers.json"; fs::exists(path)) {
    const Config config = read_config(path);
    if (config.has("similarity_fn_name")) settings.similarity_fn_name = config.string("similarity_fn_name");
    if (config.has("default_prompt_name") && config.has("prompts")) {
      const Json* prompt = config.json().find("prompts")->find(config.string("default_prompt_name"));
      if (prompt != nullptr && prompt->is_string()) settings.default_prompt = prompt->string();
    }
  }
  return settings;
}

SentencePooling::SentencePooling(const fs::path& directory) : modes_{"mean"} {
  if (!fs::exists(directory / "modules.json")) return;
  const std::vector<SentenceModule> modules = sentence_modules(directory);
  for (std::size_t i = 1; i < modules.size(); ++i) {
    const std::string name = modules[i].class_name();
    if (name == "Normalize") {
      normalizes_ = true;
    } else if (name == "Pooling" && i == 1) {
      modes_ = read_pooling_modes(read_config(directory / modules[i].path / "config.json"));
    } else if (name != "Dropout") {
      throw Error(ErrorKind::UnsupportedArchitecture,
                  "embeddings: the graph ends at the transformer, and modules.json goes on with " + quote_json(name) +
                      "; export the directory with --library-name sentence_transformers, which puts it into the graph");
    }
  }
}

std::vector<float> SentencePooling::operator()(std::span<const float> tokens, std::size_t length) const {
  std::vector<float> embedding;
  for (const std::string& mode : modes_) {
    const std::vector<float> part = find_mode(mode)->pool(tokens, length);
    embedding.insert(embedding.end(), part.begin(), part.end());
  }
  if (normalizes_) normalize(embedding);
  return embedding;
}

void normalize(std::vector<float>& embedding) {
  double squares = 0;
  for (const float value : embedding) squares += double{value} * value;
  const double length = std::max(std::sqrt(squares), 1e-12);
  for (float& value : embedding) value = static_cast<float>(value / length);
}

double similarity(std::span<const float> a, std::span<const float> b, const std::string& name) {
  double dot = 0, squares_of_a = 0, squares_of_b = 0, squared_distance = 0, distance = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    dot += x * y;
    squares_of_a += x * x;
    squares_of_b += y * y;
    squared_distance += (x - y) * (x - y);
    distance += std::abs(x - y);
  }
  if (name == "cosine") return dot / std::max(std::sqrt(squares_of_a) * std::sqrt(squares_of_b), 1e-12);
  if (name == "dot") return dot;
  if (name == "euclidean") return -std::sqrt(squared_distance);
  if (name == "manhattan") return -distance;
  throw Error(ErrorKind::InvalidCheckpoint, "config_sentence_transformers.json: similarity_fn_name is " +
                                                quote_json(name) + "; it is cosine, dot, euclidean or manhattan");
}

}  // namespace onnxport::pipelines
