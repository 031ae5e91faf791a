// Integers, scales and zero points against those of onnxruntime.quantization (make_weight_only_cases.py).
#include <cstring>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnxport/json.h"
#include "quantization/weight_only/blockwise_weight.h"
#include "support/paths.h"

namespace onnxport::quantization {
namespace {

using Tensors = std::map<std::string, TensorSource, std::less<>>;

struct Case {
  std::string name;
  std::string algorithm;
  std::string operator_type;
  TensorSource weight;
  WeightSettings settings;
};

struct Cases {
  Tensors tensors;
  std::vector<Case> cases;
};

BlockMethod method_of(const std::string& algorithm, const std::string& operator_type) {
  if (algorithm == "k_quant") return BlockMethod::KQuant;
  if (algorithm == "hqq") return BlockMethod::HalfQuadratic;
  return operator_type == "Gather" ? BlockMethod::RoundToNearestGather : BlockMethod::RoundToNearest;
}

const Cases& stored_cases() {
  static const Cases stored = [] {
    Cases result;
    std::map<std::string, std::string> metadata;
    result.tensors =
        read_safetensors(testing::source_directory() / "tests/quantization/cases/weight_only.safetensors", &metadata);
    const Json described = parse_json(metadata.at("cases"), "cases");
    for (const Json& entry : described.array()) {
      Case& stored_case = result.cases.emplace_back();
      stored_case.name = entry.find("name")->string();
      stored_case.algorithm = entry.find("algorithm")->string();
      stored_case.operator_type = entry.find("operator")->string();
      stored_case.weight = result.tensors.at("weight." + entry.find("weight")->string());
      const bool is_gather = stored_case.operator_type == "Gather";
      stored_case.settings = {.block = {.method = method_of(stored_case.algorithm, stored_case.operator_type),
                                        .bits = static_cast<int>(entry.find("bits")->integer()),
                                        .block_size = entry.find("block_size")->integer(),
                                        .is_symmetric = entry.find("symmetric")->boolean(),
                                        .scale_type = stored_case.weight.data_type},
                              .layout = is_gather ? WeightLayout::Rows : WeightLayout::Columns,
                              .is_padded = !is_gather};
    }
    return result;
  }();
  return stored;
}

void expect_bytes(const TensorSource& actual, const TensorSource& expected, const std::string& what) {
  const Array a = materialize(actual);
  const Array e = materialize(expected);
  ASSERT_EQ(a.bytes().size(), e.bytes().size()) << what;
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.bytes().size(); ++i) different += a.bytes()[i] != e.bytes()[i] ? 1 : 0;
  EXPECT_EQ(different, 0) << what << ": of " << a.bytes().size() << " bytes";
}

void expect_case(const Case& stored, const TensorSource& weight, const WeightSettings& settings) {
  const Tensors& tensors = stored_cases().tensors;
  const BlockwiseWeight quantized(weight, settings);
  expect_bytes(quantized.packed(), tensors.at(stored.name + ".packed"), stored.name + ".packed");
  expect_bytes(quantized.scales(), tensors.at(stored.name + ".scales"), stored.name + ".scales");
  if (!settings.block.is_symmetric)
    expect_bytes(quantized.zero_points(), tensors.at(stored.name + ".zero_points"), stored.name + ".zero_points");
}

TEST(WeightOnlyCases, AreBitEqualToOnnxRuntimesQuantizer) {
  int count = 0;
  for (const Case& stored : stored_cases().cases) {
    if (stored.algorithm == "hqq") continue;
    expect_case(stored, stored.weight, stored.settings);
    ++count;
  }
  EXPECT_GE(count, 40);
}

/// The solver's means are sums in another order than torch's, whose last bits move zero points a little, and few
/// integers over a boundary.
TEST(WeightOnlyCases, HalfQuadraticAgreesWithOnnxRuntimesQuantizer) {
  int count = 0;
  for (const Case& stored : stored_cases().cases) {
    if (stored.algorithm != "hqq") continue;
    ++count;
    const Tensors& tensors = stored_cases().tensors;
    for (const WeightLayout layout : {WeightLayout::Columns, WeightLayout::Rows}) {
      WeightSettings settings = stored.settings;
      settings.layout = layout;
      const BlockwiseWeight quantized(
          layout == WeightLayout::Columns ? stored.weight : transpose(stored.weight, {1, 0}), settings);
      expect_bytes(quantized.scales(), tensors.at(stored.name + ".scales"), stored.name + ".scales");
      const Array zero_points = materialize(cast(quantized.zero_points(), DataType::Float32));
      const Array expected = materialize(cast(tensors.at(stored.name + ".zero_points"), DataType::Float32));
      ASSERT_EQ(zero_points.element_count(), expected.element_count());
      for (std::int64_t i = 0; i < expected.element_count(); ++i)
        ASSERT_NEAR(zero_points.data<float>()[i], expected.data<float>()[i], 1e-3) << stored.name << " block " << i;
      const Array packed = materialize(quantized.packed());
      const Array expected_packed = materialize(tensors.at(stored.name + ".packed"));
      ASSERT_EQ(packed.bytes().size(), expected_packed.bytes().size());
      std::int64_t different = 0;
      for (std::size_t i = 0; i < packed.bytes().size(); ++i)
        different += packed.bytes()[i] != expected_packed.bytes()[i] ? 1 : 0;
      EXPECT_LE(different, packed.element_count() / 500) << stored.name;
      EXPECT_GT(quantized.error().noise, 0) << stored.name;
    }
  }
  EXPECT_EQ(count, 4);
}

TEST(WeightOnlyCases, AreTheSameOfTransposedWeights) {
  for (const Case& stored : stored_cases().cases) {
    if (stored.algorithm == "hqq" || stored.operator_type == "Gather") continue;
    WeightSettings settings = stored.settings;
    settings.layout = WeightLayout::Rows;
    expect_case(stored, transpose(stored.weight, {1, 0}), settings);
  }
}

/// The writer asks for runs that begin and end anywhere, and may ask for scales alone.
TEST(BlockwiseWeight, RunsMeetInTheMiddleOfBlocks) {
  for (const Case& stored : stored_cases().cases) {
    if (stored.algorithm == "hqq") continue;
    const BlockwiseWeight quantized(stored.weight, stored.settings);
    const BlockwiseWeight in_runs(stored.weight, stored.settings);
    for (const auto& [whole, in_parts] :
         {std::pair(quantized.packed(), in_runs.packed()), std::pair(quantized.scales(), in_runs.scales()),
          std::pair(quantized.zero_points(), in_runs.zero_points())}) {
      const Array expected = materialize(whole);
      Array actual(expected.data_type(), expected.shape());
      const auto element = static_cast<std::int64_t>(size_of(expected.data_type()));
      for (std::int64_t first = 0; first < expected.element_count(); first += 13) {
        const std::int64_t run = std::min<std::int64_t>(13, expected.element_count() - first);
        read_elements(in_parts, first,
                      actual.mutable_bytes().subspan(static_cast<std::size_t>(first * element),
                                                     static_cast<std::size_t>(run * element)));
      }
      EXPECT_EQ(std::memcmp(actual.bytes().data(), expected.bytes().data(), expected.bytes().size()), 0) << stored.name;
    }
    EXPECT_NEAR(in_runs.error().noise, quantized.error().noise, 1e-9 * quantized.error().noise) << stored.name;
  }
}

TEST(BlockwiseWeight, ErrorIsWhatDequantizedWeightsDifferBy) {
  Array weight(DataType::Float32, {3, 48});
  for (std::int64_t i = 0; i < weight.element_count(); ++i)
    weight.mutable_data<float>()[i] = static_cast<float>((i * 37) % 101) - 50.5F;
  const BlockwiseWeight quantized(
      from_array(weight), {.block = {.bits = 4, .block_size = 16, .is_symmetric = true}, .layout = WeightLayout::Rows});
  const Array packed = materialize(quantized.packed());
  const Array scales = materialize(quantized.scales());
  double signal = 0;
  double noise = 0;
  double maximum = 0;
  for (std::int64_t i = 0; i < weight.element_count(); ++i) {
    const int byte = packed.data<std::uint8_t>()[i / 2];
    const int integer = (i % 2 == 0 ? byte & 15 : byte >> 4) - 8;
    const double value = weight.data<float>()[i];
    const double error = value - integer * static_cast<double>(scales.data<float>()[i / 16]);
    signal += value * value;
    noise += error * error;
    maximum = std::max(maximum, std::abs(error));
  }
  EXPECT_NEAR(quantized.error().signal, signal, 1e-5 * signal);
  EXPECT_NEAR(quantized.error().noise, noise, 1e-5 * noise);
  EXPECT_NEAR(quantized.error().maximum, maximum, 1e-5 * maximum);
}

}  // namespace
}  // namespace onnxport::quantization
