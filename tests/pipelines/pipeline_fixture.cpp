#include "pipeline_fixture.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>

#include "onnxport/exporter.h"
#include "support/fixture.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

fs::path exported(const std::string& name, const std::function<void(const fs::path& output)>& export_to) {
  static std::mutex mutex;
  static TemporaryDirectory scratch;
  const std::scoped_lock lock(mutex);
  const fs::path output = scratch.path() / name;
  if (!fs::exists(output)) export_to(output);
  return output;
}

}  // namespace

fs::path pipeline_fixtures() { return source_directory() / "tests/pipelines/fixtures"; }

std::vector<std::string> pipeline_fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(pipeline_fixtures()))
    if (fs::exists(entry.path() / "weights.json")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

void write_pipeline_checkpoint(const std::string& name, const fs::path& directory) {
  const fs::path fixture = pipeline_fixtures() / name;
  const Json config = parse_json(read_text_file(fixture / "config.json"), "config.json");
  FixtureFile file{.path = fixture / "cases.jsonl", .fixture = name, .task = {}, .submodel = {}, .metadata = {}};
  file.metadata = {{"config", "config.json"},
                   {"weights", "weights.json"},
                   {"constants", ""},
                   {"checkpoint_architecture", config.find("architectures")->array().front().string()}};
  write_checkpoint(file, directory);
  for (const char* companion : {"tokenizer.json", "special_tokens_map.json"})
    fs::copy_file(fixture / companion, directory / companion, fs::copy_options::overwrite_existing);
}

fs::path exported_fixture(const std::string& name) {
  return exported(name, [&](const fs::path& output) {
    const TemporaryDirectory checkpoint;
    write_pipeline_checkpoint(name, checkpoint.path());
    export_onnx({.model = checkpoint.path(), .output = output, .validate = false});
  });
}

fs::path exported_minilm() {
  const fs::path model = source_directory() / ".deps/all-MiniLM-L6-v2";
  if (!fs::exists(model / "model.safetensors"))
    throw std::runtime_error("the demo's model is missing: run tools/fetch-demo-model.sh");
  return exported("all-MiniLM-L6-v2",
                  [&](const fs::path& output) { export_onnx({.model = model, .output = output, .validate = false}); });
}

std::vector<Json> pipeline_cases(const std::string& name) {
  std::istringstream lines(read_text_file(pipeline_fixtures() / name / "cases.jsonl"));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(parse_json(line, name + "/cases.jsonl"));
  return rows;
}

std::string difference(const Json& actual, const Json& expected, double tolerance, const std::string& path) {
  const auto differ = [&] { return path + ": " + dump_json(actual) + " instead of " + dump_json(expected); };
  if (actual.is_number() && expected.is_number())
    return std::abs(actual.number() - expected.number()) <= tolerance ? "" : differ();
  if (actual.is_array() && expected.is_array()) {
    if (actual.array().size() != expected.array().size()) return differ();
    for (std::size_t i = 0; i < expected.array().size(); ++i) {
      const std::string element = path + "[" + std::to_string(i) + "]";
      if (auto text = difference(actual.array()[i], expected.array()[i], tolerance, element); !text.empty())
        return text;
    }
    return "";
  }
  if (actual.is_object() && expected.is_object()) {
    if (actual.object().size() != expected.object().size()) return differ();
    for (std::size_t i = 0; i < expected.object().size(); ++i) {
      const auto& [name, value] = expected.object()[i];
      if (actual.object()[i].first != name) return differ();
      if (auto text = difference(actual.object()[i].second, value, tolerance, path + "." + name); !text.empty())
        return text;
    }
    return "";
  }
  return actual == expected ? "" : differ();
}

}  // namespace onnxport::testing
