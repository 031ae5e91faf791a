// Algorithms that run the model: whole models, and what they are given.
#include "quantization/weight_only/calibrated_weights.h"

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/weight_quantizer.h"
#include "quantization/measure.h"
#include "support/weight_models.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::write_file;

class CalibratedWeightsTest : public onnx::TemporaryDirectoryTest {
 protected:
  static constexpr std::int64_t kSamples = 12;

  WeightQuantizationOptions options(WeightAlgorithm algorithm) const {
    WeightQuantizationOptions result;
    result.model = directory_ / "model";
    result.output = directory_ / "out";
    result.config.algorithm = algorithm;
    result.config.block_size = 16;
    if (algorithm != WeightAlgorithm::RoundToNearest) result.config.calibration = {.num_samples = kSamples};
    return result;
  }

  /// The largest relative error of an output, on the samples that weights are calibrated with.
  double error_of(const WeightQuantizationOptions& request, const std::string& name) const {
    fs::remove_all(request.output);
    quantize_weights(request);
    return quantization::output_error(
        quantization::measure_outputs(directory_ / "model" / name, directory_ / "out" / name,
                                      {.model_directory = directory_ / "model", .num_samples = kSamples}));
  }

  std::string refusal(const WeightQuantizationOptions& refused, ErrorKind kind) const {
    const std::string message = message_of(kind, [&] { quantize_weights(refused); });
    EXPECT_FALSE(fs::exists(directory_ / "out")) << message;
    return message;
  }
};

TEST_F(CalibratedWeightsTest, OutputsAreNearerThanThoseOfRoundedWeights) {
  for (const auto& [fixture, task] : std::vector<std::pair<std::string, std::string>>{
           {"bert", "feature-extraction"}, {"gpt2", "text-generation"}, {"vit", "image-classification"}}) {
    fs::remove_all(directory_ / "model");
    fs::remove_all(directory_ / "checkpoint");
    const testing::FixtureFile file = testing::export_fixture(fixture, task, directory_);
    const double rounded = error_of(options(WeightAlgorithm::RoundToNearest), file.submodel + ".onnx");
    for (const WeightAlgorithm algorithm : {WeightAlgorithm::Gptq, WeightAlgorithm::Awq})
      EXPECT_LT(error_of(options(algorithm), file.submodel + ".onnx"), rounded) << fixture;
  }
}

TEST_F(CalibratedWeightsTest, ModelsComputeWithTheWeightsThatTheIntegersStandFor) {
  const testing::FixtureFile file = testing::export_fixture("gpt2", "text-generation", directory_);
  for (const WeightAlgorithm algorithm : {WeightAlgorithm::Gptq, WeightAlgorithm::Awq}) {
    for (const bool is_symmetric : {true, false}) {
      WeightQuantizationOptions request = options(algorithm);
      request.config.is_symmetric = is_symmetric;
      request.config.op_types = {"MatMul", "Gemm", "Gather"};
      fs::remove_all(request.output);
      const WeightQuantizationResult result = quantize_weights(request);
      for (const QuantizedWeightReport& weight : result.weights) EXPECT_GT(weight.sqnr, 10) << weight.weight;
      const fs::path quantized = directory_ / "out" / "model.onnx";
      onnx::write_model(testing::dequantize(onnx::read_model(quantized)), directory_ / "dequantized.onnx", {});
      const quantization::ModelMeasurement measured = quantization::measure_outputs(
          directory_ / "dequantized.onnx", quantized, {.model_directory = directory_ / "model", .num_samples = 3});
      EXPECT_LE(quantization::output_error(measured), 1e-4);
    }
  }
}

/// Weights that would need too much memory together are solved in several passes over the samples.
TEST_F(CalibratedWeightsTest, PassesOverTheSamplesDoNotChangeTheResult) {
  testing::export_fixture("bert", "feature-extraction", directory_);
  const fs::path file = directory_ / "model" / "model.onnx";
  const WeightQuantizationConfig config = options(WeightAlgorithm::Gptq).config;
  const onnx::Model original = onnx::read_model(file);
  const auto solve = [&](std::uint64_t bytes, int& samples) {
    onnx::Model model = original;
    quantization::QuantizedGraph graph = quantization::quantize_graph(model, config);
    quantization::SolveOptions solve_options{.file = file, .config = config, .activation_bytes = bytes};
    solve_options.progress = [&](std::string_view stage, std::uint64_t, std::uint64_t) {
      samples += stage.starts_with("Calibrating") ? 1 : 0;
    };
    quantization::solve_weights(original, graph.weights, solve_options);
    return graph;
  };
  int samples_at_once = 0;
  int samples_one_by_one = 0;
  const quantization::QuantizedGraph at_once = solve(1 << 30, samples_at_once);
  const quantization::QuantizedGraph one_by_one = solve(1, samples_one_by_one);
  EXPECT_EQ(samples_at_once, kSamples);
  EXPECT_GE(samples_one_by_one, 4 * kSamples);
  ASSERT_EQ(at_once.weights.size(), one_by_one.weights.size());
  for (std::size_t i = 0; i < at_once.weights.size(); ++i) {
    const Array left = materialize(at_once.weights[i].quantized.packed());
    const Array right = materialize(one_by_one.weights[i].quantized.packed());
    ASSERT_EQ(left.shape(), right.shape());
    EXPECT_EQ(std::memcmp(left.bytes().data(), right.bytes().data(), left.bytes().size()), 0)
        << at_once.weights[i].weight;
  }
}

// ---- Branches of If -------------------------------------------------------------------------------------------------

/// h = tanh(x); y = condition ? h · weight : tanh(h · weight) · weight
onnx::Model branching_model() {
  const onnx::ValueInfo y{"", DataType::Float32, {std::string("rows"), std::int64_t{32}}};
  onnx::Graph once;
  once.name = "once";
  once.outputs = {y};
  once.outputs[0].name = "once_y";
  once.nodes = {{"MatMul", "", "once_product", {"h", "weight"}, {"once_y"}, {}}};
  onnx::Graph twice;
  twice.name = "twice";
  twice.outputs = {y};
  twice.outputs[0].name = "twice_y";
  twice.nodes = {{"MatMul", "", "twice_first", {"h", "weight"}, {"twice_x"}, {}},
                 {"Tanh", "", "twice_tanh", {"twice_x"}, {"twice_h"}, {}},
                 {"MatMul", "", "twice_second", {"twice_h", "weight"}, {"twice_y"}, {}}};
  Array weight(DataType::Float32, {32, 32});
  for (std::int64_t i = 0; i < weight.element_count(); ++i)
    weight.mutable_data<float>()[i] = std::sin(static_cast<float>(i * i));
  onnx::Model model = onnx::small_model(from_array(weight));
  model.graph.inputs = {{"condition", DataType::Bool, {std::int64_t{1}}},
                        {"x", DataType::Float32, {std::string("rows"), std::int64_t{32}}}};
  model.graph.outputs = {y};
  model.graph.outputs[0].name = "y";
  model.graph.nodes = {{"Tanh", "", "tanh", {"x"}, {"h"}, {}},
                       {"If",
                        "",
                        "if",
                        {"condition"},
                        {"y"},
                        {{"then_branch", onnx::Subgraph(once)}, {"else_branch", onnx::Subgraph(twice)}}}};
  return model;
}

TEST_F(CalibratedWeightsTest, BranchesAreObservedWhereTheyAreTaken) {
  fs::create_directories(directory_ / "model");
  onnx::write_model(branching_model(), directory_ / "model" / "model.onnx", {});
  std::string lines;
  for (int sample = 0; sample < 20; ++sample) {
    std::string values;
    for (int i = 0; i < 32; ++i) values += (i == 0 ? "" : ",") + std::to_string(std::cos(0.37 * (sample * 32 + i)));
    lines += "{\"condition\": " + std::string(sample % 2 == 0 ? "true" : "false") + ", \"x\": [" + values + "]}\n";
  }
  write_file(directory_ / "data.jsonl", lines);
  const auto error_of_algorithm = [&](WeightAlgorithm algorithm) {
    WeightQuantizationOptions request = options(algorithm);
    if (request.config.calibration) request.config.calibration->data = directory_ / "data.jsonl";
    fs::remove_all(request.output);
    EXPECT_EQ(quantize_weights(request).weights.size(), 1U);
    return quantization::output_error(
        quantization::measure_outputs(directory_ / "model" / "model.onnx", directory_ / "out" / "model.onnx",
                                      {.file = directory_ / "data.jsonl", .model_directory = directory_ / "model"}));
  };
  EXPECT_LT(error_of_algorithm(WeightAlgorithm::Gptq), error_of_algorithm(WeightAlgorithm::RoundToNearest));
}

// ---- Wrong input ----------------------------------------------------------------------------------------------------

TEST_F(CalibratedWeightsTest, DataThatDoNotFitAreRefused) {
  testing::export_fixture("bert", "feature-extraction", directory_);
  for (const WeightAlgorithm algorithm : {WeightAlgorithm::Gptq, WeightAlgorithm::Awq}) {
    WeightQuantizationOptions request = options(algorithm);
    request.config.calibration = std::nullopt;
    EXPECT_NE(refusal(request, ErrorKind::InvalidArgument).find("the algorithm needs calibration data"),
              std::string::npos);
    const auto refuse = [&](const std::string& lines) {
      write_file(directory_ / "data.jsonl", lines);
      request.config.calibration = {.data = directory_ / "data.jsonl"};
      return refusal(request, ErrorKind::InvalidArgument);
    };
    EXPECT_NE(refuse("\n").find("data.jsonl is empty"), std::string::npos);
    EXPECT_NE(refuse("{\"input_ids\": [[[1, 2]]]}\n").find("line 1 of data.jsonl"), std::string::npos);
    EXPECT_NE(refuse("{\"words\": [1, 2]}\n").find("none of the model's inputs is in it"), std::string::npos);
    request.config.calibration = {.data = directory_ / "nothing.jsonl"};
    EXPECT_NE(refusal(request, ErrorKind::InvalidArgument).find("there is no calibration data"), std::string::npos);
    request.config.calibration = {.num_samples = 0};
    EXPECT_NE(refusal(request, ErrorKind::InvalidArgument).find("at least one sample"), std::string::npos);
    request = options(algorithm);
    request.config.bits = 3;
    EXPECT_EQ(refusal(request, ErrorKind::InvalidArgument), "weights are 3 bits; there are 2, 4 and 8");
  }
}

TEST_F(CalibratedWeightsTest, DampingIsAboveZero) {
  testing::export_fixture("bert", "feature-extraction", directory_);
  WeightQuantizationOptions request = options(WeightAlgorithm::Gptq);
  request.config.gptq.percdamp = 0;
  EXPECT_NE(refusal(request, ErrorKind::InvalidArgument).find("it must be a number above 0"), std::string::npos);
}

TEST_F(CalibratedWeightsTest, ActivationsThatAreNoNumbersAreRefused) {
  fs::create_directories(directory_ / "model");
  onnx::Model model = onnx::small_model(from_array(onnx::counting({4, 4})));
  model.graph.nodes[0].op_type = "MatMul";
  model.graph.nodes[0].inputs[0] = "logarithm";
  model.graph.nodes.insert(model.graph.nodes.begin(), {"Log", "", "log", {"x"}, {"logarithm"}, {}});
  onnx::write_model(model, directory_ / "model" / "model.onnx", {});
  write_file(directory_ / "data.jsonl", "{\"x\": [1, -1, 1, 1]}\n");
  WeightQuantizationOptions request = options(WeightAlgorithm::Gptq);
  request.config.calibration = {.data = directory_ / "data.jsonl"};
  EXPECT_NE(refusal(request, ErrorKind::InvalidModel).find("multiplies holds infinities or NaN"), std::string::npos);
}

}  // namespace
}  // namespace onnxport
