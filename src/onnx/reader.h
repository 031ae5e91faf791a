#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "core/mapped_file.h"
#include "onnx/model.h"

namespace onnxport::onnx {

/// Reads an ONNX file's structure; weights stay in the mapped file. External data is mapped, too: a source has neither
/// bytes nor a computation if its external file is missing or too short.
/// Functions and attributes of rarer kinds are kept unread (Opaque); doc strings and metadata of nodes and values are
/// dropped.
/// Throws Error(InvalidModel): not readable, truncated or malformed, sizes that contradict, external data outside the
/// model's directory, element types or sparse initializers that onnxport does not know, subgraphs
/// nested too deep.
Model read_model(const std::filesystem::path& path);

/// The same of bytes in memory. `path` names the model in messages, and its directory is where external data lies.
/// The model's weights lie in `bytes`, which `file` keeps alive; without one, the caller does.
Model parse_model(std::span<const std::byte> bytes, const std::filesystem::path& path,
                  std::shared_ptr<const MappedFile> file = nullptr);

}  // namespace onnxport::onnx
