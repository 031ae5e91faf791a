// onnxport transformers.onnx, against the log that `python -m transformers.onnx` printed: logs.json, made by
// tests/legacy_command/make_fixtures.py.
#include <algorithm>
#include <sstream>

#include "cli_test.h"
#include "onnx/inspect.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class LegacyCommand : public CliTest {
 protected:
  ProcessResult legacy(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "transformers.onnx");
    return run(arguments);
  }

  /// The names of the model's inputs or outputs.
  std::vector<std::string> names(const char* of) const {
    std::vector<std::string> result;
    const Json inspection = onnx::inspect_model(path("onnx/model.onnx"));
    for (const Json& value : at(inspection, of).array()) result.push_back(at(value, "name").string());
    return result;
  }
};

/// All but the framework's version.
std::vector<std::string> comparable(const std::vector<std::string>& log) {
  std::vector<std::string> lines;
  for (const std::string& line : log) {
    if (line.starts_with("Using framework PyTorch: ")) {
      lines.emplace_back("Using framework PyTorch: ");
    } else {
      lines.push_back(line);
    }
  }
  return lines;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_F(LegacyCommand, PrintsTheLogOfTransformers) {
  const Json file = parse_json(read_file(source_directory() / "tests/legacy_command/logs.json"), "logs.json");
  int compared = 0;
  for (const Json& exported : at(file, "exports").array()) {
    if (exported.find("error")) continue;
    const std::string feature = at(exported, "feature").string();
    SCOPED_TRACE(at(exported, "model_type").string() + " " + feature);
    const std::string task = at(exported, "task").string();
    make_checkpoint(at(exported, "model_type").string(),
                    task == "text2text-generation" ? task + ".encoder_model" : task, "model");
    const ProcessResult result = legacy({"--model", "model", "--feature", feature, "--framework", "pt", "--opset", "14",
                                         "--export_with_transformers", "onnx/"});
    ASSERT_TRUE(succeeded(result));
    std::vector<std::string> expected;
    for (const Json& line : at(exported, "log").array()) expected.push_back(line.string());
    EXPECT_EQ(comparable(lines_of(result.output)), comparable(expected));
    EXPECT_TRUE(contains(result.error, "deprecated")) << result.error;
    EXPECT_EQ(files("onnx"), std::vector<std::string>{"model.onnx"});
    fs::remove_all(path("model"));
    fs::remove_all(path("onnx"));
    ++compared;
  }
  EXPECT_GE(compared, 7);
}

TEST_F(LegacyCommand, WithoutItExportsAsOptimumDoes) {
  make_checkpoint("distilbert", "feature-extraction");
  const ProcessResult result = legacy({"--model=checkpoint", "onnx/"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_TRUE(contains(result.output, "Validating ONNX model onnx/model.onnx...\n")) << result.output;
  EXPECT_TRUE(contains(result.output, "The export was done by `onnxport export onnx`.")) << result.output;
  EXPECT_EQ(files("onnx"), (std::vector<std::string>{"config.json", "model.onnx"}));
}

TEST_F(LegacyCommand, TakesTheNamesOfFeaturesForTasks) {
  make_checkpoint("t5", "text2text-generation-with-past.encoder_model");
  ASSERT_TRUE(succeeded(legacy({"-m", "checkpoint", "--feature", "seq2seq-lm-with-past", "onnx"})));
  EXPECT_TRUE(fs::exists(path("onnx/decoder_with_past_model.onnx")));
}

TEST_F(LegacyCommand, GivesTheNamesOfTransformers) {
  make_checkpoint("gpt2", "text-generation-with-past");
  ASSERT_TRUE(succeeded(legacy({"--model=checkpoint", "--feature=causal-lm-with-past", "--atol=1e-4",
                                "--preprocessor=tokenizer", "--export_with_transformers", "onnx"})));
  EXPECT_EQ(names("inputs"),
            (std::vector<std::string>{"input_ids", "past_key_values.0.key", "past_key_values.0.value",
                                      "past_key_values.1.key", "past_key_values.1.value", "attention_mask"}));
  const std::string text = dump_json(onnx::inspect_model(path("onnx/model.onnx")));
  EXPECT_TRUE(contains(text, "past_sequence + sequence")) << text;
  EXPECT_FALSE(contains(text, "batch_size")) << text;
}

TEST_F(LegacyCommand, EncoderAndDecoderAreOneFile) {
  make_checkpoint("t5", "text2text-generation.encoder_model");
  ASSERT_TRUE(succeeded(legacy({"--model=checkpoint", "--feature=seq2seq-lm", "--export_with_transformers", "onnx"})));
  EXPECT_EQ(names("inputs"),
            (std::vector<std::string>{"input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask"}));
  EXPECT_EQ(names("outputs"), std::vector<std::string>{"logits"});
  EXPECT_EQ(files("onnx"), std::vector<std::string>{"model.onnx"});
}

TEST_F(LegacyCommand, ModelOfTheOutputMayBeNamed) {
  make_checkpoint("distilbert", "feature-extraction");
  fs::create_directories(path("onnx"));
  write_file(path("onnx/model.onnx"), "old");
  ASSERT_TRUE(succeeded(legacy({"--model=checkpoint", "--export_with_transformers", "onnx/model.onnx"})));
  EXPECT_GT(fs::file_size(path("onnx/model.onnx")), 1000U);
}

TEST_F(LegacyCommand, WrongInputIsOneError) {
  make_checkpoint("distilbert", "feature-extraction");
  const auto fails = [&](const std::vector<std::string>& arguments, int status, const std::vector<std::string>& parts) {
    std::vector<std::string> all{"--model=checkpoint", "--export_with_transformers"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    EXPECT_TRUE(failed(legacy(all), status, parts));
    EXPECT_EQ(files("onnx"), std::vector<std::string>{});
  };
  fails({"--feature", "maskd-lm", "onnx"}, 1, {"Unknown task: maskd-lm", "nearest: masked-lm", "question-answering"});
  fails({"--feature", "causal-lm", "onnx"}, 1,
        {"distilbert doesn't support feature causal-lm. Supported values are: default, masked-lm, "
         "sequence-classification, multiple-choice, token-classification, question-answering"});
  fails({"--opset", "10", "onnx"}, 1, {"Opset 10 is not sufficient to export distilbert. At least 11 is required."});
  fails({"--opset", "12", "onnx"}, 1, {"opset 12 is out of range", "13 to 24"});
  fails({"--preprocessor", "nonsense", "onnx"}, 2, {"--preprocessor", "feature_extractor"});
  fails({"--framework", "jax", "onnx"}, 2, {"--framework", "pt"});
  fails({}, 2, {"OUTPUT"});
  write_file(path("a_file"), "text");
  fails({"a_file"}, 1, {"a_file is a file"});
  make_checkpoint("splinter", "question-answering");
  fails({"--feature", "question-answering", "onnx"}, 1, {"splinter is not supported yet. Only albert, bart"});
  make_checkpoint("t5", "text2text-generation.encoder_model");
  fails({"--feature", "seq2seq-lm-with-past", "onnx"}, 1,
        {"--export_with_transformers is not supported for t5 with the past", "seq2seq-lm"});
  make_checkpoint("gpt2", "feature-extraction-with-past");
  fails({"--feature", "default-with-past", "onnx"}, 1, {"default-with-past; causal-lm-with-past"});
  EXPECT_TRUE(failed(legacy({"--model=nowhere/at/all", "onnx"}), 1, {"nowhere/at/all"}));
}

}  // namespace
}  // namespace onnxport::testing
