#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// Programs as a user runs them.
namespace onnxport::testing {

struct ProcessOptions {
  std::filesystem::path working_directory{};
  std::map<std::string, std::string> environment{};  ///< beside the caller's own
  /// stdout and stderr are a terminal of this many columns; what it shows is the result's `output`.
  std::optional<int> terminal_columns{};
  std::filesystem::path input_file{};   ///< stdin comes from there; empty by default
  std::filesystem::path output_file{};  ///< stdout goes there
  /// Sends SIGKILL after this time.
  std::optional<std::chrono::microseconds> kill_after{};
  /// Runs in the child before the program; the child ends with status 125 unless it returns true.
  std::function<bool()> prepare{};
};

struct ProcessResult {
  int exit_status = -1;  ///< -1 if a signal ended it
  int signal = 0;
  std::string output;
  std::string error;
  double seconds = 0;
  std::uint64_t peak_memory_bytes = 0;
};

/// Runs a program with its arguments to its end. Throws std::system_error if it cannot be started.
ProcessResult run_process(const std::vector<std::string>& command, const ProcessOptions& options = {});

}  // namespace onnxport::testing
