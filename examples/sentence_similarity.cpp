// Compares the sentences of a text: sentence_similarity DIRECTORY SENTENCES
//
// DIRECTORY is what `onnxport export onnx` made of a sentence-transformers model; SENTENCES has a sentence a line.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <onnxport/auto_tokenizer.h>
#include <onnxport/model.h>
#include <unistd.h>

namespace {

std::vector<std::string> read_sentences(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<std::string> sentences;
  for (std::string line; std::getline(file, line);)
    if (line.find_first_not_of(" \t\r") != std::string::npos) sentences.push_back(line);
  if (sentences.empty()) throw std::runtime_error(path + " has no sentences");
  return sentences;
}

/// Row of a matrix.
std::span<const float> row(const onnxport::Array& embeddings, std::int64_t index) {
  const auto size = static_cast<std::size_t>(embeddings.shape()[1]);
  return embeddings.values<float>().subspan(static_cast<std::size_t>(index) * size, size);
}

double cosine_similarity(std::span<const float> a, std::span<const float> b) {
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

void print_matrix(const onnxport::Array& embeddings) {
  const bool drawn = isatty(STDOUT_FILENO) != 0;
  const std::int64_t count = embeddings.shape()[0];
  std::printf("  ");
  for (std::int64_t column = 1; column <= count; ++column)
    std::printf(drawn ? " %9lld" : " %7lld", static_cast<long long>(column));
  std::printf("\n");
  for (std::int64_t i = 0; i < count; ++i) {
    std::printf("%2lld", static_cast<long long>(i + 1));
    for (std::int64_t j = 0; j < count; ++j) {
      const double similarity = cosine_similarity(row(embeddings, i), row(embeddings, j));
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

void compare(const std::string& directory, const std::vector<std::string>& sentences) {
  const auto loading = std::chrono::steady_clock::now();
  const auto tokenizer = onnxport::AutoTokenizer::from_pretrained(directory);
  const auto model = onnxport::ORTModelForSentenceTransformers::from_pretrained(directory);
  const double load_seconds = seconds_since(loading);

  const onnxport::TokenizerCallOptions options{.padding = onnxport::PaddingStrategy::Longest,
                                               .truncation = onnxport::TruncationStrategy::LongestFirst};
  model(tokenizer(sentences, options));  // the first run allocates the memory that later ones use again
  const auto running = std::chrono::steady_clock::now();
  const onnxport::Array embeddings = model(tokenizer(sentences, options)).sentence_embedding;
  const double run_seconds = seconds_since(running);

  std::size_t number = 0;
  for (const std::string& sentence : sentences) std::printf("%2zu  %s\n", ++number, sentence.c_str());
  std::printf("\n");
  print_matrix(embeddings);
  std::printf("\n%zu sentences became vectors of %lld numbers in %.1f ms (tokenizer and model loaded in %.1f ms)\n",
              sentences.size(), static_cast<long long>(embeddings.shape()[1]), run_seconds * 1e3, load_seconds * 1e3);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: sentence_similarity DIRECTORY SENTENCES\n");
    return 2;
  }
  try {
    compare(argv[1], read_sentences(argv[2]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sentence_similarity: %s\n", error.what());
    return 1;
  }
}
