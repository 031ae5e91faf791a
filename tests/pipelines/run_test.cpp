// onnxport run, as a user types it.
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "onnxport/pipeline.h"
#include "pipeline_fixture.h"
#include "support/paths.h"
#include "support/process.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

ProcessResult run(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
  arguments.insert(arguments.begin(), {test_program(), "run"});
  return run_process(arguments, options);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

class RunTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(scratch_.path() / name) << text;
    return scratch_.path() / name;
  }
  static std::string model(const std::string& name) { return exported_fixture(name).string(); }

  TemporaryDirectory scratch_;
};

TEST_F(RunTest, PrintsForReaders) {
  const ProcessResult result =
      run({"text-classification", "-m", model("bert_classifier"), "Good coffee.", "Bad service."});
  ASSERT_EQ(result.exit_status, 0) << result.error;
  const TextClassificationPipeline classify(exported_fixture("bert_classifier"));
  const std::vector<std::string> lines = lines_of(result.output);
  ASSERT_EQ(lines.size(), 2U) << result.output;
  EXPECT_TRUE(contains(lines[0], classify("Good coffee.").front().label));
  EXPECT_TRUE(contains(lines[1], classify("Bad service.").front().label));
  EXPECT_EQ(result.error, "");
}

TEST_F(RunTest, EveryTaskPrintsForReaders) {
  const std::vector<std::vector<std::string>> calls{
      {"text-classification", "-m", model("bert_classifier"), "--top-k", "all", "--text-pair", "b", "a"},
      {"token-classification", "-m", model("bert_tagger"), "--aggregation-strategy", "first", "--ignore-labels", "",
       "Anna"},
      {"question-answering", "-m", model("distilbert_reader"), "--question", "Who?", "--top-k", "2", "Anna and Bo."},
      {"question-answering", "-m", model("distilbert_reader"), "--question", "Who?", "--context", "Anna and Bo."},
      {"fill-mask", "-m", model("bert_masked"), "--targets", "the,and", "a [MASK] b [MASK]"},
      {"feature-extraction", "-m", model("bert_features"), "--truncation", "--max-length", "4", "a b c d e f"},
      {"zero-shot-classification", "-m", model("bert_nli"), "--candidate-labels", "travel, food", "--multi-label", "a"},
      {"embeddings", "-m", model("bert_features"), "--normalize-embeddings", "a"},
      {"sentence-similarity", "-m", model("bert_features"), "--source-sentence", "a", "b", "c"}};
  for (const std::vector<std::string>& call : calls) {
    const ProcessResult result = run(call);
    EXPECT_EQ(result.exit_status, 0) << call.front() << ": " << result.error;
    EXPECT_GE(result.output.size(), 8U) << call.front() << ": " << result.output;
  }
}

TEST_F(RunTest, JsonLinesGiveWhatThePipelineGives) {
  const fs::path file = write("questions.jsonl",
                              "{\"question\": \"Who?\", \"context\": \"Anna and Bo.\"}\n\n"
                              "{\"question\": \"Who?\", \"context\": \"Anna and Bo.\", \"top_k\": 2}\n"
                              "{\"question\": \"Where?\", \"context\": \"In Zürich.\"}\n");
  const ProcessResult result = run({"question-answering", "--model", model("distilbert_reader"), "--jsonl", "--file",
                                    file, "--max-answer-len", "2"});
  ASSERT_EQ(result.exit_status, 0) << result.error;
  const Pipeline qa = pipeline("question-answering", exported_fixture("distilbert_reader"));
  const auto expected = [&](const char* question, const char* context, std::int64_t top_k) {
    return qa(Json::Object{{"question", question}, {"context", context}},
              Json::Object{{"top_k", top_k}, {"max_answer_len", 2}});
  };
  const std::vector<std::string> lines = lines_of(result.output);
  ASSERT_EQ(lines.size(), 3U) << result.output;
  EXPECT_EQ(difference(parse_json(lines[0], "0"), expected("Who?", "Anna and Bo.", 1), 1e-6), "");
  EXPECT_EQ(difference(parse_json(lines[1], "1"), expected("Who?", "Anna and Bo.", 2), 1e-6), "");
  EXPECT_EQ(difference(parse_json(lines[2], "2"), expected("Where?", "In Zürich.", 1), 1e-6), "");
}

TEST_F(RunTest, ReadsStandardInputLineByLine) {
  const fs::path file = write("texts.txt", "one\ntwo words\r\n\nlast without line feed");
  const std::string command = test_program() + " run sentiment-analysis -m " + model("bert_classifier") +
                              " --jsonl < " + write("texts.jsonl", "\"one\"\n{\"text\": \"two words\"}\n").string();
  EXPECT_EQ(lines_of(run_process({"/bin/sh", "-c", command}).output).size(), 2U);
  const ProcessResult result = run({"sentiment-analysis", "-m", model("bert_classifier"), "--file", file});
  EXPECT_EQ(lines_of(result.output).size(), 4U) << result.output << result.error;
}

TEST_F(RunTest, MemoryStaysConstantOverLongInput) {
  const auto peak = [&](std::size_t lines) {
    std::ofstream file(scratch_.path() / "lines.txt");
    for (std::size_t i = 0; i < lines; ++i) file << "Good coffee, bad service, terrible prices " << i % 100 << "\n";
    file.close();
    const ProcessResult result =
        run({"text-classification", "-m", model("bert_classifier"), "--file", scratch_.path() / "lines.txt"},
            {.output_file = scratch_.path() / "out.txt"});
    EXPECT_EQ(result.exit_status, 0) << result.error;
    return result.peak_memory_bytes;
  };
  const std::uint64_t short_peak = peak(10'000), long_peak = peak(40'000);
  EXPECT_LT(static_cast<double>(long_peak), 1.2 * static_cast<double>(short_peak));
}

TEST_F(RunTest, DrawsAProgressBarOnATerminalOnly) {
  const fs::path file = write("lines.txt", [] {
    std::string text;
    for (int i = 0; i < 30'000; ++i) text += "Good coffee, bad service, terrible prices " + std::to_string(i) + "\n";
    return text;
  }());
  const std::vector<std::string> call{"text-classification", "-m", model("bert_classifier"), "--file", file};
  EXPECT_TRUE(contains(run(call, {.terminal_columns = 80}).output, "Running  █"));
  EXPECT_EQ(run(call).error, "");
}

TEST_F(RunTest, ExportsACheckpointFirstAndSaysSo) {
  write_pipeline_checkpoint("bert_classifier", scratch_.path());
  const ProcessResult result = run({"text-classification", "-m", scratch_.path(), "Good coffee."});
  ASSERT_EQ(result.exit_status, 0) << result.error;
  EXPECT_TRUE(contains(result.error, "it is exported to ONNX now")) << result.error;
  EXPECT_FALSE(fs::exists(scratch_.path() / "model.onnx"));
  EXPECT_EQ(result.output, run({"text-classification", "-m", model("bert_classifier"), "Good coffee."}).output);
}

TEST_F(RunTest, ErrorsNameTheLine) {
  const fs::path file = write("texts.txt", "a [MASK]\nno mask\na [MASK]\n");
  const ProcessResult masks = run({"fill-mask", "-m", model("bert_masked"), "--top-k", "1", "--file", file});
  EXPECT_EQ(masks.exit_status, 1);
  EXPECT_TRUE(contains(masks.error, "line 2 of")) << masks.error;
  EXPECT_EQ(lines_of(masks.output).size(), 1U) << masks.output;

  for (const char* line : {"{\"txt\": 1}", "{", "{\"text\": \"a\", \"topk\": 1}"}) {
    const ProcessResult json = run({"text-classification", "-m", model("bert_classifier"), "--jsonl", "--file",
                                    write("bad.jsonl", std::string("\"good\"\n") + line + "\n")});
    EXPECT_EQ(json.exit_status, 1);
    EXPECT_TRUE(contains(json.error, "line 2 of")) << json.error;
    EXPECT_EQ(lines_of(json.output).size(), 1U) << json.output;
  }
}

TEST_F(RunTest, WrongUsageIsExplained) {
  const auto error_of = [](const std::vector<std::string>& arguments) {
    const ProcessResult result = run(arguments);
    EXPECT_EQ(result.exit_status, 2) << result.error;
    return result.error;
  };
  EXPECT_TRUE(contains(error_of({"text-clasification"}), "text-classification"));
  EXPECT_TRUE(contains(error_of({"summarization", "text"}), "fill-mask"));
  EXPECT_TRUE(contains(error_of({"fill-mask", "text"}), "--model"));
  EXPECT_TRUE(contains(error_of({"fill-mask", "-m", model("bert_masked"), "--file", "x", "text"}), "--file"));
  EXPECT_TRUE(contains(error_of({"question-answering", "-m", model("distilbert_reader"), "text"}), "--question"));
  EXPECT_TRUE(contains(error_of({"sentence-similarity", "-m", model("bert_features"), "text"}), "--source-sentence"));
  EXPECT_TRUE(
      contains(error_of({"text-classification", "-m", model("bert_classifier"), "--top-k", "x", "a"}), "integer"));
}

}  // namespace
}  // namespace onnxport::testing
