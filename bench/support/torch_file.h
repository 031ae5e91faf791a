#pragma once

#include <filesystem>

namespace onnxport::bench {

/// Writes the float32 tensors of a safetensors file as torch.save does, into a zip archive whose members are stored and
/// aligned to 64 bytes: a pytorch_model.bin. They are never in memory as a whole.
void write_torch_file(const std::filesystem::path& safetensors, const std::filesystem::path& path);

}  // namespace onnxport::bench
