// What 8 and 4 bits leave of the embeddings of a real model.
#include <cmath>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/temporary_directory.h"
#include "onnxport/exporter.h"
#include "onnxport/pipeline.h"
#include "onnxport/quantizer.h"
#include "onnxport/weight_quantizer.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class QuantizedMiniLm : public ::testing::Test {
 protected:
  void SetUp() override {
    const fs::path model = source_directory() / ".deps/all-MiniLM-L6-v2";
    ASSERT_TRUE(fs::exists(model / "model.safetensors")) << "run tools/fetch-demo-model.sh";
    export_onnx({.model = model, .output = plain(), .validate = false});
    std::ifstream file(source_directory() / "examples/demo/sentences.txt");
    for (std::string line; std::getline(file, line);) sentences_.push_back(line);
    ASSERT_GE(sentences_.size(), 8U);
  }

  fs::path plain() const { return directory_.path() / "plain"; }
  fs::path quantized() const { return directory_.path() / "quantized"; }

  /// The least and the mean cosine of a sentence's embeddings by both models, which have length 1.
  std::pair<double, double> cosines() const {
    const EmbeddingsPipeline before(plain()), after(quantized());
    double least = 1;
    double sum = 0;
    for (const std::string& sentence : sentences_) {
      const std::vector<float> a = before(sentence), b = after(sentence);
      const double cosine = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
      least = std::min(least, cosine);
      sum += cosine;
    }
    return {least, sum / static_cast<double>(sentences_.size())};
  }

  TemporaryDirectory directory_;
  std::vector<std::string> sentences_;
};

/// With 7 bits, since processors without VNNI saturate where they add products of 8 bits.
TEST_F(QuantizedMiniLm, DynamicInt8KeepsTheEmbeddings) {
  quantize_models({.model = plain(),
                   .output = quantized(),
                   .config = AutoQuantizationConfig::avx2({.per_channel = true, .reduce_range = true}),
                   .file_suffix = ""});
  const auto [least, mean] = cosines();
  EXPECT_GE(least, 0.99);
  EXPECT_LT(mean, 0.99999) << "it is quantized";
}

TEST_F(QuantizedMiniLm, EightBitWeightsKeepThemBetter) {
  quantize_weights({.model = plain(), .output = quantized(), .config = {.bits = 8}});
  EXPECT_GE(cosines().first, 0.999);
}

/// Calibrated with other sentences than those whose embeddings are compared.
TEST_F(QuantizedMiniLm, CalibratedWeightsKeepMoreThanRoundedOnes) {
  const auto mean = [&](WeightAlgorithm algorithm) {
    WeightQuantizationConfig config{.is_symmetric = false, .algorithm = algorithm};
    if (algorithm != WeightAlgorithm::RoundToNearest)
      config.calibration = {.data = source_directory() / "tests/quantization/fixtures/texts.jsonl"};
    fs::remove_all(quantized());
    quantize_weights({.model = plain(), .output = quantized(), .config = config});
    return cosines().second;
  };
  const double rounded = mean(WeightAlgorithm::RoundToNearest);
  EXPECT_GT(mean(WeightAlgorithm::Gptq), rounded);
  EXPECT_GT(mean(WeightAlgorithm::Awq), rounded);
}

TEST_F(QuantizedMiniLm, SolvedZeroPointsKeepMoreThanRoundingToFourBits) {
  quantize_weights({.model = plain(), .output = quantized(), .config = {.is_symmetric = true}});
  const double rounded = cosines().second;
  fs::remove_all(quantized());
  quantize_weights({.model = plain(), .output = quantized(), .config = {.algorithm = WeightAlgorithm::HalfQuadratic}});
  const double solved = cosines().second;
  EXPECT_GE(rounded, 0.94);
  EXPECT_GT(solved, rounded);
}

}  // namespace
}  // namespace onnxport::testing
