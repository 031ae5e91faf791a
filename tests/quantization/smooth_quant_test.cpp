// SmoothQuant against the program of its authors (make_smooth_quant_case.py), and what it does for static quantization.
#include "quantization/smooth_quant.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "quantization/measure.h"
#include "support/paths.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;

fs::path case_file() { return testing::source_directory() / "tests/quantization/cases/smooth_quant.safetensors"; }

TensorSource stored(const std::string& name) {
  static const auto tensors = read_safetensors(case_file());
  return tensors.at(name);
}

class SmoothQuantTest : public onnx::TemporaryDirectoryTest {
 protected:
  void SetUp() override { fs::create_directories(directory_ / "model"); }

  /// first = LayerNormalization(x) · first, second = LayerNormalization(x) · secondᵀ
  static onnx::Model model() {
    onnx::Model result = onnx::small_model(stored("gamma"));
    const std::int64_t size = stored("gamma").shape[0];
    result.graph.inputs = {{"x", DataType::Float32, {std::string("batch_size"), size}}};
    result.graph.outputs = {{"y", DataType::Float32, {std::string("batch_size"), stored("first").shape[0]}},
                            {"z", DataType::Float32, {std::string("batch_size"), stored("second").shape[0]}}};
    result.graph.initializers = {{"gamma", stored("gamma")},
                                 {"beta", stored("beta")},
                                 {"first", transpose(stored("first"), {1, 0})},
                                 {"second", stored("second")}};
    result.graph.nodes = {
        {"LayerNormalization", "", "norm", {"x", "gamma", "beta"}, {"h"}, {{"axis", std::int64_t{-1}}}},
        {"MatMul", "", "first_product", {"h", "first"}, {"y"}, {}},
        {"Gemm", "", "second_product", {"h", "second"}, {"z"}, {{"transB", std::int64_t{1}}}}};
    return result;
  }

  fs::path path(const std::string& name) const { return directory_ / "model" / (name + ".onnx"); }
  CalibrationDataOptions data() const { return {.file = case_file(), .model_directory = directory_ / "model"}; }

  onnx::Model smoothed(onnx::Model before, const SmoothQuantConfig& config, std::size_t muls = 0) const {
    const auto all = [](const onnx::Node&) { return true; };
    EXPECT_EQ(quantization::smooth(before, path("model"), config, data(), all, {}).size(), muls);
    return before;
  }

  /// The largest relative error of an output.
  double difference(const onnx::Model& left, const onnx::Model& right) const {
    onnx::write_model(left, path("left"), {});
    onnx::write_model(right, path("right"), {});
    return quantization::output_error(quantization::measure_outputs(path("left"), path("right"), data()));
  }
};

const onnx::Node& node_called(const onnx::Model& model, const std::string& name) {
  const auto& nodes = model.graph.nodes;
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [&](const onnx::Node& node) { return node.name == name; });
  EXPECT_NE(found, nodes.end()) << name;
  return *found;
}

void expect_near(const onnx::Model& model, const std::string& initializer, const TensorSource& expected) {
  const auto& all = model.graph.initializers;
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& entry) { return entry.name == initializer; });
  ASSERT_NE(found, all.end()) << initializer;
  const Array left = materialize(found->source);
  const Array right = materialize(expected);
  ASSERT_EQ(left.shape(), right.shape()) << initializer;
  for (std::int64_t i = 0; i < left.element_count(); ++i)
    ASSERT_NEAR(left.data<float>()[i], right.data<float>()[i], 1e-5F * (1e-3F + std::fabs(right.data<float>()[i])))
        << initializer << " " << i;
}

TEST_F(SmoothQuantTest, AgreesWithTheProgramOfItsAuthors) {
  for (const auto& [name, alpha] : std::map<std::string, double>{{"0.3", 0.3}, {"0.5", 0.5}, {"0.8", 0.8}}) {
    const onnx::Model result = smoothed(model(), {.alpha = alpha});
    ASSERT_EQ(result.graph.nodes.size(), 3U);
    const onnx::Node& norm = node_called(result, "norm");
    expect_near(result, norm.inputs[1], stored(name + ".gamma"));
    expect_near(result, norm.inputs[2], stored(name + ".beta"));
    expect_near(result, node_called(result, "first_product").inputs[1], transpose(stored(name + ".first"), {1, 0}));
    expect_near(result, node_called(result, "second_product").inputs[1], stored(name + ".second"));
    EXPECT_LE(difference(model(), result), 1e-5);
  }
}

TEST_F(SmoothQuantTest, WithoutFoldingAMulDivides) {
  const onnx::Model result = smoothed(model(), {.folding = false}, 1);
  EXPECT_EQ(result.graph.nodes.size(), 4U);
  EXPECT_EQ(node_called(result, "norm").inputs[1], "gamma");
  EXPECT_EQ(node_called(result, "first_product").inputs[0], node_called(result, "second_product").inputs[0]);
  EXPECT_LE(difference(model(), result), 1e-5);
}

/// A residual sum sees the output of the normalization as it was.
TEST_F(SmoothQuantTest, NormalizationsThatOthersReadStay) {
  onnx::Model before = model();
  before.graph.outputs.push_back({"sum", DataType::Float32, before.graph.inputs[0].shape});
  before.graph.nodes.push_back({"Add", "", "residual", {"x", "h"}, {"sum"}, {}});
  const onnx::Model result = smoothed(before, {}, 1);
  EXPECT_EQ(result.graph.nodes.size(), 5U);
  EXPECT_EQ(node_called(result, "residual").inputs[1], "h");
  EXPECT_LE(difference(before, result), 1e-5);
}

/// A weight that meets two values is multiplied differently for each.
TEST_F(SmoothQuantTest, SharedWeightsAreScaledForEachValue) {
  onnx::Model before = model();
  before.graph.nodes.push_back({"Tanh", "", "tanh", {"h"}, {"t"}, {}});
  before.graph.nodes.push_back({"MatMul", "", "third_product", {"t", "first"}, {"w"}, {}});
  before.graph.outputs.push_back({"w", DataType::Float32, before.graph.outputs[0].shape});
  const onnx::Model result = smoothed(before, {}, 2);
  EXPECT_NE(node_called(result, "first_product").inputs[1], node_called(result, "third_product").inputs[1]);
  EXPECT_LE(difference(before, result), 1e-5);
}

TEST_F(SmoothQuantTest, StaticQuantizationLosesLess) {
  onnx::write_model(model(), path("model"), {});
  // (A LayerNormalization that is quantized itself would show its outliers before a Mul divides them.)
  const auto error = [&](std::optional<SmoothQuantConfig> config) {
    fs::remove_all(directory_ / "out");
    QuantizeOptions options{.model = path("model"), .output = directory_ / "out"};
    options.config = AutoQuantizationConfig::avx2(
        {.is_static = true, .per_channel = false, .reduce_range = true, .operators_to_quantize = {"MatMul", "Gemm"}});
    options.calibration = AutoCalibrationConfig::minmax(case_file());
    options.smooth_quant = config;
    const QuantizationResult result = quantize_models(options);
    return quantization::output_error(quantization::measure_outputs(path("model"), result.models.front().path, data()));
  };
  const double plain = error(std::nullopt);
  EXPECT_LT(error(SmoothQuantConfig{}), 0.8 * plain);
  EXPECT_LT(error(SmoothQuantConfig{.folding = false}), 0.8 * plain);
}

// ---- Wrong input ----------------------------------------------------------------------------------------------------

TEST_F(SmoothQuantTest, WrongSettingsAreRefused) {
  onnx::write_model(model(), path("model"), {});
  const auto refusal = [&](const auto& change) {
    QuantizeOptions options{.model = path("model"), .output = directory_ / "out"};
    options.config = AutoQuantizationConfig::avx2({.is_static = true});
    options.calibration = AutoCalibrationConfig::minmax(case_file());
    options.smooth_quant.emplace();
    change(options);
    const std::string message = message_of(ErrorKind::InvalidArgument, [&] { quantize_models(options); });
    EXPECT_FALSE(fs::exists(directory_ / "out"));
    return message;
  };
  EXPECT_NE(refusal([](auto& o) { o.smooth_quant->alpha = 1.5; }).find("not between 0 and 1"), std::string::npos);
  EXPECT_NE(refusal([](auto& o) { o.config = AutoQuantizationConfig::avx2(); }).find("is for static quantization"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& o) {
              o.calibration_tensors_range = {{"h", {0.0F, 1.0F}}};
            }).find("SmoothQuant needs calibration data"),
            std::string::npos);
}

TEST_F(SmoothQuantTest, ActivationsThatAreNoNumbersAreRefused) {
  onnx::Model before = model();
  before.graph.nodes.insert(before.graph.nodes.begin(), {"Log", "", "log", {"x"}, {"l"}, {}});
  before.graph.nodes[1].inputs[0] = "l";
  EXPECT_NE(message_of(ErrorKind::InvalidModel, [&] { smoothed(before, {}); }).find("holds infinities or NaN"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport
