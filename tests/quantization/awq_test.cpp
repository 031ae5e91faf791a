// Scales, ranges and integers of AWQ against those of its authors' program (make_awq_cases.py).
#include "quantization/weight_only/awq.h"

#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "calibrated_support.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/json.h"
#include "support/paths.h"

namespace onnxport::quantization {
namespace {

struct Case {
  std::string name;
  std::string layer;
  int bits;
  std::int64_t block_size;
  double error;
  double rounding_error;
};

struct Cases {
  std::map<std::string, TensorSource, std::less<>> tensors;
  std::vector<Case> cases;
};

const Cases& stored_cases() {
  static const Cases stored = [] {
    Cases result;
    std::map<std::string, std::string> metadata;
    result.tensors =
        read_safetensors(testing::source_directory() / "tests/quantization/cases/awq.safetensors", &metadata);
    const Json described = parse_json(metadata.at("cases"), "cases");
    for (const Json& entry : described.array())
      result.cases.push_back({.name = entry.find("name")->string(),
                              .layer = entry.find("layer")->string(),
                              .bits = static_cast<int>(entry.find("bits")->integer()),
                              .block_size = entry.find("block_size")->integer(),
                              .error = entry.find("error")->number(),
                              .rounding_error = entry.find("rounding_error")->number()});
    return result;
  }();
  return stored;
}

Array stored(const std::string& name) { return materialize(cast(stored_cases().tensors.at(name), DataType::Float32)); }

ActivationStatistics observed(const std::string& layer) {
  const Array activations = stored(layer + ".activations");
  ActivationStatistics statistics(activations.shape()[1]);
  statistics.add(activations.values<float>());
  return statistics;
}

AwqWeight weight_of(const Case& one, bool is_symmetric) {
  return {.weight = stored_cases().tensors.at(one.layer + ".weight"),
          .settings = {.block = {.method = BlockMethod::Calibrated,
                                 .bits = one.bits,
                                 .block_size = one.block_size,
                                 .is_symmetric = is_symmetric},
                       .layout = WeightLayout::Rows}};
}

/// |X (W / s - W₀)ᵀ| / |X W₀ᵀ| for the weight [N, K] that integers stand for.
double relative_error(const std::string& layer, const std::vector<float>& columns, const std::vector<float>& scales) {
  const Array weight = stored(layer + ".weight");
  const Array activations = stored(layer + ".activations");
  const std::int64_t size = weight.shape()[1];
  double signal = 0;
  double noise = 0;
  for (std::int64_t row = 0; row < activations.shape()[0]; ++row) {
    for (std::int64_t n = 0; n < weight.shape()[0]; ++n) {
      double expected = 0;
      double product = 0;
      for (std::int64_t k = 0; k < size; ++k) {
        const double x = activations.data<float>()[row * size + k];
        expected += x * static_cast<double>(weight.data<float>()[n * size + k]);
        const auto scale = static_cast<double>(scales.empty() ? 1.0F : scales[static_cast<std::size_t>(k)]);
        product += x / scale * static_cast<double>(columns[static_cast<std::size_t>(k * weight.shape()[0] + n)]);
      }
      signal += expected * expected;
      noise += (product - expected) * (product - expected);
    }
  }
  return std::sqrt(noise / signal);
}

TEST(Awq, AgreesWithTheProgramOfItsAuthors) {
  ASSERT_EQ(stored_cases().cases.size(), 12U);
  for (const Case& one : stored_cases().cases) {
    const AwqWeight weight = weight_of(one, false);
    const ActivationStatistics activations = observed(one.layer);
    const std::vector<float> scales = search_awq_scales({&weight, 1}, activations);
    const Array expected_scales = stored(one.name + ".scales");
    ASSERT_EQ(std::ssize(scales), expected_scales.element_count());
    for (std::size_t k = 0; k < scales.size(); ++k)
      ASSERT_NEAR(scales[k], expected_scales.data<float>()[k], 1e-4F * scales[k]) << one.name << " column " << k;

    // Of two ranges that lose the same, either is right.
    const std::vector<float> clips = search_awq_clips(weight, scales, activations);
    const Array expected_clips = stored(one.name + ".largest");
    ASSERT_EQ(std::ssize(clips), expected_clips.element_count());
    std::int64_t different = 0;
    for (std::size_t i = 0; i < clips.size(); ++i)
      different += std::fabs(clips[i] - expected_clips.data<float>()[i]) > 1e-3F * clips[i] ? 1 : 0;
    EXPECT_LE(different, expected_clips.element_count() / 50) << one.name;

    BlockwiseWeight quantized(weight.weight, weight.settings);
    quantized.set_solved(solve_awq(weight, scales, activations));
    EXPECT_LE(relative_error(one.layer, testing::dequantized_columns(quantized), scales), 1.001 * one.error)
        << one.name;
  }
}

TEST(Awq, LosesLessOfTheProductThanRoundingToNearest) {
  for (const Case& one : stored_cases().cases) {
    for (const bool is_symmetric : {true, false}) {
      const AwqWeight weight = weight_of(one, is_symmetric);
      const ActivationStatistics activations = observed(one.layer);
      const std::vector<float> scales = search_awq_scales({&weight, 1}, activations);
      BlockwiseWeight quantized(weight.weight, weight.settings);
      const double rounded = relative_error(one.layer, testing::dequantized_columns(quantized), {});
      BlockwiseWeight solved(weight.weight, weight.settings);
      solved.set_solved(solve_awq(weight, scales, activations));
      EXPECT_LT(relative_error(one.layer, testing::dequantized_columns(solved), scales), 0.9 * rounded) << one.name;
    }
  }
}

/// A table that rows are looked up in as well cannot be scaled.
TEST(Awq, ClippingAloneLosesLessThanRoundingToNearest) {
  for (const Case& one : stored_cases().cases) {
    const AwqWeight weight = weight_of(one, false);
    BlockwiseWeight quantized(weight.weight, weight.settings);
    const double rounded = relative_error(one.layer, testing::dequantized_columns(quantized), {});
    BlockwiseWeight solved(weight.weight, weight.settings);
    solved.set_solved(solve_awq(weight, {}, observed(one.layer)));
    EXPECT_LT(relative_error(one.layer, testing::dequantized_columns(solved), {}), rounded) << one.name;
  }
}

TEST(Awq, TheErrorOfTheWeightIsToldWithoutTheScales) {
  const Case& one = stored_cases().cases.front();
  const AwqWeight weight = weight_of(one, false);
  const ActivationStatistics activations = observed(one.layer);
  const std::vector<float> scales = search_awq_scales({&weight, 1}, activations);
  BlockwiseWeight quantized(weight.weight, weight.settings);
  quantized.set_solved(solve_awq(weight, scales, activations));
  const std::vector<float> columns = testing::dequantized_columns(quantized);
  const Array original = stored(one.layer + ".weight");
  double noise = 0;
  for (std::int64_t n = 0; n < quantized.vectors(); ++n) {
    for (std::int64_t k = 0; k < quantized.vector_size(); ++k) {
      const double value = columns[static_cast<std::size_t>(k * quantized.vectors() + n)];
      const double error = value / static_cast<double>(scales[static_cast<std::size_t>(k)]) -
                           static_cast<double>(original.data<float>()[n * quantized.vector_size() + k]);
      noise += error * error;
    }
  }
  EXPECT_NEAR(quantized.error().noise, noise, 1e-4 * noise);
}

TEST(Awq, QueriesAndKeysAreNotClipped) {
  EXPECT_FALSE(is_clipped_by_awq(std::vector<std::string>{"/layers.0/self_attn/q_proj/MatMul"}));
  EXPECT_FALSE(is_clipped_by_awq(std::vector<std::string>{"/encoder/layer.0/attention/self/key/Gemm"}));
  EXPECT_TRUE(is_clipped_by_awq(std::vector<std::string>{"/encoder/layer.0/attention/self/value/Gemm"}));
}

}  // namespace
}  // namespace onnxport::quantization
