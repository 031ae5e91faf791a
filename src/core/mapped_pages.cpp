#include "core/mapped_pages.h"

#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

namespace onnxport {

namespace {

/// `advice` is a hint: if the kernel refuses it, all goes on as without.
void advise(std::span<const std::byte> mapped, int advice) {
  if (mapped.empty()) return;
  static const auto page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t into_page = reinterpret_cast<std::uintptr_t>(mapped.data()) % page_size;
  ::madvise(const_cast<std::byte*>(mapped.data()) - into_page, into_page + mapped.size(), advice);
}

}  // namespace

void read_ahead(std::span<const std::byte> mapped) { advise(mapped, MADV_WILLNEED); }
void release_pages(std::span<const std::byte> mapped) { advise(mapped, MADV_DONTNEED); }

}  // namespace onnxport
