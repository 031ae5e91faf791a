#pragma once

#include <filesystem>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "graph/evaluate.h"

/// Golden fixtures: tiny checkpoints of every architecture with inputs and outputs that transformers computed.
/// tests/golden/README.md gives the format.
namespace onnxport::testing {

struct FixtureCase {
  NamedArrays inputs;
  NamedArrays outputs;
};

/// One ONNX file of one task of a fixture.
struct FixtureFile {
  std::filesystem::path path;
  std::string fixture;  ///< directory name: model type, or model type.variant
  std::string task;
  std::string submodel;  ///< "model", "encoder_model", ...
  std::map<std::string, std::string> metadata;
};

/// How GoogleTest names the file in messages.
inline void PrintTo(const FixtureFile& file, std::ostream* out) {
  *out << file.fixture << "/" << file.path.filename().string();
}

std::filesystem::path fixtures_directory();
/// All task files of all fixtures, sorted. Reads metadata only, and once.
const std::vector<FixtureFile>& fixture_files();
std::vector<FixtureCase> read_cases(const FixtureFile& file);
/// The checkpoint that the file's outputs were computed from, its tensors made from their formula, in memory.
Checkpoint materialize_checkpoint(const FixtureFile& file);
/// The same as a real model directory: config.json, model.safetensors and the other JSON files.
void write_checkpoint(const FixtureFile& file, const std::filesystem::path& directory);

}  // namespace onnxport::testing
