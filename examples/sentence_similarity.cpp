// Compares sentences with an exported sentence encoder, by nothing but ONNX Runtime's own C++ API:
//
//   sentence_similarity MODEL.onnx TOKEN_IDS [SENTENCES]
//
// TOKEN_IDS has a line for each sentence: its token ids, as the model's tokenizer makes them. '#' begins a comment.
// SENTENCES has the sentences themselves, a line each, to print beside the numbers.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <onnxruntime_cxx_api.h>
#include <unistd.h>

namespace {

using TokenIds = std::vector<std::int64_t>;
using Embeddings = std::vector<std::vector<float>>;

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<TokenIds> read_token_ids(const std::string& path) {
  std::vector<TokenIds> sentences;
  for (const std::string& line : read_lines(path)) {
    std::istringstream words(line.substr(0, line.find('#')));
    TokenIds ids;
    for (std::int64_t id = 0; words >> id;) ids.push_back(id);
    if (!words.eof()) throw std::runtime_error(path + ": not a line of token ids: " + line);
    if (!ids.empty()) sentences.push_back(std::move(ids));
  }
  if (sentences.empty()) throw std::runtime_error(path + " has no token ids");
  return sentences;
}

/// Sentences of different lengths as one tensor: shorter rows end in zeros, which the mask hides from the model.
struct Batch {
  std::array<std::int64_t, 2> shape{};
  std::vector<std::int64_t> input_ids;
  std::vector<std::int64_t> attention_mask;
  std::vector<std::int64_t> token_type_ids;

  explicit Batch(const std::vector<TokenIds>& sentences) {
    std::size_t length = 0;
    for (const TokenIds& ids : sentences) length = std::max(length, ids.size());
    shape = {static_cast<std::int64_t>(sentences.size()), static_cast<std::int64_t>(length)};
    input_ids.assign(sentences.size() * length, 0);
    attention_mask.assign(sentences.size() * length, 0);
    token_type_ids.assign(sentences.size() * length, 0);
    for (std::size_t row = 0; row < sentences.size(); ++row) {
      std::copy(sentences[row].begin(), sentences[row].end(), &input_ids[row * length]);
      std::fill_n(&attention_mask[row * length], sentences[row].size(), 1);
    }
  }

  std::vector<std::int64_t>& input(std::string_view name) {
    if (name == "input_ids") return input_ids;
    if (name == "attention_mask") return attention_mask;
    if (name == "token_type_ids") return token_type_ids;
    throw std::runtime_error("the model has the input " + std::string(name) + ", which a sentence encoder has not");
  }
};

std::vector<std::string> input_names(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < session.GetInputCount(); ++i)
    names.emplace_back(session.GetInputNameAllocated(i, allocator).get());
  return names;
}

Embeddings embed(Ort::Session& session, Batch& batch) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::vector<std::string> names = input_names(session);
  std::vector<const char*> inputs;
  std::vector<Ort::Value> values;
  for (const std::string& name : names) {
    std::vector<std::int64_t>& data = batch.input(name);
    inputs.push_back(name.c_str());
    values.push_back(
        Ort::Value::CreateTensor(memory, data.data(), data.size(), batch.shape.data(), batch.shape.size()));
  }
  constexpr std::array outputs{"sentence_embedding"};
  const std::vector<Ort::Value> results =
      session.Run(Ort::RunOptions(), inputs.data(), values.data(), values.size(), outputs.data(), outputs.size());

  const auto shape = results.front().GetTensorTypeAndShapeInfo().GetShape();
  const float* data = results.front().GetTensorData<float>();
  Embeddings embeddings;
  for (std::int64_t row = 0; row < shape[0]; ++row, data += shape[1]) embeddings.emplace_back(data, data + shape[1]);
  return embeddings;
}

double cosine_similarity(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, norm_a = 0, norm_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * double{b[i]};
    norm_a += double{a[i]} * double{a[i]};
    norm_b += double{b[i]} * double{b[i]};
  }
  return product / std::sqrt(norm_a * norm_b);
}

/// Darker the more similar.
const char* shade(double similarity) {
  constexpr std::array shades{"  ", "░░", "▒▒", "▓▓", "██"};
  const double level = std::clamp(similarity, 0.0, 1.0) * static_cast<double>(shades.size());
  return shades[std::min(static_cast<std::size_t>(level), shades.size() - 1)];
}

void print_matrix(const Embeddings& embeddings) {
  const bool drawn = isatty(STDOUT_FILENO) != 0;
  std::printf("  ");
  for (std::size_t column = 1; column <= embeddings.size(); ++column) std::printf(drawn ? " %9zu" : " %7zu", column);
  std::printf("\n");
  for (std::size_t row = 0; row < embeddings.size(); ++row) {
    std::printf("%2zu", row + 1);
    for (const std::vector<float>& other : embeddings) {
      const double similarity = cosine_similarity(embeddings[row], other);
      if (drawn) {
        // Rounded first, as printf would write -0.00; adding 0 takes the sign off a zero.
        std::printf("  %s %5.2f", shade(similarity), std::round(similarity * 100) / 100 + 0.0);
      } else {
        std::printf(" %7.4f", similarity);
      }
    }
    std::printf("\n");
  }
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void compare(const std::string& model, const std::string& token_ids, const std::string& sentences) {
  Batch batch(read_token_ids(token_ids));
  const auto loading = std::chrono::steady_clock::now();
  const Ort::Env environment;
  Ort::Session session(environment, model.c_str(), Ort::SessionOptions());
  const double load_seconds = seconds_since(loading);
  embed(session, batch);  // the first run allocates the memory that later ones use again
  const auto running = std::chrono::steady_clock::now();
  const Embeddings embeddings = embed(session, batch);
  const double run_seconds = seconds_since(running);

  if (!sentences.empty()) {
    std::size_t number = 0;
    for (const std::string& line : read_lines(sentences)) std::printf("%2zu  %s\n", ++number, line.c_str());
    std::printf("\n");
  }
  print_matrix(embeddings);
  std::printf("\n%zu sentences became vectors of %zu numbers in %.1f ms (ONNX Runtime %s, loaded in %.1f ms)\n",
              embeddings.size(), embeddings.front().size(), run_seconds * 1e3, Ort::GetVersionString().c_str(),
              load_seconds * 1e3);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: sentence_similarity MODEL.onnx TOKEN_IDS [SENTENCES]\n");
    return 2;
  }
  try {
    compare(argv[1], argv[2], argc > 3 ? argv[3] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sentence_similarity: %s\n", error.what());
    return 1;
  }
}
