#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "checkpoint/safetensors.h"
#include "onnxport/error.h"

/// Any bytes either are refused with Error or give entries that cover the end of the file exactly.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  onnxport::SafetensorsHeader header;
  try {
    header = onnxport::parse_safetensors_header(std::as_bytes(std::span(data, size)), "fuzz.safetensors");
  } catch (const onnxport::Error&) {
    return 0;
  }
  if (header.entries.empty()) return 0;
  std::uint64_t end = header.entries.front().offset;
  for (const onnxport::SafetensorsEntry& entry : header.entries) {
    if (entry.offset != end) std::abort();
    end += entry.size;
  }
  if (end != size) std::abort();
  return 0;
}
