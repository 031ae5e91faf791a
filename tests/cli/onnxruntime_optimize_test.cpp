// onnxport onnxruntime optimize: what is written, what stays in float32, and wrong input.
#include <algorithm>

#include "cli_test.h"
#include "onnx/reader.h"
#include "runtime/session.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliOptimize : public CliTest {
 protected:
  void SetUp() override {
    make_checkpoint();
    ASSERT_TRUE(succeeded(export_checkpoint({"--no-validate", "--quiet"})));
  }

  ProcessResult optimize(const std::vector<std::string>& arguments, const std::string& output = "optimized") const {
    std::vector<std::string> command{"onnxruntime", "optimize", "--onnx_model", "out", "-o", output};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run(command);
  }

  onnx::Model optimized() const { return onnx::read_model(path("optimized/model_optimized.onnx")); }

  static bool has_weights(const onnx::Model& model, DataType type) {
    return std::any_of(model.graph.initializers.begin(), model.graph.initializers.end(), [&](const auto& initializer) {
      return initializer.source.data_type == type && initializer.source.shape.size() == 2;
    });
  }
  /// The type of the first weight of the first MatMul or Gemm whose name holds the part.
  static DataType weight_type(const onnx::Model& model, std::string_view part) {
    for (const onnx::Node& node : model.graph.nodes) {
      if (node.name.find(part) == std::string::npos || node.inputs.size() < 2) continue;
      for (const onnx::Initializer& initializer : model.graph.initializers)
        if (initializer.name == node.inputs[1]) return initializer.source.data_type;
    }
    ADD_FAILURE() << "no weight of " << part;
    return DataType::Float32;
  }
  static std::string gemm_name(const onnx::Model& model) {
    for (const onnx::Node& node : model.graph.nodes)
      if (node.op_type == "Gemm" || node.op_type == "MatMul") return node.name;
    return "";
  }
};

TEST_F(CliOptimize, WritesWhatOptimumWrites) {
  const ProcessResult result = optimize({"-O2"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(files("optimized"), (std::vector<std::string>{"config.json", "model_optimized.onnx", "ort_config.json"}));
  EXPECT_TRUE(contains(result.output, "fused: ")) << result.output;
  const Json config = parse_json(read_file(path("optimized/ort_config.json")), "ort_config.json");
  EXPECT_EQ(at(config, "optimization", "optimization_level").integer(), 2);

  // The settings of an earlier run, again.
  ASSERT_TRUE(succeeded(run({"onnxruntime", "optimize", "--onnx_model", "out", "-o", "again", "--config",
                             "optimized/ort_config.json", "--quiet"})));
  EXPECT_EQ(read_file(path("again/model_optimized.onnx")), read_file(path("optimized/model_optimized.onnx")));
}

TEST_F(CliOptimize, HalfPrecisionLeavesWhatIsBlocked) {
  ASSERT_TRUE(succeeded(optimize({"-O1", "--fp16", "--quiet"})));
  const std::string gemm = gemm_name(optimized());
  EXPECT_TRUE(has_weights(optimized(), DataType::Float16));
  EXPECT_EQ(weight_type(optimized(), gemm), DataType::Float16);
  EXPECT_EQ(optimized().graph.outputs.at(0).data_type, DataType::Float32);

  fs::remove_all(path("optimized"));
  ASSERT_TRUE(succeeded(optimize({"-O1", "--fp16", "--block-node", gemm, "--quiet"})));
  EXPECT_EQ(weight_type(optimized(), gemm), DataType::Float32);
  EXPECT_TRUE(has_weights(optimized(), DataType::Float16));
  Session(path("optimized/model_optimized.onnx"));  // it is loaded

  fs::remove_all(path("optimized"));
  ASSERT_TRUE(succeeded(optimize({"-O1", "--fp16", "--block-op", "Gemm", "--block-op", "MatMul", "--quiet"})));
  const onnx::Model blocked = optimized();
  for (const onnx::Node& node : blocked.graph.nodes)
    if (node.op_type == "Gemm") {
      EXPECT_EQ(weight_type(blocked, node.name), DataType::Float32) << node.name;
    }

  fs::remove_all(path("optimized"));
  ASSERT_TRUE(succeeded(optimize({"-O1", "--bf16", "--quiet"})));
  EXPECT_TRUE(has_weights(optimized(), DataType::BFloat16));
  EXPECT_FALSE(has_weights(optimized(), DataType::Float16));
}

TEST_F(CliOptimize, WrongInputIsRefused) {
  EXPECT_TRUE(failed(optimize({}), 2, {"one of -O1, -O2, -O3, -O4 and --config is missing"}));
  EXPECT_TRUE(failed(optimize({"-O5"}), 2, {"1, 2, 3, 4"}));
  EXPECT_TRUE(failed(optimize({"-O2", "--config", "x.json"}), 2, {"exclude each other"}));
  EXPECT_TRUE(failed(optimize({"--config", "nowhere.json"}), 1, {"cannot read nowhere.json"}));
  write_file(path("wrong.json"), R"({"optimization": {"optimisation_level": 2}})");
  EXPECT_TRUE(failed(optimize({"--config", "wrong.json"}), 1, {"wrong.json", "optimization_level"}));
  EXPECT_TRUE(failed(optimize({"-O2", "--block-op", "Softmax"}), 2, {"add --fp16, --bf16 or -O4"}));
  EXPECT_TRUE(
      failed(optimize({"-O4", "--block-op", "SoftMax"}), 1, {"no operator is called \"SoftMax\"", "nearest: Softmax"}));
  EXPECT_TRUE(
      failed(optimize({"-O1", "--fp16", "--block-node", gemm_name(onnx::read_model(path("out/model.onnx"))) + "x"}), 1,
             {"no node is called", "nearest: "}));
  EXPECT_TRUE(failed(optimize({"-O2"}, "out"), 1, {"out"}));
  EXPECT_FALSE(fs::exists(path("optimized")));

  ASSERT_TRUE(succeeded(run({"onnxruntime", "quantize", "--onnx_model", "out", "--avx2", "-o", "int8", "--quiet"})));
  EXPECT_TRUE(failed(run({"onnxruntime", "optimize", "--onnx_model", "int8", "-O2", "-o", "optimized"}), 1,
                     {"model_quantized.onnx", "quantized"}));
  EXPECT_TRUE(failed(run({"onnxruntime", "optimize", "--onnx_model", "checkpoint", "-O2", "-o", "optimized"}), 1,
                     {"checkpoint"}));
  EXPECT_FALSE(fs::exists(path("optimized")));
}

TEST_F(CliOptimize, MissingExternalDataIsRefused) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--no-validate", "--quiet", "--external-data", "always"})));
  fs::remove(path("out/model.onnx_data"));
  EXPECT_TRUE(failed(optimize({"-O2"}), 1, {"model.onnx_data"}));
  EXPECT_FALSE(fs::exists(path("optimized")));
}

}  // namespace
}  // namespace onnxport::testing
