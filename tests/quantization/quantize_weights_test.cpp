// Models before and after quantize_weights, under ONNX Runtime.
#include <cmath>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/weight_quantizer.h"
#include "runtime/session.h"
#include "support/weight_models.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using testing::FixtureFile;

class QuantizeWeightsTest : public onnx::TemporaryDirectoryTest {
 protected:
  WeightQuantizationOptions options() const {
    WeightQuantizationOptions result;
    result.model = directory_ / "model";
    result.output = directory_ / "out";
    return result;
  }

  FixtureFile export_fixture(const std::string& fixture, const std::string& task) const {
    return testing::export_fixture(fixture, task, directory_);
  }

  std::string refusal(const WeightQuantizationOptions& refused, ErrorKind kind) const {
    const std::string message = message_of(kind, [&] { quantize_weights(refused); });
    EXPECT_FALSE(fs::exists(directory_ / "out")) << message;
    return message;
  }
};

struct Difference {
  double maximum = 0;
  double cosine = 1;  ///< the least of all outputs
};

Difference compare(const fs::path& left, const fs::path& right, const std::vector<testing::FixtureCase>& cases) {
  const Session a(left);
  const Session b(right);
  Difference result;
  for (const testing::FixtureCase& fixture_case : cases) {
    const std::vector<Array> outputs_a = a.run(fixture_case.inputs);
    const std::vector<Array> outputs_b = b.run(fixture_case.inputs);
    for (std::size_t i = 0; i < outputs_a.size(); ++i) {
      if (outputs_a[i].data_type() != DataType::Float32) continue;
      double product = 0;
      double square_a = 0;
      double square_b = 0;
      for (std::int64_t k = 0; k < outputs_a[i].element_count(); ++k) {
        const double x = outputs_a[i].data<float>()[k];
        const double y = outputs_b[i].data<float>()[k];
        if (!(std::fabs(x - y) <= result.maximum)) result.maximum = std::fabs(x - y);
        product += x * y;
        square_a += x * x;
        square_b += y * y;
      }
      if (square_a > 0) result.cosine = std::min(result.cosine, product / std::sqrt(square_a * square_b));
    }
  }
  return result;
}

struct Setting {
  int bits;
  bool is_symmetric;
  WeightAlgorithm algorithm;
  double least_cosine;  ///< of outputs with those of the float model, for fixtures of random weights
};

TEST_F(QuantizeWeightsTest, ModelsComputeWithTheWeightsThatTheIntegersStandFor) {
  const std::vector<Setting> settings = {{8, true, WeightAlgorithm::RoundToNearest, 0.9995},
                                         {4, true, WeightAlgorithm::RoundToNearest, 0.9},
                                         {4, false, WeightAlgorithm::KQuantMixed, 0.9},
                                         {4, false, WeightAlgorithm::HalfQuadratic, 0.9}};
  const std::vector<std::pair<std::string, std::string>> models = {{"bert", "feature-extraction"},
                                                                   {"gpt2", "text-generation-with-past"},
                                                                   {"t5", "text2text-generation"},
                                                                   {"vit", "image-classification"}};
  for (const auto& [fixture, task] : models) {
    fs::remove_all(directory_ / "model");
    fs::remove_all(directory_ / "checkpoint");
    const FixtureFile file = export_fixture(fixture, task);
    const std::string name = file.submodel + ".onnx";
    ASSERT_TRUE(fs::exists(directory_ / "model" / name)) << fixture;
    for (const Setting& setting : settings) {
      WeightQuantizationOptions request = options();
      request.config.bits = setting.bits;
      request.config.is_symmetric = setting.is_symmetric;
      request.config.algorithm = setting.algorithm;
      request.config.block_size = 16;
      request.config.op_types = {"MatMul", "Gemm", "Gather"};
      quantize_weights(request);
      const onnx::Model quantized = onnx::read_model(directory_ / "out" / name);
      onnx::write_model(testing::dequantize(quantized), directory_ / "dequantized.onnx", {});

      const std::vector<testing::FixtureCase> cases = testing::read_cases(file);
      const std::string what = fixture + ", " + std::to_string(setting.bits) + " bits";
      EXPECT_LE(compare(directory_ / "out" / name, directory_ / "dequantized.onnx", cases).maximum, 1e-4) << what;
      const Difference from_float = compare(directory_ / "out" / name, directory_ / "model" / name, cases);
      EXPECT_GE(from_float.cosine, setting.least_cosine) << what;
      EXPECT_GT(from_float.maximum, 0) << what;
    }
  }
}

TEST_F(QuantizeWeightsTest, AnEmbeddingThatIsTheHeadIsStoredOnce) {
  export_fixture("gpt2", "text-generation");
  WeightQuantizationOptions request = options();
  request.config.op_types = {"Gemm", "Gather"};
  const WeightQuantizationResult result = quantize_weights(request);
  int shared = 0;
  for (const QuantizedWeightReport& weight : result.weights) shared += weight.nodes.size() == 2 ? 1 : 0;
  EXPECT_EQ(shared, 1);
  const onnx::Model quantized = onnx::read_model(directory_ / "out" / "model.onnx");
  for (const onnx::Initializer& initializer : quantized.graph.initializers)
    EXPECT_NE(initializer.name, "transformer.wte.weight");
}

TEST_F(QuantizeWeightsTest, NodesKeepTheirBitsAndTheirWeights) {
  export_fixture("gpt2", "text-generation");
  WeightQuantizationOptions request = options();
  request.config.nodes_to_exclude = {"/h.0/attn/*"};
  request.config.bits_for = {{"mlp", 2}, {"/h.1/mlp/c_fc", 8}};
  const WeightQuantizationResult result = quantize_weights(request);
  std::map<std::string, int> bits;
  for (const QuantizedWeightReport& weight : result.weights) bits[weight.nodes.front()] = weight.bits;
  EXPECT_EQ(bits.size(), 7);
  EXPECT_FALSE(bits.contains("/h.0/attn/c_attn/Gemm"));
  EXPECT_EQ(bits.at("/h.0/mlp/c_fc/Gemm"), 2);
  EXPECT_EQ(bits.at("/h.1/mlp/c_fc/Gemm"), 8);
  EXPECT_EQ(bits.at("/lm_head/Gemm"), 4);
}

// ---- Branches of If -------------------------------------------------------------------------------------------------

/// y = condition ? x · weight : (x · weight) · weight
onnx::Model branching_model() {
  const onnx::ValueInfo y{"", DataType::Float32, {std::string("rows"), std::int64_t{32}}};
  onnx::Graph once;
  once.name = "once";
  once.outputs = {y};
  once.outputs[0].name = "once_y";
  once.nodes = {{"MatMul", "", "once_product", {"x", "weight"}, {"once_y"}, {}}};
  onnx::Graph twice;
  twice.name = "twice";
  twice.outputs = {y};
  twice.outputs[0].name = "twice_y";
  twice.nodes = {{"MatMul", "", "twice_first", {"x", "weight"}, {"twice_x"}, {}},
                 {"MatMul", "", "twice_second", {"twice_x", "weight"}, {"twice_y"}, {}}};
  onnx::Model model = onnx::small_model(from_array(onnx::counting({32, 32}, -500)));
  model.graph.inputs = {{"condition", DataType::Bool, {}},
                        {"x", DataType::Float32, {std::string("rows"), std::int64_t{32}}}};
  model.graph.outputs = {y};
  model.graph.outputs[0].name = "y";
  model.graph.nodes = {{"If",
                        "",
                        "if",
                        {"condition"},
                        {"y"},
                        {{"then_branch", onnx::Subgraph(once)}, {"else_branch", onnx::Subgraph(twice)}}}};
  return model;
}

TEST_F(QuantizeWeightsTest, BranchesShareAWeight) {
  fs::create_directories(directory_ / "model");
  onnx::write_model(branching_model(), directory_ / "model" / "model.onnx", {});
  const WeightQuantizationResult result = quantize_weights(options());
  ASSERT_EQ(result.weights.size(), 1);
  EXPECT_EQ(result.weights[0].nodes.size(), 3);
  const onnx::Model quantized = onnx::read_model(directory_ / "out" / "model.onnx");
  EXPECT_EQ(quantized.graph.initializers.size(), 2);
  onnx::write_model(testing::dequantize(quantized), directory_ / "dequantized.onnx", {});
  testing::FixtureCase inputs;
  for (const bool condition : {true, false}) {
    Array flag(DataType::Bool, {});
    flag.mutable_bytes()[0] = static_cast<std::byte>(condition);
    Array x(DataType::Float32, {3, 32});
    for (std::int64_t i = 0; i < 96; ++i) x.mutable_data<float>()[i] = std::sin(static_cast<float>(i)) * 0.001F;
    inputs.inputs = {{"condition", flag}, {"x", x}};
    EXPECT_LE(compare(directory_ / "out" / "model.onnx", directory_ / "dequantized.onnx", {inputs}).maximum, 1e-2);
  }
}

// ---- Wrong input ----------------------------------------------------------------------------------------------------

TEST_F(QuantizeWeightsTest, WrongSettingsAreRefused) {
  export_fixture("bert", "feature-extraction");
  const auto refuse = [&](const auto& change) {
    WeightQuantizationOptions request = options();
    change(request);
    return refusal(request, ErrorKind::InvalidArgument);
  };
  EXPECT_EQ(refuse([](auto& o) { o.config.block_size = 48; }),
            "the block size is 48; ONNX Runtime has kernels for 16, 32, 64, 128 and 256");
  EXPECT_EQ(refuse([](auto& o) { o.config.bits = 3; }), "weights are 3 bits; there are 2, 4 and 8");
  EXPECT_EQ(refuse([](auto& o) { o.config.accuracy_level = 5; }), "the accuracy level is 5; there are 0 to 4");
  EXPECT_NE(refuse([](auto& o) { o.config.op_types = {"MatMull"}; }).find("nearest: MatMul"), std::string::npos);
  EXPECT_NE(refuse([](auto& o) {
              o.config.nodes_to_exclude = {"/encoder/layer.0/attention/self/query/Gem"};
            }).find("nearest: /encoder/layer.0/attention/self/query/Gemm"),
            std::string::npos);
  EXPECT_NE(refuse([](auto& o) {
              o.config.bits_for = {{"lm_head", 8}};
            }).find("no node with a weight matches \"lm_head\""),
            std::string::npos);
  WeightQuantizationOptions same = options();
  same.output = same.model;
  EXPECT_NE(message_of(ErrorKind::InvalidArgument, [&] { quantize_weights(same); }).find("choose another one"),
            std::string::npos);
}

TEST_F(QuantizeWeightsTest, QuantizedModelsAreRefused) {
  export_fixture("bert", "feature-extraction");
  quantize_weights(options());
  fs::rename(directory_ / "out", directory_ / "first");
  WeightQuantizationOptions request = options();
  request.model = directory_ / "first";
  EXPECT_NE(refusal(request, ErrorKind::InvalidModel).find("the model is quantized already: node "), std::string::npos);
}

TEST_F(QuantizeWeightsTest, ModelsWithoutUsableWeightsAreRefused) {
  fs::create_directories(directory_ / "model");
  const fs::path path = directory_ / "model" / "model.onnx";
  onnx::write_model(onnx::small_model(from_array(onnx::counting({4}))), path, {});
  EXPECT_NE(refusal(options(), ErrorKind::InvalidModel).find("there is no weight to quantize"), std::string::npos);

  onnx::Model model = onnx::small_model(from_array(onnx::counting({2, 4, 4})));
  model.graph.nodes[0].op_type = "MatMul";
  model.graph.outputs[0].has_shape = false;
  model.graph.outputs[0].shape = {};
  onnx::write_model(model, path, {});
  EXPECT_NE(refusal(options(), ErrorKind::InvalidModel).find("node \"add\", a MatMul, stays because the weight has 3"),
            std::string::npos);

  Array infinite = onnx::counting({4, 4});
  infinite.mutable_data<float>()[5] = INFINITY;
  model = onnx::small_model(from_array(infinite));
  model.graph.nodes[0].op_type = "MatMul";
  onnx::write_model(model, path, {});
  EXPECT_NE(refusal(options(), ErrorKind::InvalidModel).find("weight \"weight\" holds infinities or NaN"),
            std::string::npos);
}

TEST_F(QuantizeWeightsTest, MissingExternalDataIsRefused) {
  fs::create_directories(directory_ / "model");
  onnx::Model model = onnx::small_model(from_array(onnx::counting({32, 32})));
  model.graph.nodes[0].op_type = "MatMul";
  onnx::WriteOptions external;
  external.weights = onnx::WeightStorage::External;
  onnx::write_model(model, directory_ / "model" / "model.onnx", external);
  fs::remove(directory_ / "model" / "model.onnx_data");
  EXPECT_NE(refusal(options(), ErrorKind::InvalidModel).find("model.onnx_data"), std::string::npos);
}

}  // namespace
}  // namespace onnxport
