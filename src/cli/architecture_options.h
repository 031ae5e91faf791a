#pragma once

#include <filesystem>
#include <vector>

#include "cli/command_line.h"
#include "onnxport/architecture_options.h"

namespace onnxport::cli {

/// Shared libraries of further architectures.
Option plugin_option(std::vector<std::filesystem::path>& plugins);

/// The options for models that no architecture was written for, of every command that looks into a checkpoint.
OptionGroup architecture_options(ArchitectureOptions& options);

}  // namespace onnxport::cli
