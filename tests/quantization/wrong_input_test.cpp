// What quantization refuses, and what it says of it.
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnx/writer.h"
#include "onnxport/quantizer.h"
#include "unit/onnx_test_support.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using onnx::message_of;
using onnx::write_file;

class QuantizeWrongInput : public onnx::TemporaryDirectoryTest {
 protected:
  void SetUp() override {
    TemporaryDirectoryTest::SetUp();
    write(model(onnx::counting({4, 3})));
  }

  /// y = x times weight, as Gemm(transB=1): "/layer/Gemm".
  static onnx::Model model(const Array& weight) {
    onnx::Model result;
    result.opset_imports = {{"", 17}};
    result.graph.inputs = {{.name = "x", .shape = {std::int64_t{2}, std::int64_t{3}}}};
    result.graph.outputs = {{.name = "y", .shape = {std::int64_t{2}, std::int64_t{4}}}};
    result.graph.initializers = {{"weight", from_array(weight)}};
    result.graph.nodes = {{.op_type = "Gemm",
                           .domain = {},
                           .name = "/layer/Gemm",
                           .inputs = {"x", "weight"},
                           .outputs = {"y"},
                           .attributes = {{"transB", std::int64_t{1}}}}};
    return result;
  }

  void write(const onnx::Model& model, const onnx::WriteOptions& options = {}) const {
    fs::create_directories(directory_ / "in");
    onnx::write_model(model, directory_ / "in" / "model.onnx", options);
  }

  QuantizeOptions options(QuantizationConfig config = AutoQuantizationConfig::avx512_vnni()) const {
    return {.model = directory_ / "in", .output = directory_ / "out", .config = std::move(config)};
  }

  std::string refused(ErrorKind kind, const QuantizeOptions& options) const {
    std::string message = message_of(kind, [&] { quantize_models(options); });
    EXPECT_FALSE(fs::exists(directory_ / "out"));
    return message;
  }

  fs::path quantized() const { return directory_ / "out" / "model_quantized.onnx"; }
};

TEST_F(QuantizeWrongInput, AlreadyQuantizedModel) {
  quantize_models(options());
  QuantizeOptions again = options();
  again.model = quantized();
  again.output = directory_ / "again";
  const std::string message = message_of(ErrorKind::InvalidModel, [&] { quantize_models(again); });
  EXPECT_NE(message.find("is already quantized: node \"x_QuantizeLinear\" is a DynamicQuantizeLinear"),
            std::string::npos)
      << message;
}

TEST_F(QuantizeWrongInput, UnknownOperatorShowsTheNearest) {
  QuantizationConfig config = AutoQuantizationConfig::avx2({.operators_to_quantize = {"Matmul"}});
  const std::string message = refused(ErrorKind::InvalidArgument, options(config));
  EXPECT_EQ(message, "dynamic quantization does not know the operator \"Matmul\" (nearest: MatMul)");
}

TEST_F(QuantizeWrongInput, UnknownNodeShowsTheNearest) {
  for (const bool is_excluded : {true, false}) {
    QuantizationConfig config = AutoQuantizationConfig::avx2();
    (is_excluded ? config.nodes_to_exclude : config.nodes_to_quantize) = {"/layer/Gem"};
    const std::string message = refused(ErrorKind::InvalidArgument, options(config));
    EXPECT_EQ(message, "no node is called \"/layer/Gem\" in model.onnx (nearest: /layer/Gemm, /layer/Gemm_MatMul)");
  }
}

TEST_F(QuantizeWrongInput, StaticWithoutCalibration) {
  const std::string message = refused(ErrorKind::InvalidArgument, options(AutoQuantizationConfig::tensorrt()));
  EXPECT_TRUE(message.starts_with("static quantization needs calibration")) << message;
}

TEST_F(QuantizeWrongInput, ContradictingConfig) {
  QuantizationConfig config = AutoQuantizationConfig::avx2();
  config.activations_dtype = QuantType::QInt8;
  refused(ErrorKind::InvalidArgument, options(config));
  config = AutoQuantizationConfig::avx2();
  config.mode = QuantizationMode::QLinearOps;
  refused(ErrorKind::InvalidArgument, options(config));
}

TEST_F(QuantizeWrongInput, ExternalDataMissing) {
  onnx::WriteOptions external;
  external.weights = onnx::WeightStorage::External;
  write(model(onnx::counting({400, 3})), external);
  ASSERT_TRUE(fs::remove(directory_ / "in" / "model.onnx_data"));
  EXPECT_NE(refused(ErrorKind::InvalidModel, options()).find("model.onnx_data"), std::string::npos);
}

TEST_F(QuantizeWrongInput, OutputEqualToInput) {
  QuantizeOptions same = options();
  same.output = directory_ / "in" / ".." / "in";
  const std::string message = message_of(ErrorKind::InvalidArgument, [&] { quantize_models(same); });
  EXPECT_NE(message.find("is the directory of the models themselves"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(directory_ / "in" / "model_quantized.onnx"));
}

TEST_F(QuantizeWrongInput, NothingToQuantize) {
  QuantizationConfig config = AutoQuantizationConfig::avx2({.operators_to_quantize = {"Conv"}});
  EXPECT_EQ(refused(ErrorKind::InvalidArgument, options(config)), "model.onnx has no node to quantize");
  onnx::Model half = model(onnx::counting({4, 3}));
  half.graph.initializers[0].source = cast(half.graph.initializers[0].source, DataType::Float16);
  half.graph.inputs[0].data_type = half.graph.outputs[0].data_type = DataType::Float16;
  write(half);
  EXPECT_EQ(refused(ErrorKind::InvalidArgument, options()),
            "model.onnx has no node to quantize: its weights are float16, and only float32 is quantized. Export it "
            "again with --dtype fp32");
}

TEST_F(QuantizeWrongInput, WeightThatIsNotFinite) {
  for (const float bad : {NAN, INFINITY}) {
    Array weight = onnx::counting({4, 3});
    weight.mutable_data<float>()[7] = bad;
    write(model(weight));
    EXPECT_NE(refused(ErrorKind::InvalidModel, options()).find("\"weight_Transposed\" has elements that are NaN"),
              std::string::npos);
  }
}

TEST_F(QuantizeWrongInput, CustomOperatorsStayAsTheyAre) {
  onnx::Model custom = model(onnx::counting({4, 3}));
  custom.opset_imports["my.domain"] = 1;
  custom.graph.nodes[0].inputs[0] = "z";
  onnx::Node mine{
      .op_type = "Mine", .domain = "my.domain", .name = "mine", .inputs = {"x"}, .outputs = {"z"}, .attributes = {}};
  custom.graph.nodes.insert(custom.graph.nodes.begin(), std::move(mine));
  write(custom);
  const QuantizationResult result = quantize_models(options());
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_TRUE(result.warnings[0].starts_with("model.onnx has the custom operator Mine of my.domain"));
  const onnx::Model written = onnx::read_model(quantized());
  EXPECT_EQ(written.graph.nodes[0].op_type, "Mine");
  EXPECT_EQ(written.opset_imports.at("my.domain"), 1);
  EXPECT_EQ(result.models[0].quantized_nodes, (std::map<std::string, int>{{"Gemm", 1}}));
}

TEST_F(QuantizeWrongInput, ConfigFiles) {
  const auto message = [&](const std::string& text) {
    write_file(directory_ / "ort_config.json", text);
    return message_of(ErrorKind::InvalidArgument, [&] { quantization_config_from_file(directory_); });
  };
  EXPECT_NE(message("{\"quantization\": {}}").find("has no \"quantization\""), std::string::npos);
  EXPECT_NE(message(R"({"quantization": {"is_static": false, "per_chanel": true}})")
                .find("unknown member \"per_chanel\" (nearest: per_channel)"),
            std::string::npos);
  EXPECT_NE(message(R"({"quantization": {"is_static": false, "weights_dtype": "QInt4"}})")
                .find("weights_dtype of quantization is \"QInt4\", not QInt8 or QUInt8"),
            std::string::npos);
  EXPECT_NE(message(R"({"quantization": {"is_static": 0}})").find("not true or false"), std::string::npos);
  EXPECT_NE(message_of(ErrorKind::InvalidArgument, [&] { quantization_config_from_file(directory_ / "absent"); })
                .find("there is no file"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport
