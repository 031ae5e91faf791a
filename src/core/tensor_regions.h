#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/tensor_source.h"

namespace onnxport {

/// Bytes of a mapped file.
struct FileRegion {
  std::shared_ptr<const MappedFile> file;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// The bytes of mapped files that a source's elements come from: its own, or all that the transforms of
/// core/tensor_source.h read that it consists of. Of computations of other kinds nothing is known.
std::vector<FileRegion> regions_of(const TensorSource& source);

/// Whether element i is element i of the source's one region, as it is, cast or scaled: then a run of elements needs a
/// run of the region's bytes only.
bool is_elementwise(const TensorSource& source);

}  // namespace onnxport
