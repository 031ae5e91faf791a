// onnxport quantize with algorithms that run the model.
#include "cli_test.h"

namespace onnxport::testing {
namespace {

class CliCalibratedQuantization : public CliTest {
 protected:
  void SetUp() override {
    make_checkpoint("bert", "text-classification");
    ASSERT_TRUE(succeeded(export_checkpoint({"--task", "text-classification", "--quiet", "--no-validate"})));
  }

  ProcessResult quantize(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"quantize", "out", "--weights", "uint4", "--block-size", "16", "-o", "quantized"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run(all);
  }

  std::string refusal(const std::vector<std::string>& arguments) const {
    const ProcessResult result = quantize(arguments);
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_FALSE(std::filesystem::exists(path("quantized")));
    return result.error;
  }
};

TEST_F(CliCalibratedQuantization, ReportsWhatIsLost) {
  write_file(path("data.jsonl"),
             "{\"input_ids\": [1, 5, 9, 33, 2]}\n{\"input_ids\": [1, 70, 4, 2]}\n{\"input_ids\": [1, 8, 2]}\n");
  for (const std::string algorithm : {"gptq", "awq"}) {
    ASSERT_TRUE(succeeded(
        quantize({"--algorithm", algorithm, "--calibration", "data.jsonl", "--report", "report.json", "--quiet"})));
    const Json report = parse_json(read_file(path("report.json")), "report.json");
    EXPECT_NE(at(report, "settings").string().find(algorithm), std::string::npos);
    // The models are run on the same data.
    EXPECT_EQ(at(report, "models").array().at(0).find("samples")->integer(), 3);
    EXPECT_GE(at(report, "layers").array().size(), 6U);
    std::filesystem::remove_all(path("quantized"));
  }
}

TEST_F(CliCalibratedQuantization, OptionsThatDoNotGoTogetherAreRefused) {
  EXPECT_NE(refusal({"--algorithm", "gptq"}).find("--algorithm gptq needs --calibration FILE"), std::string::npos);
  EXPECT_NE(refusal({"--algorithm", "awq"}).find("--algorithm awq needs --calibration FILE"), std::string::npos);
  EXPECT_NE(refusal({"--awq-no-clip"}).find("--awq-no-clip needs --algorithm awq"), std::string::npos);
  EXPECT_NE(refusal({"--gptq-mse"}).find("--gptq-mse needs --algorithm gptq"), std::string::npos);
  EXPECT_NE(refusal({"--calibration", "random"}).find("--calibration is for --algorithm gptq and awq"),
            std::string::npos);
  EXPECT_NE(refusal({"--calibration-samples", "3"}).find("--calibration-samples needs --calibration"),
            std::string::npos);
}

TEST_F(CliCalibratedQuantization, DataThatAreMissingAreNamed) {
  const ProcessResult result = quantize({"--algorithm", "gptq", "--calibration", "nothing.jsonl"});
  EXPECT_NE(result.exit_status, 0);
  EXPECT_NE(result.error.find("there is no calibration data nothing.jsonl"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path("quantized")));
}

}  // namespace
}  // namespace onnxport::testing
