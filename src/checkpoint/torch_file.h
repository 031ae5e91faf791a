#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "core/tensor_source.h"

namespace onnxport {

/// Reads a file that torch.save wrote of a state_dict (pytorch_model.bin): the zip format of torch 1.6 and later, or
/// the stream of earlier releases. Tensors lie in the mapped file; views that are not in one piece are gathered lazily.
/// As in torch.load(weights_only=True), nothing of the file is executed, and what is no part of tensors is refused by
/// name. Entries of the dictionary that are not tensors are left out, as from_pretrained has no use for them.
/// Throws Error(InvalidCheckpoint).
std::map<std::string, TensorSource, std::less<>> read_torch_file(const std::filesystem::path& path);

/// The same of a file's bytes, which the tensors refer to; `file` may be null.
std::map<std::string, TensorSource, std::less<>> parse_torch_file(std::span<const std::byte> bytes,
                                                                  const std::shared_ptr<const MappedFile>& file,
                                                                  const std::string& origin);

}  // namespace onnxport
