#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "checkpoint/torch_file.h"
#include "onnxport/error.h"

/// Any bytes either are refused with Error or give tensors that lie within them. Pickles are reached through the files
/// that they are part of, which is how strangers send them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kWorthReading = std::uint64_t{1} << 16;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  try {
    for (const auto& [name, source] : onnxport::parse_torch_file(bytes, nullptr, "fuzz.bin")) {
      if (!source.bytes.empty() &&
          (source.bytes.data() < bytes.data() || source.bytes.data() + source.bytes.size() > bytes.data() + size)) {
        std::abort();
      }
      if (source.byte_size() > kWorthReading) continue;
      std::vector<std::byte> elements(static_cast<std::size_t>(source.byte_size()));
      onnxport::read_elements(source, 0, elements);
    }
  } catch (const onnxport::Error& error) {
    // The one kind of error that a file may cause.
    if (error.kind() != onnxport::ErrorKind::InvalidCheckpoint) std::abort();
  }
  return 0;
}
