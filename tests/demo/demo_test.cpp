// The demo, with the real all-MiniLM-L6-v2: its embeddings are those of sentence-transformers, and what `make demo`
// prints are its true similarities. tests/demo/make_reference.py made the values.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "core/temporary_directory.h"
#include "onnxport/auto_tokenizer.h"
#include "onnxport/exporter.h"
#include "runtime/session.h"
#include "support/paths.h"
#include "support/process.h"
#include "validation/validate.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

const fs::path root = source_directory();

class DemoTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fs::exists(model() / "model.safetensors"))
        << "the demo's model is missing: run tools/fetch-demo-model.sh";
  }

  static fs::path model() { return root / ".deps/all-MiniLM-L6-v2"; }
  fs::path path(std::string_view name) const { return directory_ / name; }

  /// tools/demo.sh as `make demo` runs it, whatever model the tester's own environment names.
  ProcessResult run_demo(ProcessOptions options = {}) const {
    for (const char* variable : {"MODEL", "TEXT"}) options.environment.emplace(variable, "");
    options.environment.emplace("BUILD", fs::path(test_program()).parent_path());
    options.environment.emplace("OUTPUT", directory_);
    return run_process({(root / "tools/demo.sh").string()}, options);
  }

 private:
  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

std::vector<ReferenceCase> reference() {
  return read_reference(root / "tests/demo/all_minilm_l6_v2_embeddings.safetensors");
}

double largest_difference(const Array& actual, const Array& expected) {
  EXPECT_EQ(actual.shape(), expected.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < expected.element_count(); ++i)
    largest = std::max(largest, std::fabs(double{actual.data<float>()[i]} - double{expected.data<float>()[i]}));
  return largest;
}

TEST_F(DemoTest, EmbeddingsAreThoseOfSentenceTransformers) {
  const ExportResult result = export_onnx({.model = model(), .output = path("output")});
  EXPECT_TRUE(result.validated);
  EXPECT_TRUE(result.warnings.empty());
  const Session session(path("output/model.onnx"));
  std::size_t compared = 0;
  for (const ReferenceCase& example : reference()) {
    std::vector<std::string> names;
    for (const auto& [name, expected] : example.outputs) names.push_back(name);
    const std::vector<Array> outputs = session.run(example.inputs, names);
    for (std::size_t i = 0; i < names.size(); ++i, ++compared)
      EXPECT_LE(largest_difference(outputs[i], example.outputs[i].second), 1e-5)
          << names[i] << " of " << example.description;
  }
  EXPECT_EQ(compared, 5U);
}

TEST_F(DemoTest, TheTransformerAloneIsAModelToo) {
  const ExportResult result = export_onnx(
      {.model = model(), .output = path("output"), .task = "feature-extraction", .library_name = "transformers"});
  EXPECT_TRUE(result.validated);
  ASSERT_FALSE(result.validations.empty());
  EXPECT_EQ(result.validations.front().output, "last_hidden_state");
}

/// The first reference is the demo's sentences: what the demo prints can be told from it.
TEST_F(DemoTest, TheTokenizerGivesTheIdsOfTheReference) {
  std::vector<std::string> sentences;
  std::ifstream file(root / "examples/demo/sentences.txt");
  for (std::string line; std::getline(file, line);) sentences.push_back(line);
  const BatchEncoding encoded =
      AutoTokenizer::from_pretrained(model())(sentences, {.padding = PaddingStrategy::Longest});
  const ReferenceCase demo = reference().front();
  ASSERT_EQ(demo.inputs.size(), 2U);
  for (const auto& [name, expected] : demo.inputs) {
    const Array actual = encoded.tensor(name);
    ASSERT_EQ(actual.shape(), expected.shape()) << name;
    EXPECT_TRUE(std::ranges::equal(actual.bytes(), expected.bytes())) << name;
  }
}

/// Cosines of the embeddings, which are normalized, of the demo's sentences.
std::vector<std::vector<double>> true_similarities() {
  const ReferenceCase demo = reference().front();
  const Array& embeddings = demo.outputs.front().second;
  const std::int64_t count = embeddings.shape().at(0), size = embeddings.shape().at(1);
  std::vector<std::vector<double>> similarities;
  for (std::int64_t a = 0; a < count; ++a) {
    auto& row = similarities.emplace_back();
    for (std::int64_t b = 0; b < count; ++b) {
      double product = 0;
      for (std::int64_t i = 0; i < size; ++i)
        product += double{embeddings.data<float>()[a * size + i]} * double{embeddings.data<float>()[b * size + i]};
      row.push_back(product);
    }
  }
  return similarities;
}

/// The printed matrix: lines of a number and nothing but numbers after it, as many as there are rows.
std::vector<std::vector<double>> printed_similarities(const std::string& output) {
  std::vector<std::vector<double>> similarities;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::size_t number = 0;
    std::vector<double> row;
    words >> number;
    for (double value = 0; words >> value;) row.push_back(value);
    if (number == similarities.size() + 1 && words.eof() && row.size() > 1 && line.find('.') != std::string::npos)
      similarities.push_back(std::move(row));
  }
  return similarities;
}

TEST_F(DemoTest, PrintsTheTrueSimilarities) {
  const ProcessResult result = run_demo();
  ASSERT_EQ(result.exit_status, 0) << result.output << result.error;
  const auto printed = printed_similarities(result.output);
  const auto expected = true_similarities();
  ASSERT_EQ(printed.size(), expected.size()) << result.output;
  for (std::size_t row = 0; row < expected.size(); ++row) {
    ASSERT_EQ(printed[row].size(), expected.size()) << result.output;
    for (std::size_t column = 0; column < expected.size(); ++column)
      EXPECT_NEAR(printed[row][column], expected[row][column], 1e-4) << row << ", " << column;
  }
  // Each of the pairs is more alike than any two sentences that are not a pair.
  for (std::size_t row = 0; row < expected.size(); ++row)
    for (std::size_t column = 0; column < expected.size(); ++column)
      if (row / 2 != column / 2) {
        EXPECT_LT(printed[row][column] + 0.3, printed[row][row ^ 1U]);
      }
}

TEST_F(DemoTest, DrawsTheSimilaritiesOnATerminal) {
  const ProcessResult result = run_demo({.terminal_columns = 120});
  ASSERT_EQ(result.exit_status, 0) << result.output;
  EXPECT_NE(result.output.find("██  1.00"), std::string::npos) << result.output;
}

TEST_F(DemoTest, ComparesSentencesOfYourOwn) {
  std::ofstream(path("text.txt"))
      << "Where is the café?\n\nI am looking for a coffee house.\nÜber allen Gipfeln ist Ruh.\n";
  const ProcessResult result = run_demo({.environment = {{"TEXT", path("text.txt").string()}}});
  ASSERT_EQ(result.exit_status, 0) << result.error;
  const auto printed = printed_similarities(result.output);
  ASSERT_EQ(printed.size(), 3U) << result.output;
  EXPECT_GT(printed[0][1], printed[0][2] + 0.3);
}

/// A sentence-transformer of another vocabulary, whose transformer lies in a folder: first with its tokenizer, then
/// without.
TEST_F(DemoTest, AnotherModelHasATokenizerOfItsOwnOrNone) {
  const fs::path other = path("bert.folder");
  fs::copy(root / "tests/sentence_transformers/fixtures/bert.folder", other, fs::copy_options::recursive);
  const ProcessResult with = run_demo({.environment = {{"MODEL", other.string()}}});
  EXPECT_EQ(with.exit_status, 0) << with.error;
  EXPECT_EQ(printed_similarities(with.output).size(), 8U) << with.output;

  for (const char* file : {"tokenizer.json", "vocab.txt"}) fs::remove(other / "0_Transformer" / file);
  fs::remove_all(path("output"));
  const ProcessResult without = run_demo({.environment = {{"MODEL", other.string()}, {"OUTPUT", path("output")}}});
  EXPECT_EQ(without.exit_status, 0) << without.error;
  EXPECT_NE(without.output.find("has no tokenizer"), std::string::npos) << without.output;
  EXPECT_TRUE(printed_similarities(without.output).empty());
}

TEST_F(DemoTest, ModelsThatAreNoSentenceTransformerAreInspected) {
  const fs::path checkpoint = path("checkpoint");
  fs::create_directories(checkpoint);
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy(root / "tests/sentence_transformers/fixtures/distilbert" / file, checkpoint / file);
  const ProcessResult result = run_demo({.environment = {{"MODEL", checkpoint.string()}}});
  EXPECT_EQ(result.exit_status, 0) << result.error;
  EXPECT_NE(result.output.find("onnxport inspect"), std::string::npos);
  EXPECT_NE(result.output.find("last_hidden_state"), std::string::npos) << result.output;
}

TEST_F(DemoTest, SaysWhatIsMissing) {
  const ProcessResult model = run_demo({.environment = {{"MODEL", "/does/not/exist"}}});
  EXPECT_NE(model.exit_status, 0);
  EXPECT_NE(model.error.find("MODEL=/does/not/exist is not a directory"), std::string::npos) << model.error;
  const ProcessResult text = run_demo({.environment = {{"TEXT", "/does/not/exist"}}});
  EXPECT_NE(text.exit_status, 0);
  EXPECT_NE(text.error.find("TEXT=/does/not/exist cannot be read"), std::string::npos) << text.error;
}

}  // namespace
}  // namespace onnxport::testing
