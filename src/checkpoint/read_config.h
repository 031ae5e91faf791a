#pragma once

#include <filesystem>

#include "checkpoint/config.h"

namespace onnxport {

/// config.json of a model's directory, without members where there is no such file. Throws
/// Error(InvalidCheckpoint).
Config read_config(const std::filesystem::path& directory);

}  // namespace onnxport
