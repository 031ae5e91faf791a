#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/process.h"

/// Where the benchmarks find and leave things. All of it lies in the build tree; `make clean` removes it.
namespace onnxport::bench {

/// The program that is measured, build/onnxport.
std::filesystem::path program();
/// build/bench-data: checkpoints and what they are exported to.
std::filesystem::path data_directory();
/// build/peers: what bench/peers.sh made.
std::filesystem::path peers_directory();

/// optimum-cli of the peers' Python environment: that of $PEERS_VENV, else build/peers/venv.
std::optional<std::filesystem::path> optimum_cli();
/// How to get the peers where they are missing, for the table's notes.
std::string how_to_get_peers();

/// Runs a command that must succeed; throws std::runtime_error with what it wrote to stderr otherwise.
testing::ProcessResult run(const std::vector<std::string>& command, const testing::ProcessOptions& options = {});
/// "onnxport export onnx --model checkpoint [options] output", where output does not exist before. Returns after the
/// process has ended.
testing::ProcessResult run_export(const std::filesystem::path& checkpoint, const std::filesystem::path& output,
                                  const std::vector<std::string>& options = {});

}  // namespace onnxport::bench
