#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/tensor_source.h"

namespace onnxport {

/// A model directory: config.json and the tensors of its weight files, mapped, none of them read.
struct Checkpoint {
  std::filesystem::path directory;
  Json config;
  /// Weight files in the order of their names: model.safetensors or the shards of model.safetensors.index.json.
  std::vector<std::filesystem::path> weight_files;
  std::map<std::string, TensorSource, std::less<>> tensors;

  const TensorSource* find(std::string_view name) const;
  std::uint64_t byte_size() const;
};

/// Opens a directory in the layout of save_pretrained.
/// `variant` selects model.<variant>.safetensors as from_pretrained does; empty for the default.
/// Throws Error(InvalidCheckpoint): not a directory, no config.json, no weights (says which files were looked for and,
/// if there are weights in a format that comes later, names them), corrupt header, header larger than the file or than
/// 100 MB, overlapping or out-of-range offsets, byte count that contradicts dtype and shape, unknown dtype, a shard
/// that is missing or whose name leads outside the directory, a tensor of the index that its shard lacks.
Checkpoint open_checkpoint(const std::filesystem::path& directory, std::string_view variant = {});

/// Reads one safetensors file: its tensors, and the strings of __metadata__ if `metadata` is given. Same errors.
std::map<std::string, TensorSource, std::less<>> read_safetensors(
    const std::filesystem::path& path, std::map<std::string, std::string>* metadata = nullptr);

/// Writes tensors to a safetensors file (sorted names, header padded to 8 bytes). Throws Error(OutputFailed).
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, TensorSource, std::less<>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// Whole text file. Throws Error(InvalidCheckpoint) naming it; refuses more than 512 MB.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace onnxport
