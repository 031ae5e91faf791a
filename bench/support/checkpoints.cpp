#include "support/checkpoints.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <numbers>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/nearest.h"
#include "core/tensor_source.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "support/environment.h"

namespace onnxport::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t positions = 512;
constexpr std::int64_t gpt2_positions = 1024;
constexpr std::int64_t token_types = 2;
constexpr std::int64_t labels = 2;

// ---- Values ---------------------------------------------------------------------------------------------------------

/// A bijection of 64-bit numbers whose results look random (the finalizer of SplitMix64).
std::uint64_t scramble(std::uint64_t number) {
  number += 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

/// Two numbers of the standard normal distribution (Box and Muller). They depend on nothing but their index, so any
/// part of a tensor can be made alone.
std::array<float, 2> normal_pair(std::uint64_t seed, std::int64_t index) {
  constexpr float unit = 1.0F / (1 << 24);
  const std::uint64_t bits = scramble(seed + static_cast<std::uint64_t>(index));
  const float radius = std::sqrt(-2.0F * std::log(static_cast<float>((bits >> 40) + 1) * unit));
  const float angle = 2.0F * std::numbers::pi_v<float> * static_cast<float>(bits & 0xffffff) * unit;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

TensorSource filled(std::vector<std::int64_t> shape,
                    std::function<void(std::int64_t first, std::span<float> values)> fill) {
  TensorSource source;
  source.shape = std::move(shape);
  source.compute = [fill = std::move(fill)](std::int64_t first, std::span<std::byte> out) {
    std::vector<float> values(out.size() / sizeof(float));
    fill(first, values);
    std::memcpy(out.data(), values.data(), out.size());
  };
  return source;
}

TensorSource constant(std::vector<std::int64_t> shape, float value) {
  return filled(std::move(shape),
                [value](std::int64_t, std::span<float> values) { std::fill(values.begin(), values.end(), value); });
}

/// As transformers initialises weights: normal with a standard deviation of 0.02.
TensorSource normal(std::vector<std::int64_t> shape, std::string_view name) {
  const std::uint64_t seed = scramble(std::hash<std::string_view>{}(name));
  return filled(std::move(shape), [seed](std::int64_t first, std::span<float> values) {
    constexpr float deviation = 0.02F;
    std::int64_t index = first;
    for (std::size_t i = 0; i < values.size(); ++i, ++index)
      values[i] = deviation * normal_pair(seed, index / 2)[static_cast<std::size_t>(index % 2)];
  });
}

// ---- Names ----------------------------------------------------------------------------------------------------------

/// The tensors of a checkpoint, added layer by layer.
class Tensors {
 public:
  void embedding(const std::string& scope, std::int64_t rows, std::int64_t width) { matrix(scope, rows, width); }
  void linear(const std::string& scope, std::int64_t out, std::int64_t in) {
    matrix(scope, out, in);
    tensors_.emplace(scope + ".bias", constant({out}, 0.0F));
  }
  void conv1d(const std::string& scope, std::int64_t in, std::int64_t out) {
    matrix(scope, in, out);
    tensors_.emplace(scope + ".bias", constant({out}, 0.0F));
  }
  void layer_norm(const std::string& scope, std::int64_t width) {
    tensors_.emplace(scope + ".weight", constant({width}, 1.0F));
    tensors_.emplace(scope + ".bias", constant({width}, 0.0F));
  }

  const std::map<std::string, TensorSource, std::less<>>& all() const { return tensors_; }

 private:
  void matrix(const std::string& scope, std::int64_t rows, std::int64_t columns) {
    const std::string name = scope + ".weight";
    tensors_.emplace(name, normal({rows, columns}, name));
  }

  std::map<std::string, TensorSource, std::less<>> tensors_;
};

Tensors bert_tensors(const ModelSize& size) {
  Tensors tensors;
  tensors.embedding("bert.embeddings.word_embeddings", size.vocabulary, size.hidden);
  tensors.embedding("bert.embeddings.position_embeddings", positions, size.hidden);
  tensors.embedding("bert.embeddings.token_type_embeddings", token_types, size.hidden);
  tensors.layer_norm("bert.embeddings.LayerNorm", size.hidden);
  for (std::int64_t i = 0; i < size.layers; ++i) {
    const std::string layer = "bert.encoder.layer." + std::to_string(i);
    for (const char* name : {".attention.self.query", ".attention.self.key", ".attention.self.value"})
      tensors.linear(layer + name, size.hidden, size.hidden);
    tensors.linear(layer + ".attention.output.dense", size.hidden, size.hidden);
    tensors.layer_norm(layer + ".attention.output.LayerNorm", size.hidden);
    tensors.linear(layer + ".intermediate.dense", size.feed_forward, size.hidden);
    tensors.linear(layer + ".output.dense", size.hidden, size.feed_forward);
    tensors.layer_norm(layer + ".output.LayerNorm", size.hidden);
  }
  tensors.linear("bert.pooler.dense", size.hidden, size.hidden);
  tensors.linear("classifier", labels, size.hidden);
  return tensors;
}

Tensors distilbert_tensors(const ModelSize& size) {
  Tensors tensors;
  tensors.embedding("distilbert.embeddings.word_embeddings", size.vocabulary, size.hidden);
  tensors.embedding("distilbert.embeddings.position_embeddings", positions, size.hidden);
  tensors.layer_norm("distilbert.embeddings.LayerNorm", size.hidden);
  for (std::int64_t i = 0; i < size.layers; ++i) {
    const std::string layer = "distilbert.transformer.layer." + std::to_string(i);
    for (const char* name : {".attention.q_lin", ".attention.k_lin", ".attention.v_lin", ".attention.out_lin"})
      tensors.linear(layer + name, size.hidden, size.hidden);
    tensors.layer_norm(layer + ".sa_layer_norm", size.hidden);
    tensors.linear(layer + ".ffn.lin1", size.feed_forward, size.hidden);
    tensors.linear(layer + ".ffn.lin2", size.hidden, size.feed_forward);
    tensors.layer_norm(layer + ".output_layer_norm", size.hidden);
  }
  tensors.linear("qa_outputs", labels, size.hidden);
  return tensors;
}

/// The layers' matrices are [in, out], as those of transformers' Conv1D.
Tensors gpt2_tensors(const ModelSize& size) {
  Tensors tensors;
  tensors.embedding("transformer.wte", size.vocabulary, size.hidden);
  tensors.embedding("transformer.wpe", gpt2_positions, size.hidden);
  for (std::int64_t i = 0; i < size.layers; ++i) {
    const std::string layer = "transformer.h." + std::to_string(i);
    tensors.layer_norm(layer + ".ln_1", size.hidden);
    tensors.conv1d(layer + ".attn.c_attn", size.hidden, 3 * size.hidden);
    tensors.conv1d(layer + ".attn.c_proj", size.hidden, size.hidden);
    tensors.layer_norm(layer + ".ln_2", size.hidden);
    tensors.conv1d(layer + ".mlp.c_fc", size.hidden, size.feed_forward);
    tensors.conv1d(layer + ".mlp.c_proj", size.feed_forward, size.hidden);
  }
  tensors.layer_norm("transformer.ln_f", size.hidden);
  return tensors;
}

// ---- config.json ----------------------------------------------------------------------------------------------------

Json common_config(const char* architecture, const char* model_type, const ModelSize& size) {
  Json config;
  config.set("architectures", Json::Array{architecture});
  config.set("model_type", model_type);
  config.set("dtype", "float32");
  config.set("initializer_range", 0.02);
  config.set("max_position_embeddings", positions);
  config.set("pad_token_id", 0);
  config.set("vocab_size", size.vocabulary);
  config.set("transformers_version", "4.57.6");
  return config;
}

Json bert_config(const ModelSize& size) {
  Json config = common_config("BertForSequenceClassification", "bert", size);
  config.set("hidden_size", size.hidden);
  config.set("num_hidden_layers", size.layers);
  config.set("num_attention_heads", size.heads);
  config.set("intermediate_size", size.feed_forward);
  config.set("hidden_act", "gelu");
  config.set("layer_norm_eps", 1e-12);
  config.set("position_embedding_type", "absolute");
  config.set("type_vocab_size", token_types);
  return config;
}

Json distilbert_config(const ModelSize& size) {
  Json config = common_config("DistilBertForQuestionAnswering", "distilbert", size);
  config.set("dim", size.hidden);
  config.set("n_layers", size.layers);
  config.set("n_heads", size.heads);
  config.set("hidden_dim", size.feed_forward);
  config.set("activation", "gelu");
  config.set("sinusoidal_pos_embds", false);
  return config;
}

Json gpt2_config(const ModelSize& size) {
  Json config;
  config.set("architectures", Json::Array{"GPT2LMHeadModel"});
  config.set("model_type", "gpt2");
  config.set("dtype", "float32");
  config.set("n_embd", size.hidden);
  config.set("n_layer", size.layers);
  config.set("n_head", size.heads);
  config.set("n_inner", size.feed_forward);
  config.set("n_positions", gpt2_positions);
  config.set("vocab_size", size.vocabulary);
  config.set("bos_token_id", size.vocabulary - 1);
  config.set("eos_token_id", size.vocabulary - 1);
  config.set("transformers_version", "4.57.6");
  return config;
}

struct Maker {
  Json (*config)(const ModelSize& size);
  Tensors (*tensors)(const ModelSize& size);
};

const std::map<Family, Maker>& makers() {
  static const std::map<Family, Maker> all{{Family::Bert, {bert_config, bert_tensors}},
                                           {Family::DistilBert, {distilbert_config, distilbert_tensors}},
                                           {Family::Gpt2, {gpt2_config, gpt2_tensors}}};
  return all;
}

// ---- Files ----------------------------------------------------------------------------------------------------------

const std::vector<CheckpointDescription>& descriptions() {
  static const std::vector<CheckpointDescription> list{
      {.name = "distilbert-base",
       .family = Family::DistilBert,
       .task = "question-answering",
       .size = {.hidden = 768, .layers = 6, .heads = 12, .feed_forward = 3072, .vocabulary = 30522}},
      {.name = "bert-base",
       .family = Family::Bert,
       .task = "text-classification",
       .size = {.hidden = 768, .layers = 12, .heads = 12, .feed_forward = 3072, .vocabulary = 30522}},
      {.name = "bert-1b",
       .family = Family::Bert,
       .task = "text-classification",
       .size = {.hidden = 2048, .layers = 20, .heads = 32, .feed_forward = 8192, .vocabulary = 50000}}};
  return list;
}

/// config.json is written last, so a checkpoint that has it is complete.
bool is_made(const fs::path& directory, const std::string& config) {
  std::error_code error;
  return fs::exists(directory / "config.json", error) && fs::exists(weights_file(directory), error) &&
         read_text_file(directory / "config.json") == config;
}

}  // namespace

const CheckpointDescription& gpt2() {
  static const CheckpointDescription description{
      .name = "gpt2",
      .family = Family::Gpt2,
      .task = "text-generation-with-past",
      .size = {.hidden = 768, .layers = 12, .heads = 12, .feed_forward = 3072, .vocabulary = 50257}};
  return description;
}

const CheckpointDescription& gpt2_1b() {
  static const CheckpointDescription description{
      .name = "gpt2-1b",
      .family = Family::Gpt2,
      .task = "text-generation-with-past",
      .size = {.hidden = 2048, .layers = 20, .heads = 32, .feed_forward = 8192, .vocabulary = 50257}};
  return description;
}

std::span<const CheckpointDescription> checkpoint_descriptions() { return descriptions(); }
const CheckpointDescription& distilbert_base() { return descriptions()[0]; }
const CheckpointDescription& bert_base() { return descriptions()[1]; }
const CheckpointDescription& bert_1b() { return descriptions()[2]; }

std::vector<CheckpointDescription> chosen(std::span<const CheckpointDescription> candidates,
                                          std::span<const std::string> names) {
  std::vector<std::string> known;
  for (const CheckpointDescription& candidate : candidates) known.push_back(candidate.name);
  std::vector<CheckpointDescription> result;
  for (const std::string& name : names.empty() ? std::span<const std::string>(known) : names) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end())
      throw Error(ErrorKind::InvalidArgument, "no checkpoint is called " + name + describe_nearest(name, known));
    result.push_back(candidates[static_cast<std::size_t>(found - known.begin())]);
  }
  return result;
}

fs::path make_checkpoint(const CheckpointDescription& description) {
  const fs::path directory = data_directory() / description.name;
  const Maker& maker = makers().at(description.family);
  const std::string config = dump_json(maker.config(description.size), 2) + "\n";
  if (is_made(directory, config)) return directory;

  fs::create_directories(directory);
  fs::remove(directory / "config.json");
  const Tensors tensors = maker.tensors(description.size);
  write_safetensors(weights_file(directory), tensors.all(), {{"format", "pt"}});
  std::ofstream file(directory / "config.json");
  file << config;
  if (!file.flush()) throw std::runtime_error("cannot write " + (directory / "config.json").string());
  return directory;
}

fs::path weights_file(const fs::path& checkpoint) { return checkpoint / "model.safetensors"; }

}  // namespace onnxport::bench
