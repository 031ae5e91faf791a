#pragma once

#include <cstddef>
#include <span>

namespace onnxport {

/// Has the kernel read what is mapped there, soon and in large pieces, while the caller does something else: reading it
/// by page faults waits for each piece, and strides defeat the kernel's own guess. Does nothing for other memory.
void read_ahead(std::span<const std::byte> mapped);

/// Takes pages out of this process. They stay in the system's cache, from where the next access gets them.
void release_pages(std::span<const std::byte> mapped);

}  // namespace onnxport
