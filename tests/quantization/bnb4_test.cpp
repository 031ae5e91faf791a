// The 4-bit floats of MatMulBnb4: bit for bit as onnxruntime's own quantizer (make_bnb4.py), and models that run.
#include "quantization/bnb4.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "checkpoint/checkpoint.h"
#include "onnx/writer.h"
#include "onnxport/error.h"
#include "runtime/session.h"
#include "support/paths.h"

namespace onnxport::quantization {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, TensorSource>& fixture() {
  static const std::map<std::string, TensorSource> tensors = [] {
    std::map<std::string, TensorSource> result;
    for (const auto& [name, source] :
         read_safetensors(testing::source_directory() / "tests/quantization/fixtures/bnb4.safetensors"))
      result.emplace(name, source);
    return result;
  }();
  return tensors;
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void expect_equal(const TensorSource& actual, const TensorSource& expected, const std::string& what) {
  ASSERT_EQ(actual.data_type, expected.data_type) << what;
  ASSERT_EQ(actual.shape, expected.shape) << what;
  EXPECT_EQ(text_of(materialize(actual).bytes()), text_of(materialize(expected).bytes())) << what;
}

TEST(Bnb4, IsThatOfOnnxRuntimeToTheBit) {
  int compared = 0;
  for (const auto& [name, weight] : fixture()) {
    if (!name.ends_with(".weight")) continue;
    const std::string base = name.substr(0, name.size() - 7);
    for (const auto& [word, type] : {std::pair("fp4", Bnb4Type::FP4), std::pair("nf4", Bnb4Type::NF4)}) {
      for (const std::int64_t block_size : {16, 32, 64, 128}) {
        const std::string key = base + "." + word + "." + std::to_string(block_size);
        const Bnb4Weight made = quantize_bnb4(transpose(weight, {1, 0}), {type, block_size});
        expect_equal(made.packed, fixture().at(key + ".packed"), key);
        expect_equal(made.absmax, fixture().at(key + ".absmax"), key);
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, 40);
}

TEST(Bnb4, AnyRunOfItIsThatOfTheWhole) {
  const Bnb4Weight made = quantize_bnb4(transpose(fixture().at("normal.weight"), {1, 0}), {.block_size = 32});
  const Array whole = materialize(made.packed);
  for (const auto& [first, count] : {std::pair(0, 1), std::pair(5, 40), std::pair(15, 1), std::pair(16, 16)}) {
    std::vector<std::byte> run(static_cast<std::size_t>(count));
    read_elements(made.packed, first, run);
    EXPECT_EQ(text_of(run), text_of(whole.bytes()).substr(static_cast<std::size_t>(first), run.size())) << first;
  }
}

TEST(Bnb4, RefusesBlockSizesThatTheOperatorLacks) {
  EXPECT_THROW(quantize_bnb4(fixture().at("odd.weight"), {.block_size = 24}), Error);
}

// ---- Graphs ---------------------------------------------------------------------------------------------------------

onnx::ValueInfo matrix(std::string name, std::int64_t width) {
  return {std::move(name), DataType::Float32, {std::string("rows"), width}};
}

/// x [rows, 48] times a weight; as MatMul, or as a Gemm with the weight transposed and a bias.
onnx::Model model_with(bool gemm) {
  const TensorSource weight = fixture().at("normal.weight");
  onnx::Model model;
  model.opset_imports[""] = 18;
  model.graph.inputs = {matrix("x", 48)};
  model.graph.outputs = {matrix("y", 40)};
  model.graph.initializers = {{"w", gemm ? transpose(weight, {1, 0}) : weight}};
  if (gemm) {
    model.graph.initializers.push_back({"b", from_array(Array::float32({40}, std::vector<float>(40, 0.25F)))});
    model.graph.nodes = {{"Gemm", "", "layer", {"x", "w", "b"}, {"y"}, {{"transB", std::int64_t{1}}}}};
  } else {
    model.graph.nodes = {{"MatMul", "", "layer", {"x", "w"}, {"y"}, {}}};
  }
  return model;
}

Array run(const onnx::Model& model) {
  const fs::path path = fs::temp_directory_path() / ("onnxport-bnb4-" + std::to_string(getpid()) + ".onnx");
  onnx::write_model(model, path, {});
  const Session session(path, {.intra_op_num_threads = 1});
  fs::remove(path);
  std::vector<float> x(96);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  const NamedArrays inputs{{"x", Array::float32({2, 48}, x)}};
  return session.run(inputs).front();
}

TEST(Bnb4, ModelsRunAndStayNear) {
  for (const bool gemm : {false, true}) {
    onnx::Model model = model_with(gemm);
    const Array expected = run(model);
    EXPECT_EQ(quantize_graph_bnb4(model, {}), std::vector<std::string>{"layer"});
    EXPECT_EQ(model.graph.nodes.front().op_type, "MatMulBnb4");
    EXPECT_EQ(model.graph.initializers.size(), gemm ? 3U : 2U) << "the weight itself is gone";
    const Array actual = run(model);
    ASSERT_EQ(actual.shape(), expected.shape());
    double signal = 0;
    double noise = 0;
    for (std::int64_t i = 0; i < expected.element_count(); ++i) {
      const double y = static_cast<double>(expected.data<float>()[i]);
      signal += y * y;
      noise += std::pow(y - static_cast<double>(actual.data<float>()[i]), 2);
    }
    EXPECT_LT(std::sqrt(noise / signal), 0.15) << "four bits a weight";
    EXPECT_GT(noise, 0);
  }
}

TEST(Bnb4, LeavesAloneWhatIsNoProductWithAConstant) {
  onnx::Model model = model_with(true);
  onnx::set_attribute(model.graph.nodes[0], "alpha", 2.0F);
  EXPECT_TRUE(quantize_graph_bnb4(model, {}).empty());
}

TEST(Bnb4, RefusesAModelThatIsQuantizedAlready) {
  onnx::Model model = model_with(false);
  quantize_graph_bnb4(model, {});
  EXPECT_THROW(quantize_graph_bnb4(model, {}), Error);
}

}  // namespace
}  // namespace onnxport::quantization
