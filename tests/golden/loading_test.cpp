// How checkpoints are read that do not hold exactly what the HF class saves: what tools/loading.py found that
// transformers makes of them.
#include <algorithm>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "architectures/build.h"
#include "onnx/lowering.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "support/fixture.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

Json expected_values(const std::string& file) {
  return parse_json(read_text_file(fixtures_directory().parent_path() / file), file);
}

std::vector<std::string> strings(const Json& array) {
  std::vector<std::string> result;
  for (const Json& item : array.array()) result.push_back(item.string());
  return result;
}

/// One checkpoint of unused_tensors.json.
struct LoadedCheckpoint {
  FixtureFile file;
  std::vector<std::string> added;
  std::vector<std::pair<std::string, std::vector<std::string>>> unused;  ///< by task
};

void PrintTo(const LoadedCheckpoint& checkpoint, std::ostream* out) { PrintTo(checkpoint.file, out); }

std::vector<LoadedCheckpoint> loaded_checkpoints() {
  const std::vector<FixtureFile>& files = fixture_files();
  std::vector<LoadedCheckpoint> result;
  const Json checkpoints = expected_values("unused_tensors.json");
  for (const Json& entry : checkpoints.array()) {
    const fs::path path = fixtures_directory() / entry.find("fixture")->string() / entry.find("file")->string();
    const auto file = std::find_if(files.begin(), files.end(), [&](const FixtureFile& f) { return f.path == path; });
    if (file == files.end()) throw std::runtime_error("unused_tensors.json: no fixture " + path.string());
    LoadedCheckpoint& loaded = result.emplace_back(LoadedCheckpoint{*file, strings(*entry.find("added")), {}});
    for (const auto& [task, names] : entry.find("unused")->object()) loaded.unused.emplace_back(task, strings(names));
  }
  return result;
}

std::string name_of(const FixtureFile& file) {
  std::string name = file.fixture + "__" + file.path.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

class UnusedTensors : public ::testing::TestWithParam<LoadedCheckpoint> {};

TEST_P(UnusedTensors, AreThoseThatFromPretrainedReports) {
  Checkpoint checkpoint = materialize_checkpoint(GetParam().file);
  for (const std::string& name : GetParam().added)
    checkpoint.tensors.emplace(name, from_array(Array::float32({1}, std::vector<float>{0})));
  const Architecture& architecture = architecture_of(Config(checkpoint.config));
  for (const auto& [task, names] : GetParam().unused)
    EXPECT_EQ(build_task(checkpoint, architecture, task).unused_tensors, names) << task;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, UnusedTensors, ::testing::ValuesIn(loaded_checkpoints()),
                         [](const auto& test) { return name_of(test.param.file); });

void print(std::ostream& out, std::int64_t value) { out << value; }
void print(std::ostream& out, float value) { out << std::hexfloat << value; }
void print(std::ostream& out, const std::string& value) { out << value; }
void print(std::ostream& out, const Array& value) {
  out.write(reinterpret_cast<const char*>(value.bytes().data()), static_cast<std::streamsize>(value.bytes().size()));
}
void print(std::ostream&, const onnx::Subgraph&) { throw std::logic_error("no lowering writes a subgraph"); }
void print(std::ostream&, const onnx::Opaque&) { throw std::logic_error("no lowering writes an opaque attribute"); }
template <typename T>
void print(std::ostream& out, const std::vector<T>& values) {
  for (const T& value : values) {
    print(out, value);
    out << ",";
  }
}

/// All that a config changes about a graph: everything but the values of weights.
std::string describe(const onnx::Model& model) {
  std::ostringstream text;
  for (const onnx::ValueInfo& input : model.graph.inputs) text << "input " << input.name << "\n";
  for (const onnx::Initializer& initializer : model.graph.initializers) {
    text << initializer.name << shape_to_string(initializer.source.shape);
    if (initializer.source.element_count() == 1) print(text, materialize(initializer.source));
    text << "\n";
  }
  for (const onnx::Node& node : model.graph.nodes) {
    text << node.op_type;
    for (const std::string& name : node.inputs) text << " " << name;
    text << " ->";
    for (const std::string& name : node.outputs) text << " " << name;
    for (const onnx::Attribute& attribute : node.attributes) {
      text << " " << attribute.name << "=";
      std::visit([&](const auto& value) { print(text, value); }, attribute.value);
    }
    text << "\n";
  }
  return text.str();
}

/// The graphs of a checkpoint, or what is said when there are none.
std::string outcome(const Checkpoint& checkpoint, const std::string& task) {
  try {
    std::string text;
    for (const BuiltModel& model : build_task(checkpoint, architecture_of(Config(checkpoint.config)), task).models)
      text += describe(onnx::lower_graph(*model.graph, {}));
    return text;
  } catch (const Error& error) {
    return error.what();
  }
}

class ConfigDefaults : public ::testing::TestWithParam<FixtureFile> {};

/// A member that config.json leaves out means what the HF config class takes in its place.
TEST_P(ConfigDefaults, AreThoseOfTheConfigClass) {
  static const Json defaults = expected_values("config_defaults.json");
  const FixtureFile& file = GetParam();
  const Json* members = defaults.find(file.metadata.at("model_type"));
  ASSERT_NE(members, nullptr) << "run tests/golden/tools/loading.py";
  Checkpoint checkpoint = materialize_checkpoint(file);
  const Json original = checkpoint.config;
  for (const auto& [name, value] : members->object()) {
    checkpoint.config = original;
    checkpoint.config.set(name, value);
    const std::string expected = outcome(checkpoint, file.task);
    checkpoint.config.erase(name);
    EXPECT_EQ(outcome(checkpoint, file.task), expected)
        << name << ", of which " << dump_json(value) << " is the default";
  }
}

/// One file of each checkpoint and task.
std::vector<FixtureFile> files_of_tasks() {
  std::vector<FixtureFile> result;
  std::set<std::pair<std::string, std::string>> seen;
  for (const FixtureFile& file : fixture_files())
    if (seen.emplace(file.fixture, file.task).second) result.push_back(file);
  return result;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ConfigDefaults, ::testing::ValuesIn(files_of_tasks()),
                         [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace onnxport::testing
