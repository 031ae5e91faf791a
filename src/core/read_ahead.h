#pragma once

#include <cstddef>
#include <span>

namespace onnxport {

/// Has the kernel read what is mapped there, soon and in large pieces, while the caller does something else: reading it
/// by page faults waits for each piece, and strides defeat the kernel's own guess. Does nothing for other memory.
void read_ahead(std::span<const std::byte> mapped);

}  // namespace onnxport
