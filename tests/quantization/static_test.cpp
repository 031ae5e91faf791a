// Static quantization against what onnxruntime's calibrators and Optimum's ORTQuantizer made of the same model and data
// (make_static_fixtures.py).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/json.h"
#include "onnxport/quantizer.h"
#include "quantization/calibration.h"
#include "quantization/graph_description.h"
#include "runtime/session.h"
#include "support/paths.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::read_file;
using onnx::write_file;

fs::path fixtures() { return testing::source_directory() / "tests/quantization/fixtures/static"; }

CalibrationConfig calibration_of(const Json& json) {
  CalibrationConfig config;
  config.data = fixtures() / "data.safetensors";
  const std::string& method = json.find("method")->string();
  config.method = method == "MinMax"    ? CalibrationMethod::MinMax
                  : method == "Entropy" ? CalibrationMethod::Entropy
                                        : CalibrationMethod::Percentile;
  if (const Json* value = json.find("num_bins")) config.num_bins = value->integer();
  if (const Json* value = json.find("num_quantized_bins")) config.num_quantized_bins = value->integer();
  if (const Json* value = json.find("percentile")) config.percentile = value->number();
  if (const Json* value = json.find("moving_average")) config.moving_average = value->boolean();
  return config;
}

class StaticFixture : public onnx::TemporaryDirectoryTest, public ::testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    TemporaryDirectoryTest::SetUp();
    fixture_ = parse_json(read_file(fixtures() / (GetParam() + ".json")), GetParam());
    write_file(directory_ / "ort_config.json", dump_json(*fixture_.find("config")));
    config_ = quantization_config_from_file(directory_);
  }

  Json fixture_;
  QuantizationConfig config_;
};

/// Processors round the model's products differently: ranges are compared closely, and to the bit below.
TEST_P(StaticFixture, CalibratesAsOnnxruntime) {
  const ORTQuantizer quantizer = ORTQuantizer::from_pretrained(fixtures(), fixture_.find("model")->string());
  const CalibrationRanges ranges =
      quantizer.fit(calibration_of(*fixture_.find("calibration")), config_.operators_to_quantize,
                    config_.activations_symmetric && config_.weights_symmetric);
  for (const auto& [name, expected] : fixture_.find("ranges")->object()) {
    ASSERT_TRUE(ranges.contains(name)) << name;
    const double low = expected.array()[0].number();
    const double high = expected.array()[1].number();
    const double tolerance = 1e-5 * std::max(std::fabs(low), std::fabs(high));
    EXPECT_NEAR(ranges.at(name).first, low, tolerance) << name;
    EXPECT_NEAR(ranges.at(name).second, high, tolerance) << name;
  }
  EXPECT_EQ(ranges.size(), fixture_.find("ranges")->object().size());
}

TEST_P(StaticFixture, QuantizesAsOnnxruntime) {
  CalibrationRanges ranges;
  for (const auto& [name, range] : fixture_.find("ranges")->object())
    ranges[name] = {static_cast<float>(range.array()[0].number()), static_cast<float>(range.array()[1].number())};
  const ORTQuantizer quantizer = ORTQuantizer::from_pretrained(fixtures(), fixture_.find("model")->string());
  const QuantizationResult result = quantizer.quantize(config_, directory_ / "out", ranges);
  EXPECT_EQ(parse_json(read_file(directory_ / "out" / "ort_config.json"), "ours"), *fixture_.find("config"));
  expect_graphs(result.models.at(0).path, *fixture_.find("graphs"));
  EXPECT_NO_THROW(Session(result.models.at(0).path));
}

INSTANTIATE_TEST_SUITE_P(All, StaticFixture, ::testing::ValuesIn(case_names(fixtures())),
                         [](const auto& name) { return name.param; });

// ---- Histograms -----------------------------------------------------------------------------------------------------

TEST(Histogram, CountsAsNumpy) {
  quantization::Histogram histogram = quantization::empty_histogram(1, 4);
  EXPECT_EQ(histogram.edges, (std::vector<float>{-1, -0.5, 0, 0.5, 1}));
  const std::vector<float> values{-1, -0.5, -0.2F, 0, 0.49F, 0.5, 1, 1.5, NAN};
  quantization::add_values(histogram, values);
  EXPECT_EQ(histogram.counts, (std::vector<std::int64_t>{1, 2, 2, 2}));
}

TEST(Histogram, OfMasksLeavesTheRangeAsSeen) {
  for (const float lowest : {-INFINITY, std::numeric_limits<float>::lowest()}) {
    quantization::Histogram histogram = quantization::empty_histogram(-lowest, 8);
    quantization::add_values(histogram, std::vector<float>{lowest, 0});
    const quantization::ValueRange seen{lowest, 0};
    for (const quantization::ValueRange& range :
         {quantization::percentile_range(histogram, 99, seen), quantization::entropy_range(histogram, 4, seen)}) {
      EXPECT_EQ(range.minimum, lowest);
      EXPECT_EQ(range.maximum, 0);
    }
  }
}

TEST(Histogram, OfZerosSpansNumpysRange) {
  EXPECT_EQ(quantization::empty_histogram(0, 2).edges, (std::vector<float>{-0.5, 0, 0.5}));
}

// ---- Wrong data -----------------------------------------------------------------------------------------------------

class CalibrationInput : public onnx::TemporaryDirectoryTest {
 protected:
  std::string refused(const fs::path& data, ErrorKind kind = ErrorKind::InvalidArgument) const {
    QuantizeOptions options;
    options.model = fixtures() / "static.onnx";
    options.output = directory_ / "out";
    options.config = AutoQuantizationConfig::avx2({.is_static = true});
    options.calibration = AutoCalibrationConfig::minmax(data);
    const std::string message = message_of(kind, [&] { quantize_models(options); });
    EXPECT_FALSE(fs::exists(directory_ / "out"));
    return message;
  }
  std::string refused_lines(const std::string& lines) const {
    write_file(directory_ / "data.jsonl", lines);
    return refused(directory_ / "data.jsonl");
  }
};

TEST_F(CalibrationInput, OfJsonLinesIsChecked) {
  EXPECT_NE(refused_lines("").find("is empty"), std::string::npos);
  EXPECT_NE(refused_lines("\n  \n").find("is empty"), std::string::npos);
  EXPECT_NE(refused_lines("{\"image\": ").find("line 1 of data.jsonl"), std::string::npos);
  EXPECT_NE(refused_lines("\n{\"other\": [1]}").find("line 2 of data.jsonl: none of the model's inputs is in it"),
            std::string::npos);
  EXPECT_NE(refused_lines("5").find("line 1 of data.jsonl: none of the model's inputs is in it"), std::string::npos);
  EXPECT_NE(refused_lines("{\"ids\": [[1, 2], [3]]}").find("ids has rows of different lengths"), std::string::npos);
  EXPECT_NE(refused_lines("{\"ids\": [\"a\"]}").find("ids is not made of numbers"), std::string::npos);
  EXPECT_NE(refused_lines("{\"ids\": [1, 2, 3, 4], \"image\": [1, 2]}").find("line 1 of data.jsonl: "),
            std::string::npos);
}

TEST_F(CalibrationInput, OfSafetensorsIsChecked) {
  const fs::path path = directory_ / "data.safetensors";
  write_safetensors(path, {{"other", from_array(onnx::counting({2}))}});
  EXPECT_NE(refused(path).find("has no input of the model: image, ids"), std::string::npos);
  write_safetensors(path, {{"image", from_array(onnx::counting({0, 2, 8, 8}))}});
  EXPECT_NE(refused(path).find("is empty"), std::string::npos);
  write_safetensors(path, {{"image", from_array(onnx::counting({2, 2, 8, 8}))},
                           {"ids", from_array(Array::int64({1, 4}, std::vector<std::int64_t>{0, 1, 2, 3}))}});
  EXPECT_NE(refused(path).find("samples, others have"), std::string::npos);
  write_file(path, "no safetensors");
  refused(path);
  EXPECT_NE(refused(directory_ / "absent.jsonl").find("there is no calibration data"), std::string::npos);
}

TEST_F(CalibrationInput, OfWrongShapeIsRefused) {
  const fs::path path = directory_ / "data.safetensors";
  write_safetensors(path, {{"image", from_array(onnx::counting({1, 3, 8, 8}))},
                           {"ids", from_array(Array::int64({1, 4}, std::vector<std::int64_t>{0, 1, 2, 3}))}});
  EXPECT_NE(refused(path).find("image"), std::string::npos);
}

TEST_F(CalibrationInput, CannotRunCustomOperators) {
  onnx::Model model = onnx::read_model(fixtures() / "static.onnx");
  model.graph.nodes.front().domain = "my.domain";
  model.opset_imports["my.domain"] = 1;
  fs::create_directories(directory_ / "in");
  onnx::write_model(model, directory_ / "in" / "model.onnx", {});
  QuantizeOptions options;
  options.model = directory_ / "in";
  options.output = directory_ / "out";
  options.config = AutoQuantizationConfig::avx2({.is_static = true});
  options.calibration = AutoCalibrationConfig::minmax(fixtures() / "data.safetensors");
  const std::string message = message_of(ErrorKind::InvalidModel, [&] { quantize_models(options); });
  EXPECT_NE(message.find("custom operator Conv of my.domain, which ONNX Runtime cannot run"), std::string::npos);
}

TEST_F(CalibrationInput, HowIsChecked) {
  const auto refused_method = [&](const CalibrationConfig& config) {
    const ORTQuantizer quantizer = ORTQuantizer::from_pretrained(fixtures(), "static.onnx");
    return message_of(ErrorKind::InvalidArgument, [&] { quantizer.fit(config); });
  };
  EXPECT_EQ(refused_method(AutoCalibrationConfig::minmax({}, true, 1.5)),
            "averaging_constant is 1.500000, not between 0 and 1");
  EXPECT_EQ(refused_method(AutoCalibrationConfig::entropy({}, 0)), "num_bins is 0; 1 or more are needed");
  EXPECT_EQ(refused_method(AutoCalibrationConfig::entropy({}, 64)),
            "num_quantized_bins is 128, not between 1 and num_bins (64)");
  EXPECT_EQ(refused_method(AutoCalibrationConfig::percentiles({}, 2048, 101)),
            "percentile is 101.000000, not between 0 and 100");
}

TEST_F(CalibrationInput, ThatMakesAValueInfiniteIsRefused) {
  CalibrationRanges ranges;
  const ORTQuantizer quantizer = ORTQuantizer::from_pretrained(fixtures(), "static.onnx");
  for (const auto& [name, range] : quantizer.fit(AutoCalibrationConfig::minmax({}))) ranges[name] = range;
  ranges.at("scores").second = INFINITY;
  const QuantizationConfig config = AutoQuantizationConfig::avx2({.is_static = true});
  EXPECT_NE(message_of(ErrorKind::InvalidArgument, [&] { quantizer.quantize(config, directory_ / "out", ranges); })
                .find("the value \"scores\" is infinite"),
            std::string::npos);
  ranges.erase("scores");
  EXPECT_EQ(message_of(ErrorKind::InvalidArgument, [&] { quantizer.quantize(config, directory_ / "out", ranges); }),
            "calibration has found no range for the value \"scores\"");
}

TEST_F(CalibrationInput, OfOldModelsIsRefused) {
  const auto refused_opset = [&](int opset, QuantFormat format, bool per_channel) {
    onnx::Model model = onnx::read_model(fixtures() / "operators.onnx");
    model.opset_imports[""] = opset;
    fs::create_directories(directory_ / "in");
    onnx::write_model(model, directory_ / "in" / "model.onnx", {});
    QuantizeOptions options;
    options.model = directory_ / "in";
    options.output = directory_ / "out";
    options.config = AutoQuantizationConfig::avx2({.is_static = true, .per_channel = per_channel});
    options.config.format = format;
    options.calibration_tensors_range = {{"c1", {-1, 1}}};
    return message_of(ErrorKind::InvalidModel, [&] { quantize_models(options); });
  };
  for (const QuantFormat format : {QuantFormat::QDQ, QuantFormat::QOperator}) {
    EXPECT_EQ(refused_opset(10, format, false),
              "the model has opset 10; quantization needs 11 or later: export it again");
  }
  EXPECT_TRUE(refused_opset(12, QuantFormat::QDQ, true).starts_with("the model has opset 12; scales for each channel"));
}

// ---- QOperator ------------------------------------------------------------------------------------------------------

/// Where onnxruntime's quantizer gives wrong numbers: a bias that layers share, and a Relu beside another reader.
TEST_F(CalibrationInput, OfSharedBiasesAndReadersStaysTrue) {
  onnx::Model model;
  model.ir_version = 8;
  model.opset_imports = {{"", 17}};
  model.graph.inputs = {{.name = "x", .shape = {std::int64_t{1}, std::int64_t{4}}}};
  for (const char* name : {"y", "z"})
    model.graph.outputs.push_back({.name = name, .shape = {std::int64_t{1}, std::int64_t{4}}});
  model.graph.initializers = {{"weight", from_array(onnx::counting({4, 4}, -8))},
                              {"bias", from_array(onnx::counting({4}, -40))}};
  const auto add = [&](const char* op_type, std::vector<std::string> inputs, const char* output) {
    model.graph.nodes.push_back({.op_type = op_type,
                                 .domain = {},
                                 .name = std::string("/") + output,
                                 .inputs = std::move(inputs),
                                 .outputs = {output},
                                 .attributes = {}});
  };
  add("Gemm", {"x", "weight", "bias"}, "first");
  add("Gemm", {"first", "weight", "bias"}, "second");
  add("Relu", {"second"}, "y");
  add("Mul", {"second", "second"}, "z");
  fs::create_directories(directory_ / "in");
  onnx::write_model(model, directory_ / "in" / "model.onnx", {});
  const Array x = Array::float32({1, 4}, std::vector<float>{1, -2, 3, -1});
  write_safetensors(directory_ / "x.safetensors", {{"x", from_array(x)}});
  const std::vector<Array> expected = Session(directory_ / "in" / "model.onnx").run(NamedArrays{{"x", x}});
  for (const QuantFormat format : {QuantFormat::QOperator, QuantFormat::QDQ}) {
    QuantizeOptions options;
    options.model = directory_ / "in";
    options.output = directory_ / (format == QuantFormat::QDQ ? "qdq" : "qoperator");
    options.config = AutoQuantizationConfig::avx2({.is_static = true});
    options.config.format = format;
    options.calibration = AutoCalibrationConfig::minmax(directory_ / "x.safetensors");
    const QuantizationResult result = quantize_models(options);
    EXPECT_EQ(result.models[0].quantized_nodes.at("Gemm"), 2);
    const std::vector<Array> actual = Session(result.models[0].path).run(NamedArrays{{"x", x}});
    for (std::size_t i = 0; i < expected.size(); ++i) {
      float largest = 0;
      for (const float value : expected[i].values<float>()) largest = std::max(largest, std::fabs(value));
      for (std::size_t k = 0; k < 4; ++k)
        EXPECT_NEAR(actual[i].data<float>()[k], expected[i].data<float>()[k], 0.03 * largest);
    }
  }
}

// ---- Passes ---------------------------------------------------------------------------------------------------------

TEST_F(CalibrationInput, PreprocessorPassesNameNodes) {
  const fs::path model = fixtures() / "static.onnx";
  QuantizationPreprocessor preprocessor;
  preprocessor.register_pass(ExcludeNodeFollowedBy("MatMul", "Softmax"));
  preprocessor.register_pass(ExcludeNodeAfter("Relu", "MaxPool"));
  preprocessor.register_pass(IncludeFullyConnectedNodes());
  const QuantizationPreprocessor::Nodes nodes = preprocessor.collect(model);
  EXPECT_EQ(nodes.to_exclude, (std::vector<std::string>{"/layer/MatMul/scores", "/layer/MaxPool/m1"}));
  EXPECT_EQ(nodes.to_quantize, (std::vector<std::string>{"/layer/Gemm/g1", "/layer/Gemm/g2", "/layer/Gemm/g3"}));

  onnx::Model gelu;
  gelu.opset_imports = {{"", 17}};
  const auto add = [&](const char* op_type, std::vector<std::string> node_inputs, const char* output) {
    gelu.graph.nodes.push_back({.op_type = op_type,
                                .domain = {},
                                .name = std::string("/") + output,
                                .inputs = std::move(node_inputs),
                                .outputs = {output},
                                .attributes = {}});
  };
  add("Div", {"x", "root2"}, "div");
  add("Erf", {"div"}, "erf");
  add("Add", {"erf", "one"}, "add");
  add("Mul", {"x", "add"}, "mul");
  add("Mul", {"mul", "half"}, "y");
  gelu.graph.inputs = {{.name = "x", .shape = {std::int64_t{2}}}};
  gelu.graph.outputs = {{.name = "y", .shape = {std::int64_t{2}}}};
  onnx::write_model(gelu, directory_ / "gelu.onnx", {});
  QuantizationPreprocessor gelus;
  gelus.register_pass(ExcludeGeLUNodes());
  gelus.register_pass(ExcludeLayerNormNodes());
  EXPECT_EQ(gelus.collect(directory_ / "gelu.onnx").to_exclude,
            (std::vector<std::string>{"/add", "/div", "/erf", "/mul", "/y"}));
}

}  // namespace
}  // namespace onnxport
