// Weights of float8e4m3fn and float4e2m1: nodes, names and bytes against ml_dtypes (make_float_weights.py).
#include <algorithm>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "core/float16.h"
#include "onnx/reader.h"
#include "onnxport/json.h"
#include "onnxport/weight_quantizer.h"
#include "quantization/graph_description.h"
#include "runtime/session.h"
#include "support/paths.h"
#include "support/weight_models.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;

fs::path fixtures() { return testing::source_directory() / "tests/quantization/fixtures/float_weights"; }

class FloatWeights : public onnx::TemporaryDirectoryTest {
 protected:
  void SetUp() override {
    TemporaryDirectoryTest::SetUp();
    options_.model = directory_ / "model";
    options_.output = directory_ / "out";
    options_.config.is_float = true;
    options_.config.format = QuantFormat::QDQ;
  }

  WeightQuantizationOptions options_;
};

class FloatWeightsFixture : public FloatWeights, public ::testing::WithParamInterface<std::string> {};

TEST_P(FloatWeightsFixture, AreEqualToTheBit) {
  fs::create_directories(options_.model);
  fs::copy_file(fixtures() / "matmul.onnx", options_.model / "model.onnx");
  const Json fixture = parse_json(read_text_file(fixtures() / (GetParam() + ".json")), GetParam());
  options_.config.block_size = fixture.find("block_size")->integer();
  options_.config.bits = fixture.find("weights")->string() == "float8e4m3fn" ? 8 : 4;
  quantize_weights(options_);
  expect_graphs(options_.output / "model.onnx", *fixture.find("graphs"));
  const onnx::Model model = onnx::read_model(options_.output / "model.onnx");
  EXPECT_EQ(model.opset_imports.at(""), fixture.find("opset")->integer());
  EXPECT_EQ(model.ir_version, options_.config.bits == 4 ? 11 : 10);
}

INSTANTIATE_TEST_SUITE_P(Files, FloatWeightsFixture, ::testing::ValuesIn(case_names(fixtures())), [](const auto& file) {
  std::string name = file.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

TEST_F(FloatWeights, OfEightBitsComputeNearTheModel) {
  const testing::FixtureFile file = testing::export_fixture("bert", "feature-extraction", directory_);
  options_.config.bits = 8;
  options_.config.block_size = 16;
  const WeightQuantizationResult result = quantize_weights(options_);
  for (const QuantizedWeightReport& weight : result.weights) {
    EXPECT_GT(weight.sqnr, 28) << "three bits of mantissa";
    EXPECT_LT(weight.sqnr, 40);
  }
  const Session before(options_.model / "model.onnx");
  const Session after(options_.output / "model.onnx");
  for (const testing::FixtureCase& example : testing::read_cases(file)) {
    const Array expected = before.run(example.inputs).front();
    const Array actual = after.run(example.inputs).front();
    double signal = 0;
    double noise = 0;
    for (std::int64_t i = 0; i < expected.element_count(); ++i) {
      const double difference = actual.data<float>()[i] - expected.data<float>()[i];
      signal += expected.data<float>()[i] * expected.data<float>()[i];
      noise += difference * difference;
    }
    EXPECT_GT(noise, 0);
    EXPECT_LT(noise, 0.01 * signal);
  }
}

TEST_F(FloatWeights, WhatFloatsLackIsRefused) {
  const auto refuses = [&](const std::string& part, const auto& change) {
    WeightQuantizationOptions request = options_;
    change(request.config);
    const std::string message = message_of(ErrorKind::InvalidArgument, [&] { quantize_weights(request); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_FALSE(fs::exists(options_.output));
  };
  refuses("format QDQ only", [](WeightQuantizationConfig& config) { config.format = QuantFormat::QOperator; });
  refuses("no zero points", [](WeightQuantizationConfig& config) { config.is_symmetric = false; });
  refuses("rounded to nearest", [](WeightQuantizationConfig& config) { config.algorithm = WeightAlgorithm::KQuant; });
  refuses("2 bits", [](WeightQuantizationConfig& config) { config.bits = 2; });
}

/// Codes of float4e2m1 and back, and what lies between: the even code of two that are as near.
TEST(Float4, RoundsToTheNearest) {
  for (std::uint8_t code = 0; code < 16; ++code)
    EXPECT_EQ(float32_to_float4_e2m1(float4_e2m1_to_float32(code)), code) << int{code};
  const std::vector<std::pair<float, float>> rounded{{0.25F, 0}, {0.26F, 0.5F}, {0.75F, 1}, {1.25F, 1}, {1.75F, 2},
                                                     {2.5F, 2},  {3.5F, 4},     {5, 4},     {5.01F, 6}, {100, 6}};
  for (const auto& [value, expected] : rounded) {
    EXPECT_EQ(float4_e2m1_to_float32(float32_to_float4_e2m1(value)), expected) << value;
    EXPECT_EQ(float4_e2m1_to_float32(float32_to_float4_e2m1(-value)), -expected) << value;
  }
}

}  // namespace
}  // namespace onnxport
