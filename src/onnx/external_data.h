#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "onnx/model.h"

namespace onnxport::onnx {

/// The files that hold a model's external data, relative to its directory.
std::set<std::string> external_locations(const Model& model);

/// Throws Error(InvalidModel) that names the file if external data of the model that was read from `file` is missing or
/// too short.
void check_external_data(const Model& model, const std::filesystem::path& file);

}  // namespace onnxport::onnx
