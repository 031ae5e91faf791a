// Outputs beyond those of a task: against values of transformers (tools/outputs.py), and all that are claimed, of every
// registered task, against the evaluation.
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "graph/evaluate.h"
#include "onnx/lowering.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "run_fixture.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

/// Series that transformers has and onnxport does not: of windows as wide as there are global tokens, and of blocks.
bool is_lacked(const std::string& fixture, const std::string& name) {
  return name == "attentions" &&
         (fixture == "longformer" || fixture == "big_bird" || fixture == "big_bird.block_sparse");
}

/// A file of tests/golden/outputs.
struct OutputsFile {
  fs::path path;
  FixtureFile fixture;  ///< whose checkpoint and inputs it has
  int example = 0;      ///< which case of it
  std::vector<std::string> names;
};

void PrintTo(const OutputsFile& file, std::ostream* out) { PrintTo(file.fixture, out); }

std::vector<OutputsFile> outputs_files() {
  std::map<fs::path, FixtureFile> fixtures;
  for (const FixtureFile& file : fixture_files()) fixtures.emplace(file.path, file);
  std::vector<OutputsFile> files;
  for (const auto& entry : fs::recursive_directory_iterator(fixtures_directory().parent_path() / "outputs")) {
    if (entry.is_directory()) continue;
    std::map<std::string, std::string> metadata;
    read_safetensors(entry.path(), &metadata);
    OutputsFile file{
        entry.path(), fixtures.at(fixtures_directory() / metadata.at("fixture")), std::stoi(metadata.at("case")), {}};
    const Json outputs = parse_json(metadata.at("outputs"), "outputs");
    for (const Json& name : outputs.array())
      if (!is_lacked(file.fixture.fixture, name.string())) file.names.push_back(name.string());
    files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

std::vector<std::string> output_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const GraphOutput& output : graph.outputs()) names.push_back(output.name);
  return names;
}

bool is_chosen(const OutputsFile& file, const std::string& output) {
  return std::any_of(file.names.begin(), file.names.end(),
                     [&](const std::string& name) { return output == name || output.starts_with(name + "."); });
}

class GoldenOutputs : public ::testing::TestWithParam<OutputsFile> {};

TEST_P(GoldenOutputs, ReproduceTransformers) {
  const OutputsFile& file = GetParam();
  const BuiltModel built = build_fixture(file.fixture, {.names = file.names});
  const FixtureCase example = read_cases(file.fixture).at(static_cast<std::size_t>(file.example));
  const double atol = std::stod(file.fixture.metadata.at("atol"));
  const NamedArrays evaluated = evaluate_graph(*built.graph, example.inputs);
  const std::vector<std::string> names = output_names(*built.graph);
  for (const auto& [name, source] : read_safetensors(file.path)) {
    if (!is_chosen(file, name)) continue;
    ASSERT_NE(find(evaluated, name), nullptr) << name;
    expect_close(*find(evaluated, name), materialize(source), atol, "evaluation, " + name);
  }
  for (const int opset : {onnx::minimum_opset, 18, 23, onnx::maximum_opset}) {
    const Session session = load_fixture(file.fixture, onnx::lower_graph(*built.graph, {.opset = opset}));
    const std::vector<Array> outputs = session.run(example.inputs, names);
    for (const auto& [name, source] : read_safetensors(file.path)) {
      if (!is_chosen(file, name)) continue;
      const auto index = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
      expect_close(outputs.at(index), materialize(source), atol, "opset " + std::to_string(opset) + ", " + name);
    }
  }
}

std::string name_of(const std::string& fixture, const fs::path& path) {
  std::string name = fixture + "__" + path.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenOutputs, ::testing::ValuesIn(outputs_files()), [](const auto& fixture) {
  return name_of(fixture.param.fixture.fixture, fixture.param.path);
});

/// One fixture of each registered type: those without a variant.
std::vector<FixtureFile> plain_fixtures() {
  std::vector<FixtureFile> files = fixture_files();
  std::erase_if(files, [](const FixtureFile& file) { return file.fixture.find('.') != std::string::npos; });
  return files;
}

class ClaimedOutputs : public ::testing::TestWithParam<FixtureFile> {};

TEST_P(ClaimedOutputs, RunAsEvaluated) {
  const FixtureFile& file = GetParam();
  const std::vector<std::string> claimed = build_fixture(file).available_outputs;
  const BuiltModel built = build_fixture(file, {.names = claimed});
  const FixtureCase example = read_cases(file).front();
  const std::vector<std::string> names = output_names(*built.graph);
  EXPECT_EQ(names, claimed);
  EXPECT_TRUE(std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.find("hidden_states.0") != std::string::npos;
  })) << "no hidden states are recorded";
  const NamedArrays evaluated = evaluate_graph(*built.graph, example.inputs);
  for (const int opset : {18, 23}) {
    const Session session = load_fixture(file, onnx::lower_graph(*built.graph, {.opset = opset}));
    const std::vector<Array> outputs = session.run(example.inputs, names);
    for (std::size_t i = 0; i < names.size(); ++i)
      expect_close(outputs[i], *find(evaluated, names[i]), 1e-4, "opset " + std::to_string(opset) + ", " + names[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ClaimedOutputs, ::testing::ValuesIn(plain_fixtures()),
                         [](const auto& fixture) { return name_of(fixture.param.fixture, fixture.param.path); });

}  // namespace
}  // namespace onnxport::testing
