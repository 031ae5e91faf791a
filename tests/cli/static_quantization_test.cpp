// onnxport onnxruntime quantize with calibration.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/cli_test.h"
#include "onnxport/json.h"

namespace onnxport::testing {
namespace {

class StaticQuantization : public CliTest {
 protected:
  ProcessResult quantize(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"onnxruntime", "quantize", "--onnx_model", "out", "-o", "quantized"});
    return run(arguments);
  }
  /// The message of a usage error.
  std::string refused(std::vector<std::string> arguments) const {
    const ProcessResult result = quantize(std::move(arguments));
    EXPECT_EQ(result.exit_status, 2);
    return result.error.substr(0, result.error.find('\n'));
  }
};

TEST_F(StaticQuantization, OfAnExportedModel) {
  make_checkpoint();
  ASSERT_TRUE(succeeded(export_checkpoint()));
  write_file(path("samples.jsonl"), "{\"input_ids\": [1, 2, 3, 4, 5]}\n{\"input_ids\": [9, 8, 7]}\n");
  for (const char* method : {"minmax", "entropy", "percentile"}) {
    const ProcessResult result =
        quantize({"--avx2", "--calibration", "samples.jsonl", "--calibration_method", method, "--json"});
    ASSERT_TRUE(succeeded(result));
    const Json report = parse_json(result.output, "report");
    const Json& model = at(report, "models").array().at(0);
    EXPECT_GT(at(model, "quantized_nodes", "Gemm").integer(), 0);
    EXPECT_LT(at(model, "bytes").integer(), at(model, "source_bytes").integer());
    const Json config = parse_json(read_file(path("quantized/ort_config.json")), "config");
    EXPECT_TRUE(at(config, "quantization", "is_static").boolean());
    EXPECT_EQ(at(config, "quantization", "format").string(), "QDQ");
  }
  EXPECT_TRUE(succeeded(quantize({"--tensorrt", "--calibration", "random", "--calibration_samples", "2",
                                  "--calibration_length", "8", "--calibration_moving_average"})));
  EXPECT_TRUE(succeeded(quantize({"--avx2", "--calibration", "samples.jsonl", "--smooth_quant_alpha", "0.6", "--report",
                                  "report.json", "--tolerance", "0.9"})));
  const Json report = parse_json(read_file(path("report.json")), "report");
  EXPECT_TRUE(contains(at(report, "settings").string(), "static, SmoothQuant 0.6")) << at(report, "settings").string();
  // The settings of a static quantization, with data anew.
  EXPECT_TRUE(succeeded(run({"onnxruntime", "quantize", "--onnx_model", "out", "-o", "again", "--config",
                             "quantized/ort_config.json", "--calibration", "samples.jsonl"})));
  const std::string needed = refused({"--config", "quantized/ort_config.json"});
  EXPECT_TRUE(contains(needed, "static quantization needs --calibration FILE")) << needed;

  const ProcessResult empty = quantize({"--avx2", "--calibration", path("empty.jsonl").string()});
  EXPECT_EQ(empty.exit_status, 1);
  EXPECT_TRUE(contains(empty.error, "there is no calibration data")) << empty.error;
}

TEST_F(StaticQuantization, NeedsCalibration) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--tensorrt"}, {"--avx2", "--static"}}) {
    const std::string message = refused(arguments);
    EXPECT_TRUE(contains(message, "static quantization needs --calibration FILE")) << message;
  }
  EXPECT_EQ(refused({"--avx2", "--calibration_method", "entropy"}),
            "onnxport: error: --calibration_method needs --calibration");
  EXPECT_EQ(refused({"--avx2", "--smooth_quant"}), "onnxport: error: --smooth_quant needs --calibration");
  EXPECT_EQ(refused({"--avx2", "--calibration", "random", "--smooth_quant_no_folding"}),
            "onnxport: error: --smooth_quant_no_folding needs --smooth_quant");
  EXPECT_EQ(refused({"--avx2", "--calibration", "random", "--calibration_samples", "0"}),
            "onnxport: error: --calibration_samples must be at least 1, is 0");
}

TEST_F(StaticQuantization, IsNotThatOfADynamicConfig) {
  write_file(path("ort_config.json"), R"({"quantization": {"is_static": false}})");
  EXPECT_EQ(refused({"--config", "ort_config.json", "--calibration", "random"}),
            "onnxport: error: static quantization was asked for, and ort_config.json is dynamic");
}

}  // namespace
}  // namespace onnxport::testing
