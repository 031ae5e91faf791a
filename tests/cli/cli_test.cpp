#include "cli_test.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "checkpoint/checkpoint.h"
#include "support/fixture.h"
#include "support/paths.h"

namespace onnxport::testing {

namespace fs = std::filesystem;

ProcessResult CliTest::run(const std::vector<std::string>& arguments, ProcessOptions options) const {
  std::vector<std::string> command{test_program()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  options.working_directory = directory_;
  // No test asks the real Hub, however it spells a model.
  options.environment.try_emplace("HF_HUB_OFFLINE", "1");
  options.environment.try_emplace("HF_HOME", (directory_ / ".huggingface").string());
  return run_process(command, options);
}

ProcessResult CliTest::export_checkpoint(const std::vector<std::string>& arguments, ProcessOptions options) const {
  std::vector<std::string> command{"export", "onnx", "--model", "checkpoint"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.emplace_back("out");
  return run(command, std::move(options));
}

fs::path CliTest::reference_file(std::string_view fixture, std::string_view task) {
  return fixtures_directory() / fixture / (std::string(task) + ".safetensors");
}

void CliTest::make_checkpoint(std::string_view fixture, std::string_view task, std::string_view directory) const {
  FixtureFile file{reference_file(fixture, task), std::string(fixture), std::string(task), "model", {}};
  read_safetensors(file.path, &file.metadata);
  write_checkpoint(file, path(directory));
}

void CliTest::change_config(std::string_view name, const Json& value) const {
  const fs::path file = path("checkpoint/config.json");
  Json config = parse_json(read_file(file), "config.json");
  config.set(name, value);
  write_file(file, dump_json(config, 2));
}

std::vector<std::string> CliTest::files(std::string_view name) const {
  std::vector<std::string> names;
  const fs::path root = path(name);
  if (!fs::exists(root)) return names;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    names.push_back(entry.path().lexically_relative(root).string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_file(const fs::path& path, std::string_view content) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

::testing::AssertionResult failed(const ProcessResult& result, int status, const std::vector<std::string>& parts) {
  if (result.exit_status != status)
    return ::testing::AssertionFailure() << "exit status " << result.exit_status << ", signal " << result.signal
                                         << ", stderr: " << result.error;
  if (!result.error.starts_with("onnxport: error: "))
    return ::testing::AssertionFailure() << "stderr is no error message: " << result.error;
  for (const std::string& part : parts)
    if (!contains(result.error, part))
      return ::testing::AssertionFailure() << "stderr does not say \"" << part << "\": " << result.error;
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult succeeded(const ProcessResult& result) {
  if (result.exit_status == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "exit status " << result.exit_status << ", signal " << result.signal
                                       << ", stderr: " << result.error;
}

}  // namespace onnxport::testing
