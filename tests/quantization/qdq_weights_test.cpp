// Weights in DequantizeLinear of blocks, against those of onnxruntime.quantization (make_qdq_weight_cases.py).
#include <cmath>
#include <cstring>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "onnx/raise_opset.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/json.h"
#include "onnxport/weight_quantizer.h"
#include "quantization/measure.h"
#include "quantization/weight_only/blockwise_weight.h"
#include "runtime/session.h"
#include "support/paths.h"
#include "support/weight_models.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;

struct Case {
  std::string name;
  TensorSource weight;
  std::int64_t block_size = 0;
  bool is_symmetric = false;
  Json graph;
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
        read_safetensors(testing::source_directory() / "tests/quantization/cases/qdq_weights.safetensors", &metadata);
    const Json described = parse_json(metadata.at("cases"), "cases");
    for (const Json& entry : described.array())
      result.cases.push_back(
          {entry.find("name")->string(), result.tensors.at("weight." + entry.find("weight")->string()),
           entry.find("block_size")->integer(), entry.find("symmetric")->boolean(), *entry.find("graph")});
    return result;
  }();
  return stored;
}

quantization::WeightSettings settings_of(const Case& stored, quantization::WeightLayout layout) {
  return {.block = {.method = quantization::BlockMethod::RoundToNearestQdq,
                    .bits = 4,
                    .block_size = stored.block_size,
                    .is_symmetric = stored.is_symmetric,
                    .scale_type = stored.weight.data_type},
          .layout = layout,
          .is_plain = true};
}

/// The source's bytes, read in runs that begin and end anywhere.
std::string content_in_runs(const TensorSource& source, std::int64_t run) {
  std::string bytes(source.byte_size(), '\0');
  const auto unit = static_cast<std::int64_t>(size_of(source.data_type));
  const auto count = std::ssize(bytes) / unit;
  for (std::int64_t first = 0; first < count; first += run)
    read_elements(source, first,
                  std::as_writable_bytes(std::span(bytes))
                      .subspan(static_cast<std::size_t>(first * unit),
                               static_cast<std::size_t>(std::min(run, count - first) * unit)));
  return bytes;
}

TEST(QdqWeights, AreBitEqualToOnnxRuntimesQuantizer) {
  for (const Case& stored : stored_cases().cases) {
    const auto expected = [&](const std::string& part) {
      return onnx::content(stored_cases().tensors.at(stored.name + "." + part));
    };
    for (const std::int64_t run : {std::int64_t{1} << 30, std::int64_t{13}, std::int64_t{64}}) {
      const quantization::BlockwiseWeight weight(stored.weight,
                                                 settings_of(stored, quantization::WeightLayout::Columns));
      EXPECT_EQ(content_in_runs(weight.packed(), run), expected("integers")) << stored.name << " in runs of " << run;
      EXPECT_EQ(content_in_runs(weight.scales(), run), expected("scales")) << stored.name;
      if (!stored.is_symmetric) {
        EXPECT_EQ(content_in_runs(weight.zero_points(), run), expected("zero_points")) << stored.name;
      }
    }
    // Scales that are asked for first.
    const quantization::BlockwiseWeight weight(stored.weight, settings_of(stored, quantization::WeightLayout::Columns));
    EXPECT_EQ(content_in_runs(weight.scales(), 7), expected("scales")) << stored.name;
    if (!stored.is_symmetric) {
      EXPECT_EQ(content_in_runs(weight.zero_points(), 3), expected("zero_points")) << stored.name;
    }
  }
  EXPECT_EQ(stored_cases().cases.size(), 24U);
}

/// Gemm has weights as rows, and gets the same tensors.
TEST(QdqWeights, AreTheSameOfTransposedWeights) {
  for (const Case& stored : stored_cases().cases) {
    const auto expected = [&](const std::string& part) {
      return onnx::content(stored_cases().tensors.at(stored.name + "." + part));
    };
    for (const std::int64_t run : {std::int64_t{1} << 30, std::int64_t{13}}) {
      const quantization::BlockwiseWeight rows(transpose(stored.weight, {1, 0}),
                                               settings_of(stored, quantization::WeightLayout::Rows));
      EXPECT_EQ(content_in_runs(rows.packed(), run), expected("integers")) << stored.name << " in runs of " << run;
      EXPECT_EQ(content_in_runs(rows.scales(), run), expected("scales")) << stored.name;
      if (!stored.is_symmetric) {
        EXPECT_EQ(content_in_runs(rows.zero_points(), run), expected("zero_points")) << stored.name;
      }
    }
  }
}

// ---- Whole models ---------------------------------------------------------------------------------------------------

class QdqWeightsTest : public onnx::TemporaryDirectoryTest {
 protected:
  WeightQuantizationOptions options() const {
    WeightQuantizationOptions result;
    result.model = directory_ / "model";
    result.output = directory_ / "out";
    result.config.format = QuantFormat::QDQ;
    result.config.block_size = 16;
    return result;
  }

  void write(const onnx::Model& model) const {
    fs::create_directories(directory_ / "model");
    onnx::write_model(model, directory_ / "model" / "model.onnx", {});
  }

  std::string refusal(const WeightQuantizationOptions& refused, ErrorKind kind) const {
    const std::string message = message_of(kind, [&] { quantize_weights(refused); });
    EXPECT_FALSE(fs::exists(directory_ / "out")) << message;
    return message;
  }
};

Json describe(const onnx::Node& node) {
  Json::Object attributes;
  for (const onnx::Attribute& attribute : node.attributes)
    attributes.emplace_back(attribute.name, std::get<std::int64_t>(attribute.value));
  Json described;
  described.set("op_type", node.op_type);
  described.set("name", node.name);
  described.set("inputs", Json::Array(node.inputs.begin(), node.inputs.end()));
  described.set("outputs", Json::Array(node.outputs.begin(), node.outputs.end()));
  described.set("attributes", std::move(attributes));
  return described;
}

TEST_F(QdqWeightsTest, ModelsAreThoseOfOnnxRuntimesQuantizer) {
  for (const Case& stored : stored_cases().cases) {
    const DataType type = stored.weight.data_type;
    onnx::Model model = onnx::small_model(stored.weight);
    model.opset_imports = {{"", 17}};
    model.graph.inputs[0] = {"x", type, {std::string("rows"), stored.weight.shape[0]}};
    model.graph.outputs[0] = {"y", type, {std::string("rows"), stored.weight.shape[1]}};
    model.graph.initializers[0].name = "w";
    model.graph.nodes = {{"MatMul", "", "node", {"x", "w"}, {"y"}, {}}};
    write(model);
    WeightQuantizationOptions request = options();
    request.config.block_size = stored.block_size;
    request.config.is_symmetric = stored.is_symmetric;
    fs::remove_all(directory_ / "out");
    quantize_weights(request);
    const onnx::Model quantized = onnx::read_model(directory_ / "out" / "model.onnx");
    Json::Array nodes;
    for (const onnx::Node& node : quantized.graph.nodes) nodes.push_back(describe(node));
    EXPECT_EQ(dump_json(nodes), dump_json(*stored.graph.find("nodes"))) << stored.name;
    EXPECT_EQ(quantized.ir_version, stored.graph.find("ir_version")->integer());
    EXPECT_EQ(quantized.opset_imports.size(), 1U);
    EXPECT_EQ(quantized.opset_imports.at(""), stored.graph.find("opset")->find("")->integer());
    const Json& initializers = *stored.graph.find("initializers");
    EXPECT_EQ(quantized.graph.initializers.size(), initializers.object().size());
    for (const onnx::Initializer& initializer : quantized.graph.initializers) {
      const Json* described = initializers.find(initializer.name);
      ASSERT_NE(described, nullptr) << initializer.name;
      EXPECT_EQ(onnx_data_type(initializer.source.data_type), described->find("data_type")->integer());
      const auto& shape = initializer.source.shape;
      EXPECT_EQ(dump_json(Json::Array(shape.begin(), shape.end())), dump_json(*described->find("shape")));
    }
    const Session session(directory_ / "out" / "model.onnx");
  }
}

double largest_difference(const fs::path& left, const fs::path& right, const testing::FixtureFile& file) {
  // Pairs that ONNX Runtime fuses are multiplied with activations of 8 bits unless this asks for floats.
  SessionOptions floats;
  floats.config_entries["session.qdq_matmulnbits_accuracy_level"] = "1";
  const Session a(left, floats);
  const Session b(right);
  double result = 0;
  for (const testing::FixtureCase& fixture_case : testing::read_cases(file)) {
    const std::vector<Array> outputs_a = a.run(fixture_case.inputs);
    const std::vector<Array> outputs_b = b.run(fixture_case.inputs);
    for (std::size_t i = 0; i < outputs_a.size(); ++i) {
      if (outputs_a[i].data_type() != DataType::Float32) continue;
      for (std::int64_t k = 0; k < outputs_a[i].element_count(); ++k) {
        const double difference = std::fabs(outputs_a[i].data<float>()[k] - outputs_b[i].data<float>()[k]);
        if (!(difference <= result)) result = difference;
      }
    }
  }
  return result;
}

TEST_F(QdqWeightsTest, ModelsComputeWithTheWeightsThatTheIntegersStandFor) {
  const std::vector<std::pair<std::string, std::string>> models = {{"bert", "feature-extraction"},
                                                                   {"gpt2", "text-generation-with-past"},
                                                                   {"t5", "text2text-generation"},
                                                                   {"vit", "image-classification"}};
  for (const auto& [fixture, task] : models) {
    fs::remove_all(directory_ / "model");
    fs::remove_all(directory_ / "checkpoint");
    const testing::FixtureFile file = testing::export_fixture(fixture, task, directory_);
    const std::string name = file.submodel + ".onnx";
    for (const int bits : {4, 8}) {
      for (const bool is_symmetric : {true, false}) {
        WeightQuantizationOptions request = options();
        request.config.bits = bits;
        request.config.is_symmetric = is_symmetric;
        fs::remove_all(directory_ / "out");
        quantize_weights(request);
        const onnx::Model quantized = onnx::read_model(directory_ / "out" / name);
        EXPECT_FALSE(quantized.opset_imports.contains("com.microsoft") &&
                     !onnx::read_model(directory_ / "model" / name).opset_imports.contains("com.microsoft"));
        onnx::write_model(testing::dequantize(quantized), directory_ / "dequantized.onnx", {});
        const std::string what = fixture + ", " + std::to_string(bits) + (is_symmetric ? " bits" : " bits, asymmetric");
        EXPECT_LE(largest_difference(directory_ / "out" / name, directory_ / "dequantized.onnx", file), 1e-4) << what;
        EXPECT_GT(largest_difference(directory_ / "out" / name, directory_ / "model" / name, file), 0) << what;
      }
    }
  }
}

TEST_F(QdqWeightsTest, AlgorithmsThatSeeActivationsWriteIt) {
  for (const auto& [fixture, task] :
       std::vector<std::pair<std::string, std::string>>{{"bert", "feature-extraction"}, {"gpt2", "text-generation"}}) {
    fs::remove_all(directory_ / "model");
    fs::remove_all(directory_ / "checkpoint");
    testing::export_fixture(fixture, task, directory_);
    const auto error_of = [&](WeightAlgorithm algorithm, QuantFormat format) {
      WeightQuantizationOptions request = options();
      request.config.algorithm = algorithm;
      request.config.format = format;
      if (algorithm != WeightAlgorithm::RoundToNearest) request.config.calibration = {.num_samples = 12};
      fs::remove_all(directory_ / "out");
      quantize_weights(request);
      return quantization::output_error(
          quantization::measure_outputs(directory_ / "model" / "model.onnx", directory_ / "out" / "model.onnx",
                                        {.model_directory = directory_ / "model", .num_samples = 12}));
    };
    const double rounded = error_of(WeightAlgorithm::RoundToNearest, QuantFormat::QDQ);
    for (const WeightAlgorithm algorithm : {WeightAlgorithm::Gptq, WeightAlgorithm::Awq}) {
      const double error = error_of(algorithm, QuantFormat::QDQ);
      EXPECT_LT(error, rounded) << fixture;
      // Fused pairs are multiplied with activations of 8 bits.
      EXPECT_NEAR(error, error_of(algorithm, QuantFormat::QOperator), 2e-2 * error) << fixture;
    }
  }
}

// ---- Wrong input ----------------------------------------------------------------------------------------------------

TEST_F(QdqWeightsTest, WhatTheFormatLacksIsRefused) {
  write(onnx::small_model(from_array(onnx::counting({4}))));
  const auto refuse = [&](const auto& change) {
    WeightQuantizationOptions request = options();
    change(request.config);
    return refusal(request, ErrorKind::InvalidArgument);
  };
  EXPECT_NE(refuse([](auto& c) { c.bits = 2; }).find("QDQ has no weights of 2 bits"), std::string::npos);
  EXPECT_NE(refuse([](auto& c) { c.bits_for = {{"add", 2}}; }).find("QDQ has no weights of 2 bits"), std::string::npos);
  EXPECT_NE(refuse([](auto& c) { c.algorithm = WeightAlgorithm::HalfQuadratic; }).find("zero points are no integers"),
            std::string::npos);
  EXPECT_NE(refuse([](auto& c) { c.op_types = {"MatMul", "Gather"}; }).find("QDQ has no Gather"), std::string::npos);
  EXPECT_NE(refuse([](auto& c) { c.accuracy_level = 4; }).find("accuracy level is one of MatMulNBits"),
            std::string::npos);
}

TEST_F(QdqWeightsTest, QuantizedModelsAreRefused) {
  testing::export_fixture("t5", "text2text-generation-with-past", directory_);
  quantize_weights(options());
  fs::rename(directory_ / "out", directory_ / "first");
  WeightQuantizationOptions request = options();
  request.model = directory_ / "first";
  request.file_names = {"decoder_model_merged.onnx"};
  EXPECT_NE(refusal(request, ErrorKind::InvalidModel).find("the model is quantized already: node "), std::string::npos);
}

TEST_F(QdqWeightsTest, OldOpsetsAreRefused) {
  onnx::Model model = onnx::small_model(from_array(onnx::counting({4, 4})));
  model.graph.nodes[0].op_type = "MatMul";
  model.opset_imports = {{"", 11}};
  write(model);
  EXPECT_NE(refusal(options(), ErrorKind::InvalidModel).find("model has opset 11 and cannot be raised to 21"),
            std::string::npos);
}

// ---- Opsets ---------------------------------------------------------------------------------------------------------

TEST_F(QdqWeightsTest, RaisedModelsComputeTheSame) {
  onnx::Model model;
  model.opset_imports = {{"", 13}};
  model.graph.inputs = {{"x", DataType::Float32, {std::int64_t{2}, std::int64_t{6}}}};
  model.graph.outputs = {{"y", DataType::Float32, {std::int64_t{2}, std::int64_t{3}}},
                         {"low", DataType::Float32, {std::int64_t{2}}}};
  model.graph.nodes = {{"Split", "", "split", {"x"}, {"left", "right"}, {{"axis", std::int64_t{1}}}},
                       {"ReduceMean", "", "mean", {"left"}, {"mean_out"}, {{"axes", std::vector<std::int64_t>{1}}}},
                       {"Add", "", "add", {"right", "mean_out"}, {"y"}, {}},
                       {"ReduceMin",
                        "",
                        "min",
                        {"x"},
                        {"low"},
                        {{"axes", std::vector<std::int64_t>{1}}, {"keepdims", std::int64_t{0}}}}};
  onnx::write_model(model, directory_ / "old.onnx", {});
  for (const int version : {18, 21, 23}) {
    onnx::Model raised = model;
    onnx::raise_opset(raised, version);
    EXPECT_EQ(raised.opset_imports.at(""), version);
    onnx::write_model(raised, directory_ / "new.onnx", {});
    const NamedArrays inputs = {{"x", onnx::counting({2, 6}, -3)}};
    const std::vector<Array> expected = Session(directory_ / "old.onnx").run(inputs);
    const std::vector<Array> actual = Session(directory_ / "new.onnx").run(inputs);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(std::memcmp(actual[i].bytes().data(), expected[i].bytes().data(), expected[i].bytes().size()), 0);
  }
}

}  // namespace
}  // namespace onnxport
