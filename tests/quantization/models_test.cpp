// Models of every family that onnxport exports, quantized, under ONNX Runtime.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "architectures/build.h"
#include "checkpoint/checkpoint.h"
#include "onnx/lowering.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/quantizer.h"
#include "runtime/session.h"
#include "support/fixture.h"
#include "unit/onnx_test_support.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

/// One file of each submodel of each fixture's first task.
std::vector<FixtureFile> spread() {
  std::vector<FixtureFile> files;
  std::set<std::string> seen;
  for (const FixtureFile& file : fixture_files()) {
    const std::string model_type = file.fixture.substr(0, file.fixture.find('.'));
    if (seen.insert(model_type + "/" + file.submodel).second) files.push_back(file);
  }
  return files;
}

class QuantizedModel : public ::testing::TestWithParam<FixtureFile> {
 protected:
  void SetUp() override {
    std::string name = (fs::canonical(fs::temp_directory_path()) / "onnxport-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    const FixtureFile& file = GetParam();
    write_checkpoint(file, directory_);  // config.json tells what made-up inputs may be
    const Checkpoint checkpoint = materialize_checkpoint(file);
    for (const BuiltModel& model : build_task(checkpoint, architecture_of(Config(checkpoint.config)), file.task).models)
      if (model.name == file.submodel)
        onnx::write_model(onnx::lower_graph(*model.graph, {}), directory_ / "model.onnx", {});
    ASSERT_TRUE(fs::exists(directory_ / "model.onnx"));
  }
  void TearDown() override { fs::remove_all(directory_); }

  /// Relative error of all outputs of the cases together, root mean square.
  double error_of(const fs::path& model, std::span<const FixtureCase> cases) const;

  fs::path directory_;
};

struct Difference {
  double noise = 0;
  double signal = 0;
};

void add(Difference& difference, const Array& actual, const Array& expected) {
  ASSERT_EQ(actual.shape(), expected.shape());
  if (expected.data_type() != DataType::Float32) return;
  for (std::int64_t i = 0; i < expected.element_count(); ++i) {
    const double real = expected.data<float>()[i];
    const double quantized = actual.data<float>()[i];
    ASSERT_TRUE(std::isfinite(quantized) || !std::isfinite(real));
    if (!std::isfinite(real) || std::fabs(real) > 1e6) continue;  // logits of excluded tokens
    difference.noise += (real - quantized) * (real - quantized);
    difference.signal += real * real;
  }
}

double QuantizedModel::error_of(const fs::path& model, std::span<const FixtureCase> cases) const {
  const Session real(directory_ / "model.onnx", {.intra_op_num_threads = 1});
  const Session quantized(model, {.intra_op_num_threads = 1});
  Difference difference;
  for (const FixtureCase& example : cases) {
    const std::vector<Array> expected = real.run(example.inputs);
    const std::vector<Array> actual = quantized.run(example.inputs);
    for (std::size_t i = 0; i < expected.size(); ++i) add(difference, actual[i], expected[i]);
  }
  return std::sqrt(difference.noise / difference.signal);
}

/// Largest error: 0.033 was seen (t5's encoder), 0.01 to 0.02 of
/// most. A wrong scale, channel or zero point is an error near 1.
constexpr double tolerance = 0.05;

TEST_P(QuantizedModel, RunsWithinItsTolerance) {
  const FixtureFile& file = GetParam();
  QuantizeOptions options{.model = directory_, .output = directory_ / "out"};
  // Unsigned weights: products of signed ones saturate on processors without VNNI, and the error would be theirs.
  options.config = AutoQuantizationConfig::avx2({.per_channel = true});
  const QuantizationResult result = quantize_models(options);
  EXPECT_GT(result.models.at(0).quantized_nodes.size(), 0U);
  const double error = error_of(result.models.at(0).path, read_cases(file));
  RecordProperty("relative_error", std::to_string(error));
  EXPECT_LT(error, tolerance);
}

TEST_P(QuantizedModel, IsCalibratedWithItsInputs) {
  const std::vector<FixtureCase> cases{read_cases(GetParam()).front()};
  std::map<std::string, TensorSource, std::less<>> inputs;
  for (const auto& [name, array] : cases.front().inputs) inputs.emplace(name, from_array(array));
  write_safetensors(directory_ / "inputs.safetensors", inputs);
  QuantizeOptions options{.model = directory_, .output = directory_ / "out"};
  options.config = AutoQuantizationConfig::avx2({.is_static = true, .per_channel = true});
  options.calibration = AutoCalibrationConfig::minmax(directory_ / "inputs.safetensors");
  const QuantizationResult result = quantize_models(options);
  const double error = error_of(result.models.at(0).path, cases);
  RecordProperty("relative_error", std::to_string(error));
  options.config.format = QuantFormat::QOperator;
  options.config.per_channel = false;  // Conv's channels are signed whatever is said, and saturate
  // All operators of this format have an Add of an attention mask quantized, whose range leaves nothing of the scores.
  options.config.operators_to_quantize = {"Conv", "Gemm", "MatMul", "Gather", "Reshape", "Transpose"};
  options.output = directory_ / "qoperator";
  const double operator_error = error_of(quantize_models(options).models.at(0).path, cases);
  RecordProperty("relative_error_qoperator", std::to_string(operator_error));
  EXPECT_LT(operator_error, 0.1);
  // 0.048 was seen (t5's encoder), 0.02 to 0.03 of most: activations are rounded by ranges that are found once.
  EXPECT_LT(error, 0.1);
}

TEST_P(QuantizedModel, IsCalibratedWithRandomInputs) {
  QuantizeOptions options{.model = directory_, .output = directory_ / "out"};
  options.config = AutoQuantizationConfig::avx2({.is_static = true});
  options.calibration = AutoCalibrationConfig::percentiles({});
  options.calibration->num_samples = 2;
  options.calibration->max_length = 16;
  EXPECT_NO_THROW(Session(quantize_models(options).models.at(0).path));
}

std::string name_of(const ::testing::TestParamInfo<FixtureFile>& parameter) {
  std::string name = parameter.param.fixture + "_" + parameter.param.submodel;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Families, QuantizedModel, ::testing::ValuesIn(spread()), name_of);

/// A branch of a merged decoder: y = x times weight, both of the graph around it.
onnx::Subgraph branch(const std::string& name) {
  onnx::Graph graph;
  graph.name = name;
  graph.outputs = {{.name = name + "_y", .shape = {std::int64_t{2}, std::int64_t{4}}}};
  graph.nodes = {{.op_type = "Gemm",
                  .domain = {},
                  .name = name + "/Gemm",
                  .inputs = {"x", "weight"},
                  .outputs = {name + "_y"},
                  .attributes = {{"transB", std::int64_t{1}}}}};
  return onnx::Subgraph(std::move(graph));
}

using QuantizedBranches = onnx::TemporaryDirectoryTest;

TEST_F(QuantizedBranches, ShareTheirWeights) {
  onnx::Model model;
  model.opset_imports = {{"", 17}};
  model.graph.inputs = {{.name = "x", .shape = {std::int64_t{2}, std::int64_t{3}}},
                        {.name = "use_cache_branch", .data_type = DataType::Bool, .shape = {std::int64_t{1}}}};
  model.graph.outputs = {{.name = "y", .shape = {std::int64_t{2}, std::int64_t{4}}}};
  model.graph.initializers = {{"weight", from_array(onnx::counting({4, 3}))}};
  model.graph.nodes = {{.op_type = "If",
                        .domain = {},
                        .name = "optimum::if",
                        .inputs = {"use_cache_branch"},
                        .outputs = {"y"},
                        .attributes = {{"then_branch", branch("then")}, {"else_branch", branch("else")}}}};
  fs::create_directories(directory_ / "in");
  onnx::write_model(model, directory_ / "in" / "model.onnx", {});
  QuantizeOptions options{.model = directory_ / "in", .output = directory_ / "out"};
  options.config = AutoQuantizationConfig::avx2();
  options.statistics = true;
  const QuantizationResult result = quantize_models(options);
  EXPECT_EQ(result.models[0].quantized_nodes, (std::map<std::string, int>{{"Gemm", 2}}));
  ASSERT_EQ(result.errors.size(), 1U);
  EXPECT_EQ(result.errors[0].node, "then/Gemm");
  EXPECT_EQ(result.errors[0].elements, 12U);
  EXPECT_GT(result.errors[0].sqnr, 40);
  EXPECT_GT(result.errors[0].cosine, 0.9999);
  EXPECT_LE(result.errors[0].max_error, 11.0 / 127 / 2 * 1.01);

  const onnx::Model written = onnx::read_model(result.models[0].path);
  std::vector<std::string> names;
  for (const onnx::Initializer& initializer : written.graph.initializers) names.push_back(initializer.name);
  EXPECT_EQ(names, (std::vector<std::string>{"weight_Transposed_quantized", "weight_Transposed_scale",
                                             "weight_Transposed_zero_point"}));
  for (const onnx::Attribute& attribute : written.graph.nodes.back().attributes)
    EXPECT_TRUE(std::get<onnx::Subgraph>(attribute.value)->initializers.empty());

  const Session session(result.models[0].path);
  const Array x = onnx::counting({2, 3}, -2);
  for (const std::uint8_t use_cache : {std::uint8_t{0}, std::uint8_t{1}}) {
    const Array flag = Array::of<std::uint8_t>(DataType::Bool, {1}, std::vector{use_cache});
    const std::vector<std::pair<std::string, Array>> inputs{{"x", x}, {"use_cache_branch", flag}};
    const Array y = session.run(inputs).at(0);
    EXPECT_NEAR(y.data<float>()[0], 0 * -2 + 1 * -1 + 2 * 0, 0.2);
    EXPECT_NEAR(y.data<float>()[7], 9 * 1 + 10 * 2 + 11 * 3, 0.5);
  }
}

}  // namespace
}  // namespace onnxport::testing
