// Calibrated integers against those of GPTQ's authors (make_gptq_cases.py).
#include "quantization/weight_only/gptq.h"

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "calibrated_support.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/json.h"
#include "quantization/weight_only/inverse_factor.h"
#include "support/paths.h"

namespace onnxport::quantization {
namespace {

using Tensors = std::map<std::string, TensorSource, std::less<>>;

// ---- The factor -----------------------------------------------------------------------------------------------------

std::vector<double> random_gram(std::int64_t size) {
  std::mt19937 generator(3);
  std::normal_distribution<double> normal;
  std::vector<double> rows(static_cast<std::size_t>(2 * size * size));
  for (double& value : rows) value = normal(generator);
  std::vector<double> gram(static_cast<std::size_t>(size * size));
  for (std::int64_t r = 0; r < 2 * size; ++r)
    for (std::int64_t i = 0; i < size; ++i)
      for (std::int64_t j = 0; j < size; ++j)
        gram[static_cast<std::size_t>(i * size + j)] +=
            rows[static_cast<std::size_t>(r * size + i)] * rows[static_cast<std::size_t>(r * size + j)];
  return gram;
}

TEST(InverseFactor, ItsProductInvertsTheMatrix) {
  for (const std::int64_t size : {1, 5, 64, 65, 130, 200}) {
    const std::vector<double> gram = random_gram(size);
    std::vector<double> upper = gram;
    for (std::int64_t i = 0; i < size; ++i)
      for (std::int64_t j = 0; j < i; ++j) upper[static_cast<std::size_t>(i * size + j)] = NAN;  // must not be read
    ASSERT_TRUE(factor_inverse(upper, size));
    // U A Uᵀ = 1, which is UᵀU = A⁻¹.
    std::vector<double> product(gram.size());
    for (std::int64_t i = 0; i < size; ++i)
      for (std::int64_t k = i; k < size; ++k)
        for (std::int64_t j = 0; j < size; ++j)
          product[static_cast<std::size_t>(i * size + j)] +=
              upper[static_cast<std::size_t>(i * size + k)] * gram[static_cast<std::size_t>(k * size + j)];
    for (std::int64_t i = 0; i < size; ++i) {
      EXPECT_GT(upper[static_cast<std::size_t>(i * size + i)], 0);
      for (std::int64_t j = 0; j < size; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < size; ++k)
          sum += product[static_cast<std::size_t>(i * size + k)] * upper[static_cast<std::size_t>(j * size + k)];
        ASSERT_NEAR(sum, i == j ? 1 : 0, 1e-9) << size << ": " << i << ", " << j;
        if (j < i) {
          ASSERT_EQ(upper[static_cast<std::size_t>(i * size + j)], 0);
        }
      }
    }
  }
}

TEST(InverseFactor, MatricesThatAreNotPositiveDefiniteAreRefused) {
  std::vector<double> indefinite = {1, 2, 2, 1};
  EXPECT_FALSE(factor_inverse(indefinite, 2));
  std::vector<double> singular = {1, 1, 1, 1};
  EXPECT_FALSE(factor_inverse(singular, 2));
  std::vector<double> not_a_number = {1, NAN, NAN, 1};
  EXPECT_FALSE(factor_inverse(not_a_number, 2));
}

// ---- Statistics -----------------------------------------------------------------------------------------------------

TEST(ActivationStatistics, AreSumsOverTheRowsOfAllSamples) {
  constexpr std::int64_t kSize = 300;  // more than two tiles
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  ActivationStatistics statistics(kSize);
  std::vector<float> all;
  for (const std::int64_t rows : {1, 17, 4}) {
    std::vector<float> values(static_cast<std::size_t>(rows * kSize));
    for (float& value : values) value = normal(generator);
    statistics.add(values);
    all.insert(all.end(), values.begin(), values.end());
  }
  EXPECT_EQ(statistics.samples(), 3);
  EXPECT_EQ(statistics.rows(), 22);
  EXPECT_TRUE(statistics.is_finite());
  for (std::int64_t i = 0; i < kSize; ++i) {
    double magnitude = 0;
    for (std::int64_t row = 0; row < 22; ++row)
      magnitude += std::fabs(static_cast<double>(all[static_cast<std::size_t>(row * kSize + i)])) / 22;
    EXPECT_NEAR(statistics.mean_magnitudes()[static_cast<std::size_t>(i)], magnitude, 1e-9);
    for (std::int64_t j = i; j < kSize; ++j) {
      double sum = 0;
      for (std::int64_t row = 0; row < 22; ++row)
        sum += static_cast<double>(all[static_cast<std::size_t>(row * kSize + i)]) *
               static_cast<double>(all[static_cast<std::size_t>(row * kSize + j)]);
      ASSERT_NEAR(statistics.gram()[static_cast<std::size_t>(i * kSize + j)], sum, 1e-4) << i << ", " << j;
    }
  }
  std::vector<float> values(kSize, 1.0F);
  values[299] = INFINITY;
  statistics.add(values);
  EXPECT_FALSE(statistics.is_finite());
}

// ---- Integers -------------------------------------------------------------------------------------------------------

struct Case {
  std::string name;
  WeightSettings settings;
  GptqConfig config;
  double error;
  std::optional<double> onnxruntime_error;
};

struct Cases {
  Tensors tensors;
  std::vector<Case> cases;
  std::vector<std::int64_t> samples;
};

const Cases& stored_cases() {
  static const Cases stored = [] {
    Cases result;
    std::map<std::string, std::string> metadata;
    result.tensors =
        read_safetensors(testing::source_directory() / "tests/quantization/cases/gptq.safetensors", &metadata);
    const Json counts = parse_json(metadata.at("samples"), "samples");
    for (const Json& count : counts.array()) result.samples.push_back(count.integer());
    const Json described = parse_json(metadata.at("cases"), "cases");
    for (const Json& entry : described.array()) {
      const Json& onnxruntime_error = *entry.find("onnxruntime_error");
      result.cases.push_back(
          {.name = entry.find("name")->string(),
           .settings = {.block = {.method = BlockMethod::Calibrated,
                                  .bits = static_cast<int>(entry.find("bits")->integer()),
                                  .block_size = entry.find("block_size")->integer(),
                                  .is_symmetric = entry.find("symmetric")->boolean()},
                        .layout = WeightLayout::Columns},
           .config = {.actorder = entry.find("actorder")->boolean(), .mse = entry.find("mse")->boolean()},
           .error = entry.find("error")->number(),
           .onnxruntime_error =
               onnxruntime_error.is_null() ? std::nullopt : std::optional(onnxruntime_error.number())});
    }
    return result;
  }();
  return stored;
}

ActivationStatistics observed() {
  const Array activations = materialize(cast(stored_cases().tensors.at("activations"), DataType::Float32));
  const std::int64_t size = activations.shape()[1];
  ActivationStatistics statistics(size);
  std::int64_t row = 0;
  for (const std::int64_t count : stored_cases().samples) {
    statistics.add(activations.values<float>().subspan(static_cast<std::size_t>(row * size),
                                                       static_cast<std::size_t>(count * size)));
    row += count;
  }
  return statistics;
}

/// |X (W - Ŵ)| / |X W|
double relative_error(const std::vector<float>& approximation) {
  const Array weight = materialize(stored_cases().tensors.at("weight"));
  const Array activations = materialize(cast(stored_cases().tensors.at("activations"), DataType::Float32));
  const std::int64_t size = weight.shape()[0];
  const std::int64_t count = weight.shape()[1];
  double signal = 0;
  double noise = 0;
  for (std::int64_t row = 0; row < activations.shape()[0]; ++row) {
    for (std::int64_t n = 0; n < count; ++n) {
      double expected = 0;
      double lost = 0;
      for (std::int64_t k = 0; k < size; ++k) {
        const double x = activations.data<float>()[row * size + k];
        const double w = weight.data<float>()[k * count + n];
        expected += x * w;
        lost += x * (w - static_cast<double>(approximation[static_cast<std::size_t>(k * count + n)]));
      }
      signal += expected * expected;
      noise += lost * lost;
    }
  }
  return std::sqrt(noise / signal);
}

BlockwiseWeight solve(const TensorSource& weight, const WeightSettings& settings, const GptqConfig& config) {
  BlockwiseWeight quantized(weight, settings);
  const std::optional<GptqFactor> factor = factor_activations(observed(), config);
  EXPECT_TRUE(factor);
  quantized.set_solved(solve_gptq(weight, settings, *factor, config));
  return quantized;
}

/// The factor is computed in another way, and in double, so that few integers lie on the other side of a boundary; the
/// rows after such a one differ, too.
TEST(Gptq, AgreesWithTheProgramOfItsAuthors) {
  const Cases& stored = stored_cases();
  ASSERT_EQ(stored.cases.size(), 19U);
  for (const Case& one : stored.cases) {
    const TensorSource& weight = stored.tensors.at("weight");
    for (const WeightLayout layout : {WeightLayout::Columns, WeightLayout::Rows}) {
      WeightSettings settings = one.settings;
      settings.layout = layout;
      const BlockwiseWeight quantized =
          solve(layout == WeightLayout::Columns ? weight : transpose(weight, {1, 0}), settings, one.config);
      const std::vector<float> values = testing::dequantized_columns(quantized);
      const Array expected = materialize(stored.tensors.at(one.name));
      ASSERT_EQ(std::ssize(values), expected.element_count());
      std::int64_t different = 0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float difference = std::fabs(values[i] - expected.data<float>()[i]);
        different += difference > 1e-4F * (1 + std::fabs(values[i])) ? 1 : 0;
      }
      EXPECT_LE(different, expected.element_count() / 200) << one.name;
      const double error = relative_error(values);
      EXPECT_LE(error, 1.001 * one.error) << one.name;
      EXPECT_LT(error, 0.9 * one.onnxruntime_error.value_or(1)) << one.name;
    }
  }
}

TEST(Gptq, LosesLessOfTheProductThanRoundingToNearest) {
  for (const Case& one : stored_cases().cases) {
    // Of four integers, fasterquant's symmetric scales leave one nearly unused, those of rounding none.
    if (one.settings.block.bits == 2 && one.settings.block.is_symmetric) continue;
    WeightSettings rounding = one.settings;
    rounding.block.method = BlockMethod::RoundToNearest;
    const double rounded =
        relative_error(testing::dequantized_columns(BlockwiseWeight(stored_cases().tensors.at("weight"), rounding)));
    EXPECT_LT(relative_error(
                  testing::dequantized_columns(solve(stored_cases().tensors.at("weight"), one.settings, one.config))),
              rounded)
        << one.name;
  }
}

TEST(Gptq, TheErrorOfTheWeightIsWhatDequantizedWeightsDifferBy) {
  const TensorSource& weight = stored_cases().tensors.at("weight");
  const Case& one = stored_cases().cases.front();
  const BlockwiseWeight quantized = solve(weight, one.settings, one.config);
  const std::vector<float> values = testing::dequantized_columns(quantized);
  const Array original = materialize(weight);
  double noise = 0;
  double maximum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(values[i]) - static_cast<double>(original.data<float>()[i]);
    noise += error * error;
    maximum = std::max(maximum, std::fabs(error));
  }
  EXPECT_NEAR(quantized.error().noise, noise, 1e-6 * noise);
  EXPECT_NEAR(quantized.error().maximum, maximum, 1e-6);
}

/// Symmetric scales of them would use half of the integers, as those of the authors' program do.
TEST(Gptq, BlocksWithoutNegativeWeightsUseAllIntegers) {
  const Array weight = materialize(stored_cases().tensors.at("weight"));
  Array positive(DataType::Float32, weight.shape());
  for (std::int64_t i = 0; i < weight.element_count(); ++i)
    positive.mutable_data<float>()[i] = std::fabs(weight.data<float>()[i]);
  const BlockwiseWeight quantized = solve(from_array(positive), stored_cases().cases.front().settings, {});
  const WeightError error = quantized.error();
  EXPECT_LT(error.noise, 0.05 * error.signal);
}

TEST(Gptq, WithoutDampingDependentInputsAreRefused) {
  ActivationStatistics statistics(3);
  statistics.add(std::vector<float>{1, 2, 3});
  EXPECT_FALSE(factor_activations(statistics, {.percdamp = 0}));
  EXPECT_TRUE(factor_activations(statistics, {}));
}

}  // namespace
}  // namespace onnxport::quantization
