#pragma once

#include <filesystem>
#include <vector>

#include "onnxport/json.h"

namespace onnxport {

/// Copies what Optimum writes beside a model into `to`: config.json (as `config`, which may carry changes),
/// generation_config.json, the files of tokenizers and of processors, chat templates, and those of a
/// sentence-transformers directory. Returns the names written, relative to `to`.
/// Throws Error(OutputFailed).
std::vector<std::filesystem::path> write_companion_files(const std::filesystem::path& from, const Json& config,
                                                         const std::filesystem::path& to);

/// Indented, as the Python libraries write their configurations. Throws Error(OutputFailed).
void write_json_file(const Json& json, const std::filesystem::path& path);

}  // namespace onnxport
