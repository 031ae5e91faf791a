#pragma once

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "core/temporary_directory.h"
#include "onnxport/json.h"

/// The directories of tests/pipelines/fixtures, which make_cases.py made.
namespace onnxport::testing {

std::filesystem::path pipeline_fixtures();

/// Names of the fixtures with a tiny model, sorted.
std::vector<std::string> pipeline_fixture_names();

/// Writes a fixture's checkpoint: config, weights, tokenizer.
void write_pipeline_checkpoint(const std::string& name, const std::filesystem::path& directory);

/// The fixture exported for its head; made once for each test program, and removed at its end.
std::filesystem::path exported_fixture(const std::string& name);

/// .deps/all-MiniLM-L6-v2, exported; as above. Fails with what to do if it is missing.
std::filesystem::path exported_minilm();

/// Rows of cases.jsonl.
std::vector<Json> pipeline_cases(const std::string& name);

/// Empty if two values are equal, their numbers within the tolerance; else where they differ and how.
std::string difference(const Json& actual, const Json& expected, double tolerance, const std::string& path = "$");

}  // namespace onnxport::testing
