// What quantization costs a decoder that has learned something: perplexity, on text that it has not seen. The model and
// the perplexity that transformers computes come from make_trained_gpt2.py.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "core/temporary_directory.h"
#include "onnxport/exporter.h"
#include "onnxport/json.h"
#include "onnxport/quantizer.h"
#include "onnxport/weight_quantizer.h"
#include "runtime/session.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

fs::path trained_model() { return source_directory() / "tests/quantization/trained_gpt2"; }

/// -log of the probability that logits give to a token.
double cross_entropy(std::span<const float> logits, std::int64_t token) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum) - logits[static_cast<std::size_t>(token)];
}

class Perplexity : public ::testing::Test {
 protected:
  void SetUp() override {
    const Json expected = parse_json(read_text_file(trained_model() / "perplexity.json"), "perplexity.json");
    expected_ = expected.find("perplexity")->number();
    const auto window = static_cast<std::size_t>(expected.find("window")->integer());
    const std::string text = read_text_file(trained_model() / "text.txt");
    for (std::size_t begin = 0; begin + window <= text.size(); begin += window) {
      std::vector<std::int64_t> ids;
      for (const char c : text.substr(begin, window)) ids.push_back(static_cast<unsigned char>(c));
      windows_.push_back(std::move(ids));
    }
    export_onnx({.model = trained_model(), .output = plain(), .task = "text-generation", .validate = false});
  }

  fs::path plain() const { return directory_.path() / "plain"; }
  fs::path quantized() const { return directory_.path() / "quantized"; }

  /// exp of the mean cross-entropy of all bytes but each window's first.
  double perplexity(const fs::path& directory) const {
    const Session session(directory / "model.onnx", {.intra_op_num_threads = 1});
    double sum = 0;
    std::size_t count = 0;
    for (const std::vector<std::int64_t>& ids : windows_) {
      const std::vector<std::int64_t> shape{1, std::ssize(ids)};
      std::vector<std::int64_t> positions(ids.size());
      std::iota(positions.begin(), positions.end(), 0);
      const NamedArrays inputs{{"input_ids", Array::int64(shape, ids)},
                               {"attention_mask", Array::int64(shape, std::vector<std::int64_t>(ids.size(), 1))},
                               {"position_ids", Array::int64(shape, positions)}};
      const std::vector<Array> outputs = session.run(inputs);
      const std::span<const float> logits = outputs.front().values<float>();
      const std::size_t vocabulary = logits.size() / ids.size();
      for (std::size_t i = 0; i + 1 < ids.size(); ++i, ++count)
        sum += cross_entropy(logits.subspan(i * vocabulary, vocabulary), ids[i + 1]);
    }
    return std::exp(sum / static_cast<double>(count));
  }

  double of_weights(const WeightQuantizationConfig& config) const {
    fs::remove_all(quantized());
    quantize_weights({.model = plain(), .output = quantized(), .config = config});
    return perplexity(quantized());
  }

  TemporaryDirectory directory_;
  std::vector<std::vector<std::int64_t>> windows_;
  double expected_ = 0;
};

TEST_F(Perplexity, IsThatOfTransformers) {
  EXPECT_LT(expected_, 10) << "it has learned something: bytes at random have 256";
  EXPECT_NEAR(perplexity(plain()), expected_, 1e-4 * expected_);
}

/// With 7 bits, since processors without VNNI saturate where they add products of 8 bits.
TEST_F(Perplexity, DynamicInt8CostsLittle) {
  quantize_models({.model = plain(),
                   .output = quantized(),
                   .config = AutoQuantizationConfig::avx2({.per_channel = true, .reduce_range = true}),
                   .file_suffix = ""});
  const double changed = perplexity(quantized());
  RecordProperty("perplexity", std::to_string(changed / expected_));
  EXPECT_LT(changed, 1.02 * expected_);
  EXPECT_NE(changed, expected_);
}

TEST_F(Perplexity, WeightsCostMoreTheFewerBitsTheyHave) {
  const double eight = of_weights({.bits = 8});
  const double four = of_weights({.bits = 4});
  const double solved = of_weights({.bits = 4, .algorithm = WeightAlgorithm::HalfQuadratic});
  const double two = of_weights({.bits = 2, .block_size = 16, .is_symmetric = false});
  for (const double value : {eight, four, solved, two}) RecordProperty("perplexity", std::to_string(value / expected_));
  EXPECT_LT(eight, 1.002 * expected_);
  EXPECT_LT(four, 1.10 * expected_);
  EXPECT_LT(solved, four);
  EXPECT_GT(four, eight);
  EXPECT_GT(two, four);
}

}  // namespace
}  // namespace onnxport::testing
