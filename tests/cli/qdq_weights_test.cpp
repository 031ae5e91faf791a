// onnxport quantize --format qdq.
#include "cli_test.h"

namespace onnxport::testing {
namespace {

class CliQdqWeights : public CliTest {
 protected:
  void SetUp() override {
    make_checkpoint("bert", "text-classification");
    ASSERT_TRUE(succeeded(export_checkpoint({"--task", "text-classification", "--quiet", "--no-validate"})));
  }

  ProcessResult quantize(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"quantize", "out", "--format", "qdq", "--block-size", "16", "-o", "quantized"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run(all);
  }
};

TEST_F(CliQdqWeights, WritesPlainOnnx) {
  ASSERT_TRUE(succeeded(quantize({"--weights", "uint4", "--report", "report.json", "--quiet"})));
  EXPECT_NE(at(parse_json(read_file(path("report.json")), "report.json"), "settings").string().find("QDQ"),
            std::string::npos);
  const ProcessResult inspected = run({"inspect", "quantized/model.onnx", "--json"});
  ASSERT_TRUE(succeeded(inspected));
  const Json model = parse_json(inspected.output, "inspection");
  EXPECT_EQ(at(model, "opsets").object().size(), 1U);
  EXPECT_EQ(at(model, "opsets", "").integer(), 21);
}

TEST_F(CliQdqWeights, WeightsMayBeFloats) {
  for (const auto& [name, opset] :
       std::vector<std::pair<std::string, std::int64_t>>{{"float8e4m3fn", 21}, {"float4e2m1", 23}}) {
    std::filesystem::remove_all(path("quantized"));
    ASSERT_TRUE(succeeded(quantize({"--weights", name, "--quiet"})));
    const ProcessResult inspected = run({"inspect", "quantized/model.onnx", "--json"});
    EXPECT_EQ(at(parse_json(inspected.output, "inspection"), "opsets", "").integer(), opset);
  }
  EXPECT_TRUE(failed(run({"quantize", "out", "--weights", "float8e4m3fn", "-o", "other"}), 2,
                     {"--weights float8e4m3fn needs --format qdq"}));
}

TEST_F(CliQdqWeights, WhatTheFormatLacksIsRefused) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"--weights", "int2"}, "the format QDQ has no weights of 2 bits"},
      {{"--weights", "uint4", "--algorithm", "hqq"}, "zero points are no integers"},
      {{"--weights", "int4", "--op-types", "Gather"}, "the format QDQ has no Gather"},
      {{"--weights", "int4", "--accuracy-level", "4"}, "the accuracy level is one of MatMulNBits"}};
  for (const auto& [arguments, expected] : refusals) {
    const ProcessResult result = quantize(arguments);
    EXPECT_NE(result.exit_status, 0);
    EXPECT_NE(result.error.find(expected), std::string::npos) << result.error;
    EXPECT_FALSE(std::filesystem::exists(path("quantized")));
  }
}

}  // namespace
}  // namespace onnxport::testing
