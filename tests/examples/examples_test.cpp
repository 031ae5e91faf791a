// The examples, as a user runs them, on small models with a tokenizer; they print what transformers computes
// (make_expected.py).
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "core/temporary_directory.h"
#include "onnxport/exporter.h"
#include "support/fixture.h"
#include "support/paths.h"
#include "support/process.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

class ExamplesTest : public ::testing::Test {
 protected:
  fs::path path(std::string_view name) const { return directory_ / name; }

  /// A golden fixture's checkpoint with a tokenizer.
  fs::path checkpoint(const std::string& fixture, const std::string& task, const std::string& tokenizer_class) const {
    FixtureFile file{fixtures_directory() / fixture / (task + ".safetensors"), fixture, task, "model", {}};
    read_safetensors(file.path, &file.metadata);
    const fs::path directory = path("checkpoint");
    write_checkpoint(file, directory);
    fs::copy_file(source_directory() / "tests/examples/vocab.txt", directory / "vocab.txt");
    std::ofstream(directory / "tokenizer_config.json")
        << "{\"tokenizer_class\": \"" << tokenizer_class << "\", \"model_max_length\": 64}\n";
    return directory;
  }

  static ProcessResult run_example(const std::string& name, std::vector<std::string> arguments) {
    const fs::path program = fs::path(test_program()).parent_path() / "examples" / name;
    arguments.insert(arguments.begin(), program.string());
    return run_process(arguments);
  }

 private:
  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

TEST_F(ExamplesTest, QuestionAnswering) {
  const std::string model = path("onnx").string();
  export_onnx({.model = checkpoint("distilbert", "question-answering", "DistilBertTokenizer"),
               .output = model,
               .task = "question-answering",
               .validate = false});
  const ProcessResult first = run_example("question_answering", {model});
  EXPECT_EQ(first.exit_status, 0) << first.error;
  EXPECT_EQ(first.output, "tokens: 15\nstart: 7\nend: 2\nanswer: \n");
  const ProcessResult second =
      run_example("question_answering", {model, "Where is it?", "You use the library to open a model."});
  EXPECT_EQ(second.exit_status, 0) << second.error;
  EXPECT_EQ(second.output, "tokens: 16\nstart: 8\nend: 11\nanswer: the library to open\n");
}

TEST_F(ExamplesTest, ExportAndSaveThenASessionByHand) {
  const fs::path directory = checkpoint("bert", "text-classification", "BertTokenizer");
  const ProcessResult saved = run_example("export_and_save", {directory.string(), path("onnx").string()});
  EXPECT_EQ(saved.exit_status, 0) << saved.error;
  for (const char* name : {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}) {
    EXPECT_TRUE(fs::exists(path("onnx") / name)) << name;
    EXPECT_NE(saved.output.find((path("onnx") / name).string() + "\n"), std::string::npos) << saved.output;
  }

  const ProcessResult run = run_example(
      "session_by_hand", {path("onnx").string(), "Using the model.", "Open the ONNX library with Python, or without!"});
  EXPECT_EQ(run.exit_status, 0) << run.error;
  const std::string expected = "logits: 2 3, begins with ";
  ASSERT_TRUE(run.output.starts_with(expected)) << run.output;
  EXPECT_NEAR(std::stod(run.output.substr(expected.size())), -0.6565, 1e-4);
}

TEST_F(ExamplesTest, SayWhatIsWrong) {
  const std::string nowhere = path("nowhere").string();
  for (const auto& [name, arguments] : std::map<std::string, std::vector<std::string>>{
           {"question_answering", {nowhere}},
           {"export_and_save", {nowhere, nowhere}},
           {"session_by_hand", {nowhere, "text"}},
           {"sentence_similarity", {nowhere, source_directory() / "examples/demo/sentences.txt"}}}) {
    const ProcessResult result = run_example(name, arguments);
    EXPECT_EQ(result.exit_status, 1) << name;
    EXPECT_NE(result.error.find(nowhere), std::string::npos) << name << ": " << result.error;
    EXPECT_EQ(run_example(name, {}).exit_status, 2) << name;
  }
}

}  // namespace
}  // namespace onnxport::testing
