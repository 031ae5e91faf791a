#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <span>

#include "checkpoint/zip.h"
#include "onnxport/error.h"

/// Any bytes either are refused with Error or are an archive whose members lie in it and do not overlap.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::map<std::uint64_t, std::uint64_t> ends;
  try {
    for (const auto& [name, member] : onnxport::read_zip_directory(std::as_bytes(std::span(data, size)), "fuzz.zip")) {
      if (member.size > 0) ends.emplace(member.offset, member.offset + member.size);
    }
  } catch (const onnxport::Error&) {
    return 0;
  }
  std::uint64_t last = 0;
  for (const auto& [begin, end] : ends) {
    if (begin < last || end > size) std::abort();
    last = end;
  }
  return 0;
}
