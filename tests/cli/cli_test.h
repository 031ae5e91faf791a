#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/temporary_directory.h"
#include "onnxport/json.h"
#include "support/process.h"

namespace onnxport::testing {

/// Runs the program in an empty directory of the test's own.
class CliTest : public ::testing::Test {
 protected:
  /// `onnxport ARGUMENTS`, in the test's directory.
  ProcessResult run(const std::vector<std::string>& arguments, ProcessOptions options = {}) const;
  /// `onnxport export onnx --model checkpoint ARGUMENTS out`.
  ProcessResult export_checkpoint(const std::vector<std::string>& arguments = {}, ProcessOptions options = {}) const;

  /// Writes a fixture's checkpoint to `directory`: a tiny model with random weights.
  void make_checkpoint(std::string_view fixture = "distilbert", std::string_view task = "question-answering",
                       std::string_view directory = "checkpoint") const;
  /// Replaces the member of a config.json.
  void change_config(std::string_view name, const Json& value) const;
  /// The fixture's inputs and expected outputs.
  static std::filesystem::path reference_file(std::string_view fixture = "distilbert",
                                              std::string_view task = "question-answering");

  std::filesystem::path path(std::string_view name) const { return directory_ / name; }
  /// Everything below the directory, as sorted relative paths.
  std::vector<std::string> files(std::string_view name = "") const;

 private:
  const TemporaryDirectory temporary_;
  const std::filesystem::path directory_ = temporary_.path();
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view content);

/// The member at the end of a path through objects: at(report, "error", "kind"). Fails the test if there is none.
template <typename... Keys>
const Json& at(const Json& json, std::string_view key, Keys... keys) {
  static const Json null;
  const Json* found = json.find(key);
  if (found == nullptr) {
    ADD_FAILURE() << "no member \"" << key << "\" in " << dump_json(json);
    return null;
  }
  if constexpr (sizeof...(keys) == 0) {
    return *found;
  } else {
    return at(*found, keys...);
  }
}

/// The run failed with this status and says, in one line, all of these things on stderr.
::testing::AssertionResult failed(const ProcessResult& result, int status, const std::vector<std::string>& parts);
::testing::AssertionResult succeeded(const ProcessResult& result);
bool contains(std::string_view text, std::string_view part);

}  // namespace onnxport::testing
