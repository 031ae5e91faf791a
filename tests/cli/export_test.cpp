// onnxport export onnx: what the user types and sees.
#include <algorithm>
#include <map>

#include <sys/stat.h>

#include "checkpoint/checkpoint.h"
#include "cli_test.h"
#include "onnx/inspect.h"
#include "onnx/reader.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class CliExport : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    make_checkpoint();
  }
};

constexpr std::string_view kIssueLog =
    "Validating ONNX model distilbert_base_uncased_squad_onnx/model.onnx...\n"
    "\t-[✓] ONNX model output names match reference model (start_logits, end_logits)\n"
    "\t- Validating ONNX Model output \"start_logits\":\n"
    "\t\t-[✓] (2, 16) matches (2, 16)\n"
    "\t\t-[✓] all values close (atol: 0.0001)\n"
    "\t- Validating ONNX Model output \"end_logits\":\n"
    "\t\t-[✓] (2, 16) matches (2, 16)\n"
    "\t\t-[✓] all values close (atol: 0.0001)\n"
    "The ONNX export succeeded and the exported model was saved at: distilbert_base_uncased_squad_onnx\n";

TEST_F(CliExport, PrintsTheLogToTheLetter) {
  const ProcessResult result = run({"export", "onnx", "--model", "checkpoint", "--task", "question-answering",
                                    "distilbert_base_uncased_squad_onnx/"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.output, kIssueLog);
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(files("distilbert_base_uncased_squad_onnx"), (std::vector<std::string>{"config.json", "model.onnx"}));
}

TEST_F(CliExport, TakesTheTaskTheCheckpointWasTrainedFor) {
  const ProcessResult result = export_checkpoint();
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(result.output.starts_with("Automatic task detection to question-answering.\n")) << result.output;
}

TEST_F(CliExport, WhatAConfigLeavesOutIsTheDefaultOfItsClass) {
  make_checkpoint("vit", "image-classification");
  Json config = parse_json(read_file(path("checkpoint/config.json")), "config.json");
  for (const char* name : {"hidden_act", "layer_norm_eps", "num_channels", "qkv_bias"}) {
    ASSERT_NE(config.find(name), nullptr) << name;
    config.erase(name);
  }
  write_file(path("checkpoint/config.json"), dump_json(config, 2) + "\n");
  const std::string reference = reference_file("vit", "image-classification").string();
  ASSERT_TRUE(succeeded(export_checkpoint({"--reference", reference})));
  ASSERT_TRUE(succeeded(export_checkpoint({"--no-dynamic-axes", "--num_channels", "1"}))) << "the default counts";
  EXPECT_EQ(read_file(path("out/config.json")), read_file(path("checkpoint/config.json"))) << "copied as it is";
}

TEST_F(CliExport, DecodersAreMergedToo) {
  make_checkpoint("t5", "text2text-generation-with-past.decoder_model");
  const ProcessResult result = export_checkpoint();
  ASSERT_TRUE(succeeded(result));
  std::vector<std::string> expected = {
      "config.json",        "decoder_model.onnx",    "decoder_model_merged.onnx", "decoder_with_past_model.onnx",
      "encoder_model.onnx", "generation_config.json"};
  EXPECT_EQ(files("out"), expected);
  EXPECT_TRUE(contains(result.output, "Post-processing the exported models...\nValidating")) << result.output;
  const std::string_view line =
      "Validating ONNX model out/decoder_model_merged.onnx...\n\t-[✓] ONNX model output names "
      "match reference model (logits, present.0.decoder.key, present.0.decoder.value, present.";
  const std::size_t first = result.output.find(std::string(line) + "0.encoder.key");
  EXPECT_NE(first, std::string::npos) << result.output;
  EXPECT_NE(result.output.find(std::string(line) + "1.decoder.key", first), std::string::npos) << result.output;

  ASSERT_TRUE(succeeded(export_checkpoint({"--external-data", "always"})));
  EXPECT_TRUE(fs::exists(path("out/decoder_model_merged.onnx_data")));
  EXPECT_LT(fs::file_size(path("out/decoder_model_merged.onnx_data")),
            fs::file_size(path("out/decoder_model.onnx_data")) * 5 / 4)
      << "weights are stored once";
}

TEST_F(CliExport, NoPostProcessLeavesTheMergedDecoderOut) {
  make_checkpoint("t5", "text2text-generation-with-past.decoder_model");
  ASSERT_TRUE(succeeded(export_checkpoint({"--no-post-process"})));
  EXPECT_TRUE(fs::exists(path("out/decoder_with_past_model.onnx")));
  EXPECT_FALSE(fs::exists(path("out/decoder_model_merged.onnx")));
}

TEST_F(CliExport, MonolithIsOneFile) {
  make_checkpoint("t5", "text2text-generation.encoder_model");
  const ProcessResult result = run({"export", "onnx", "--model", "checkpoint", "--monolith", "out"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, "Automatic task detection to text2text-generation (possible")) << result.output;
  EXPECT_EQ(files("out"), (std::vector<std::string>{"config.json", "generation_config.json", "model.onnx"}));
  EXPECT_TRUE(failed(run({"export", "onnx", "--model", "checkpoint", "--monolith", "--task",
                          "text2text-generation-with-past", "other"}),
                     1, {"--monolith", "exclude each other"}));
  EXPECT_TRUE(failed(
      run({"export", "onnx", "--model", "checkpoint", "--monolith", "--task", "feature-extraction-with-past", "other"}),
      1, {"exclude each other"}));
}

TEST_F(CliExport, StaticDecodersAreNotMerged) {
  make_checkpoint("t5", "text2text-generation-with-past.decoder_model");
  const ProcessResult result = export_checkpoint({"--no-dynamic-axes", "--sequence_length", "1"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.error, "decoder_model_merged.onnx is left out")) << result.error;
  EXPECT_FALSE(fs::exists(path("out/decoder_model_merged.onnx")));
}

TEST_F(CliExport, TakesSynonymsOfTasks) {
  make_checkpoint("distilbert", "fill-mask");
  const ProcessResult result = export_checkpoint({"--task", "masked-lm", "--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(at(parse_json(result.output, "stdout"), "task").string(), "fill-mask");
}

TEST_F(CliExport, TakesShortNamesEqualSignsAndAnyOrder) {
  ASSERT_TRUE(succeeded(run({"export", "onnx", "list", "--batch_size=1", "-m", "checkpoint", "--quiet"})));
  EXPECT_EQ(files("list"), (std::vector<std::string>{"config.json", "model.onnx"}))
      << "an output may be called as a command";
  ASSERT_TRUE(succeeded(run({"export", "onnx", "-m", "checkpoint", "--quiet", "--", "-out"})));
  EXPECT_EQ(files("-out"), (std::vector<std::string>{"config.json", "model.onnx"}));
}

TEST_F(CliExport, TheLastOfARepeatedOptionCounts) {
  const ProcessResult result = export_checkpoint({"--opset", "99", "--opset", "17", "--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(at(parse_json(result.output, "stdout"), "opset").integer(), 17);
}

TEST_F(CliExport, QuietPrintsNothing) {
  const ProcessResult result = export_checkpoint({"--quiet", "--device", "cpu"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.output + result.error, "");
}

TEST_F(CliExport, JsonIsOneObject) {
  const ProcessResult result = export_checkpoint({"--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.error, "");
  const Json report = parse_json(result.output, "stdout");
  std::vector<std::string> members;
  for (const auto& [name, value] : report.object()) members.push_back(name);
  EXPECT_EQ(members,
            (std::vector<std::string>{"model_type", "task", "opset", "files", "validated", "atol", "validations",
                                      "unused_tensors", "warnings", "seconds", "weight_bytes", "peak_memory_bytes"}));
  EXPECT_EQ(at(report, "model_type").string(), "distilbert");
  EXPECT_EQ(at(report, "task").string(), "question-answering");
  EXPECT_TRUE(at(report, "validated").boolean());
  EXPECT_GT(at(report, "weight_bytes").integer(), 0);
  EXPECT_GT(at(report, "peak_memory_bytes").integer(), 0);
  EXPECT_GT(at(report, "seconds", "total").number(), 0);

  const Json& file = at(report, "files").array().front();
  EXPECT_EQ(at(file, "path").string(), "out/model.onnx");
  EXPECT_EQ(at(file, "bytes").integer(), static_cast<std::int64_t>(fs::file_size(path("out/model.onnx"))));

  ASSERT_EQ(at(report, "validations").array().size(), 4U) << "two outputs on two sets of inputs";
  const Json& validation = at(report, "validations").array().front();
  EXPECT_EQ(at(validation, "file").string(), "model.onnx");
  EXPECT_EQ(at(validation, "output").string(), "start_logits");
  EXPECT_EQ(dump_json(at(validation, "shape")), "[2, 16]");
  EXPECT_TRUE(at(validation, "matches").boolean());
  EXPECT_LT(at(validation, "max_difference").number(), 1e-4);
}

TEST_F(CliExport, JsonReportsErrors) {
  const ProcessResult result = run({"export", "onnx", "--json", "-m", "./nowhere", "out"});
  EXPECT_TRUE(failed(result, 1, {"nowhere"}));
  const Json report = parse_json(result.output, "stdout");
  EXPECT_EQ(at(report, "error", "kind").string(), "InvalidCheckpoint");
  EXPECT_TRUE(contains(at(report, "error", "message").string(), "nowhere"));
}

TEST_F(CliExport, JsonReportsUsageErrors) {
  const ProcessResult result = export_checkpoint({"--json", "--opset", "high"});
  EXPECT_TRUE(failed(result, 2, {"--opset must be an integer, is \"high\""}));
  EXPECT_EQ(at(parse_json(result.output, "stdout"), "error", "kind").string(), "InvalidArgument");
}

TEST_F(CliExport, AnswersOptionsWithoutMeaning) {
  const std::vector<std::string> options{"--trust-remote-code", "--no-constant-folding", "--slim", "--dynamo",
                                         "--legacy"};
  const ProcessResult result = export_checkpoint(options);
  ASSERT_TRUE(succeeded(result));
  for (const std::string& option : options)
    EXPECT_TRUE(contains(result.error, "onnxport: note: " + option + " changes nothing: ")) << option << result.error;
  EXPECT_EQ(std::count(result.error.begin(), result.error.end(), '\n'), 5) << "one line each";
  EXPECT_FALSE(contains(result.output, "changes nothing"));
}

/// How often each operator of ONNX Runtime's own stands in a model.
std::map<std::string, int> contrib_operators(const fs::path& file) {
  std::map<std::string, int> counts;
  for (const onnx::Node& node : onnx::read_model(file).graph.nodes)
    if (node.domain == "com.microsoft") ++counts[node.op_type];
  return counts;
}

TEST_F(CliExport, OptimizationTakesFusedOperators) {
  using Counts = std::map<std::string, int>;
  ASSERT_TRUE(succeeded(export_checkpoint({"--optimize", "O1"})));
  EXPECT_EQ(contrib_operators(path("out") / "model.onnx"), Counts{});
  ASSERT_TRUE(succeeded(export_checkpoint({"--optimize", "O2"})));
  const Counts fused = contrib_operators(path("out") / "model.onnx");
  const Json ort_config = parse_json(read_file(path("out") / "ort_config.json"), "ort_config.json");
  EXPECT_EQ(at(ort_config, "optimization", "optimization_level").integer(), 2);
  EXPECT_FALSE(at(ort_config, "use_external_data_format").boolean());
  const int layers = fused.at("MultiHeadAttention");
  EXPECT_GT(layers, 0);
  EXPECT_EQ(fused, (Counts{{"Gelu", layers}, {"MultiHeadAttention", layers}, {"SkipLayerNormalization", 2 * layers}}));
  ASSERT_TRUE(succeeded(export_checkpoint({"-O", "O3"})));
  EXPECT_EQ(contrib_operators(path("out") / "model.onnx").at("FastGelu"), layers);
  ASSERT_TRUE(succeeded(export_checkpoint({"--optimize", "O4", "--device", "cuda"})));
  const onnx::Model half = onnx::read_model(path("out") / "model.onnx");
  EXPECT_EQ(half.graph.outputs.at(0).data_type, DataType::Float32);
  EXPECT_TRUE(std::any_of(half.graph.initializers.begin(), half.graph.initializers.end(),
                          [](const auto& initializer) { return initializer.source.data_type == DataType::Float16; }));
}

TEST_F(CliExport, FourthLevelOfOptimizationIsForGpus) {
  EXPECT_TRUE(failed(export_checkpoint({"-O", "O4"}), 1, {"--device cuda", "O3"}));
  EXPECT_TRUE(failed(export_checkpoint({"-O", "O4", "--device", "cuda", "--dtype", "bf16"}), 1, {"--dtype bf16"}));
  EXPECT_TRUE(failed(export_checkpoint({"-O", "O5"}), 2, {"O1"}));
  EXPECT_FALSE(fs::exists(path("out")));
}

// ---- What is written ------------------------------------------------------------------------------------------------

struct FloatType {
  std::string option;
  std::string name;
};

/// How GoogleTest names it in messages.
void PrintTo(const FloatType& type, std::ostream* out) { *out << type.option; }

class CliExportFloatType : public CliExport, public ::testing::WithParamInterface<FloatType> {};

TEST_P(CliExportFloatType, WritesWeightsOfThatType) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--dtype", GetParam().option, "--quiet"})));
  const Json inspection = onnx::inspect_model(path("out/model.onnx"));
  EXPECT_EQ(at(at(inspection, "initializers", "tensors").array().front(), "data_type").string(), GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(All, CliExportFloatType,
                         ::testing::Values(FloatType{"fp32", "float32"}, FloatType{"fp16", "float16"},
                                           FloatType{"bf16", "bfloat16"}),
                         [](const auto& test) { return test.param.option; });

TEST_F(CliExport, Fp16IsTheOldSpelling) {
  const ProcessResult result = export_checkpoint({"--fp16"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.error, "onnxport: note: --fp16 is deprecated: use --dtype fp16\n");
  const Json inspection = onnx::inspect_model(path("out/model.onnx"));
  EXPECT_EQ(at(at(inspection, "initializers", "tensors").array().front(), "data_type").string(), "float16");
}

TEST_F(CliExport, AxesAreDynamicUnlessFixed) {
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet"})));
  const auto shape = [&] {
    const Json inspection = onnx::inspect_model(path("out/model.onnx"));
    return dump_json(at(at(inspection, "inputs").array().front(), "shape"));
  };
  EXPECT_EQ(shape(), R"(["batch_size", "sequence_length"])");
  ASSERT_TRUE(
      succeeded(export_checkpoint({"--quiet", "--no-dynamic-axes", "--batch_size", "3", "--sequence_length", "9"})));
  EXPECT_EQ(shape(), "[3, 9]");
}

TEST_F(CliExport, ValidatesOnTheShapesAskedFor) {
  const ProcessResult result = export_checkpoint({"--batch_size", "3", "--sequence_length", "9"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, "(3, 9) matches (3, 9)")) << result.output;
}

TEST_F(CliExport, WritesExternalDataOnRequest) {
  const ProcessResult result = export_checkpoint({"--external-data", "always"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(files("out"), (std::vector<std::string>{"config.json", "model.onnx", "model.onnx_data"}));
}

TEST_F(CliExport, ReferenceLinksTheCheckpoint) {
  const ProcessResult result = export_checkpoint({"--weights", "reference", "--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(files("out"), (std::vector<std::string>{"config.json", "model.onnx", "model.safetensors"}));
  struct stat original {};
  struct stat linked {};
  ASSERT_EQ(stat(path("checkpoint/model.safetensors").c_str(), &original), 0);
  ASSERT_EQ(stat(path("out/model.safetensors").c_str(), &linked), 0);
  EXPECT_EQ(original.st_ino, linked.st_ino) << "nothing is copied";
}

TEST_F(CliExport, ReferenceNeedsOneFileSystem) {
  struct stat here {};
  struct stat memory {};
  ASSERT_EQ(stat(path("").c_str(), &here), 0);
  ASSERT_EQ(stat("/dev/shm", &memory), 0);
  if (here.st_dev == memory.st_dev) GTEST_SKIP() << "the temporary directory is in /dev/shm";
  const fs::path elsewhere = fs::path("/dev/shm") / path("").parent_path().filename();
  const ProcessResult result =
      run({"export", "onnx", "-m", "checkpoint", "--weights", "reference", elsewhere.string()});
  EXPECT_TRUE(failed(result, 1, {"model.safetensors", "file system"}));
  EXPECT_FALSE(fs::exists(elsewhere));
}

TEST_F(CliExport, CopiesTheTokenizersFiles) {
  write_file(path("checkpoint/tokenizer.json"), "{}");
  write_file(path("checkpoint/vocab.txt"), "[PAD]\n");
  write_file(path("checkpoint/README.md"), "not needed to run the model");
  ASSERT_TRUE(succeeded(export_checkpoint({"--quiet", "--no-validate"})));
  EXPECT_EQ(files("out"), (std::vector<std::string>{"config.json", "model.onnx", "tokenizer.json", "vocab.txt"}));
}

// ---- Validation -----------------------------------------------------------------------------------------------------

TEST_F(CliExport, ValidatesAgainstAFile) {
  const ProcessResult result = export_checkpoint({"--reference", reference_file().string()});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, "(2, 7) matches (2, 7)")) << result.output;
}

TEST_F(CliExport, FailsWhenValuesDiffer) {
  const ProcessResult result = export_checkpoint({"--reference", reference_file().string(), "--atol", "0"});
  EXPECT_TRUE(failed(result, 1, {"start_logits", "--allow-mismatch"}));
  EXPECT_TRUE(contains(result.output, "\t\t-[x] values not close enough, max diff: ")) << result.output;
  EXPECT_FALSE(contains(result.output, "export succeeded"));
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(CliExport, JsonOfAFailedValidationHoldsTheDifferences) {
  const ProcessResult result = export_checkpoint({"--reference", reference_file().string(), "--atol", "0", "--json"});
  EXPECT_TRUE(failed(result, 1, {"start_logits", "--allow-mismatch"}));
  EXPECT_FALSE(fs::exists(path("out")));
  const Json report = parse_json(result.output, "stdout");
  EXPECT_EQ(at(report, "error", "kind").string(), "ValidationFailed");
  EXPECT_TRUE(contains(at(report, "error", "message").string(), "start_logits"));
  EXPECT_EQ(at(report, "model_type").string(), "distilbert");
  EXPECT_FALSE(at(report, "validated").boolean());
  EXPECT_TRUE(at(report, "files").array().empty());
  EXPECT_GT(at(report, "seconds", "validate").number(), 0);
  EXPECT_GT(at(report, "peak_memory_bytes").integer(), 0);
  const Json::Array& validations = at(report, "validations").array();
  ASSERT_EQ(validations.size(), 4U) << "two outputs of two cases";
  const auto differing = std::find_if(validations.begin(), validations.end(),
                                      [](const Json& validation) { return !at(validation, "matches").boolean(); });
  ASSERT_NE(differing, validations.end());
  EXPECT_GT(at(*differing, "max_difference").number(), 0);
  EXPECT_LT(at(*differing, "max_difference").number(), 1e-4);
}

TEST_F(CliExport, FailsWhenShapesDiffer) {
  auto tensors = read_safetensors(reference_file());
  for (auto& [name, source] : tensors)
    if (contains(name, ".output.")) source = slice(source, 1, 0, 2);
  write_safetensors(path("reference.safetensors"), tensors);
  const ProcessResult result = export_checkpoint({"--reference", "reference.safetensors"});
  EXPECT_TRUE(failed(result, 1, {"the shape differs"}));
  EXPECT_TRUE(contains(result.output, "\t\t-[x] shape (2, 7) doesn't match (2, 2)\n")) << result.output;
}

TEST_F(CliExport, AllowMismatchKeepsTheModel) {
  const ProcessResult result =
      export_checkpoint({"--reference", reference_file().string(), "--atol", "0", "--allow-mismatch", "--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.error, "onnxport: warning: ")) << result.error;
  EXPECT_TRUE(fs::exists(path("out/model.onnx")));
  const Json report = parse_json(result.output, "stdout");
  EXPECT_FALSE(at(report, "validated").boolean());
  const Json::Array& validations = at(report, "validations").array();
  EXPECT_TRUE(std::any_of(validations.begin(), validations.end(),
                          [](const Json& validation) { return !at(validation, "matches").boolean(); }));
}

TEST_F(CliExport, NoValidateRunsNothing) {
  const ProcessResult result =
      export_checkpoint({"--no-validate", "--json"}, {.environment = {{"ONNXRUNTIME_ROOT", "/nowhere"}}});
  ASSERT_TRUE(succeeded(result));
  const Json report = parse_json(result.output, "stdout");
  EXPECT_FALSE(at(report, "validated").boolean());
  EXPECT_TRUE(at(report, "validations").array().empty());
}

TEST_F(CliExport, ReportsUnusedTensors) {
  const ProcessResult result = export_checkpoint({"--task", "feature-extraction", "--json"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(dump_json(at(parse_json(result.output, "stdout"), "unused_tensors")),
            R"(["qa_outputs.bias", "qa_outputs.weight"])");
}

}  // namespace
}  // namespace onnxport::testing
