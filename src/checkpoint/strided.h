#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor_source.h"

namespace onnxport {

/// A view of a tensor of one axis, as torch's as_strided: element (i, j, ...) is number
/// offset + i * strides[0] + j * strides[1] + ... of `storage`. A view that lies in one piece stays in memory or
/// mapped where `storage` is; a transposed one becomes a lazy transpose; others are gathered when read.
/// `strides` has as many members as `shape`, none of them negative.
/// Throws Error(InvalidCheckpoint) beginning with `subject` if the view leaves the storage.
TensorSource strided_view(const TensorSource& storage, std::int64_t offset, std::vector<std::int64_t> shape,
                          std::vector<std::int64_t> strides, std::string_view subject);

/// A view of a mapped file costs nothing until it is read; one that repeats its storage then costs whatever it says.
/// Throws Error(InvalidCheckpoint) if the tensors of a file have far more bytes together than the file.
void refuse_repetition(const std::map<std::string, TensorSource, std::less<>>& tensors, std::uint64_t file_size,
                       std::string_view origin);

}  // namespace onnxport
