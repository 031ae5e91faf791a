#include "core/read_ahead.h"

#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

namespace onnxport {

void read_ahead(std::span<const std::byte> mapped) {
  if (mapped.empty()) return;
  static const auto page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t into_page = reinterpret_cast<std::uintptr_t>(mapped.data()) % page_size;
  // A hint: if the kernel refuses it, pages are read when they are touched.
  ::madvise(const_cast<std::byte*>(mapped.data()) - into_page, into_page + mapped.size(), MADV_WILLNEED);
}

}  // namespace onnxport
