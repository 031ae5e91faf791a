#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "architectures/registry.h"

namespace onnxport {

/// What onnxport knows together with the architectures of plugins: shared libraries that ONNXPORT_PLUGIN is in. A
/// library stays loaded until the process ends; one that is named twice is loaded once.
/// Throws Error(InvalidArgument) that names the file: not there, no plugin (found out before any of its code runs),
/// made for another version of onnxport or another standard library, symbols that the program lacks, a model type that
/// is registered twice, nothing registered; and what the plugin's own function throws.
std::shared_ptr<const Registry> registry_with(std::span<const std::filesystem::path> plugins);

}  // namespace onnxport
