#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "onnx/model.h"
#include "onnxport/json.h"

namespace onnxport {

/// A graph, and those inside it, as make_fixtures.py describes it: sorted nodes, and initializers with type, shape and
/// the hash of their bytes.
void describe(const onnx::Graph& graph, const std::string& prefix, Json::Object& result);

/// Reads a model and compares it with the "graphs" of a fixture.
void expect_graphs(const std::filesystem::path& model, const Json& graphs);

/// Names of the JSON files in a directory, without extension, sorted.
std::vector<std::string> case_names(const std::filesystem::path& directory);

}  // namespace onnxport
