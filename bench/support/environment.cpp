#include "support/environment.h"

#include <cstdlib>
#include <stdexcept>

namespace onnxport::bench {

namespace fs = std::filesystem;

fs::path program() { return ONNXPORT_BENCH_PROGRAM; }
fs::path data_directory() { return fs::path(ONNXPORT_BENCH_BUILD_DIRECTORY) / "bench-data"; }
fs::path peers_directory() { return fs::path(ONNXPORT_BENCH_BUILD_DIRECTORY) / "peers"; }

std::optional<fs::path> optimum_cli() {
  const char* chosen = std::getenv("PEERS_VENV");
  const fs::path venv = chosen != nullptr && *chosen != '\0' ? fs::path(chosen) : peers_directory() / "venv";
  const fs::path path = venv / "bin" / "optimum-cli";
  if (!fs::exists(path)) return std::nullopt;
  return path;
}

std::string how_to_get_peers() { return "not compared with Optimum: bash bench/peers.sh installs it"; }

testing::ProcessResult run(const std::vector<std::string>& command, const testing::ProcessOptions& options) {
  testing::ProcessResult result = testing::run_process(command, options);
  if (result.exit_status == 0) return result;
  std::string line;
  for (const std::string& word : command) line += word + " ";
  throw std::runtime_error(line + "failed:\n" + result.error);
}

testing::ProcessResult run_export(const fs::path& checkpoint, const fs::path& output,
                                  const std::vector<std::string>& options) {
  fs::remove_all(output);
  std::vector<std::string> command{program().string(), "export", "onnx", "--quiet", "--model", checkpoint.string()};
  command.insert(command.end(), options.begin(), options.end());
  command.push_back(output.string());
  return run(command);
}

}  // namespace onnxport::bench
