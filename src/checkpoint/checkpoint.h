#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor_source.h"
#include "onnxport/json.h"

namespace onnxport {

/// Whose files hold the weights. They are looked for in from_pretrained's order: model.safetensors, its index,
/// pytorch_model.bin, its index, and then tf_model.h5 and its index.
enum class Framework {
  Automatic,   ///< the first of them
  PyTorch,     ///< not those of TensorFlow
  TensorFlow,  ///< those of TensorFlow first
};

/// A model directory: config.json and the tensors of its weight files, mapped, none of them read.
struct Checkpoint {
  std::filesystem::path directory;
  Json config;
  /// Weight files in the order of their names: the single file, or the shards of an index.
  std::vector<std::filesystem::path> weight_files;
  std::map<std::string, TensorSource, std::less<>> tensors;

  const TensorSource* find(std::string_view name) const;
  std::uint64_t byte_size() const;
};

/// Opens a directory in the layout of save_pretrained. Tensors have PyTorch's names and shapes, whoever wrote them.
/// `variant` selects model.<variant>.safetensors or pytorch_model.<variant>.bin as from_pretrained does; empty for the
/// default.
/// Throws Error(InvalidCheckpoint): not a directory, no config.json, no weights (says which files were looked for and,
/// if there are weights in a format that comes later, names them), corrupt header, header larger than the file or than
/// 100 MB, overlapping or out-of-range offsets, byte count that contradicts dtype and shape, unknown dtype, a shard
/// that is missing or whose name leads outside the directory, a tensor of the index that its shard lacks; and what
/// read_torch_file and read_tensorflow_file refuse.
Checkpoint open_checkpoint(const std::filesystem::path& directory, std::string_view variant = {},
                           Framework framework = Framework::Automatic);

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
