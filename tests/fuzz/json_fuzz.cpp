#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "onnxport/error.h"
#include "onnxport/json.h"

/// Any bytes either are refused with Error or give a value that survives being written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string written;
  try {
    written = onnxport::dump_json(onnxport::parse_json(text, "fuzz.json", onnxport::LargeIntegers::AsDouble));
  } catch (const onnxport::Error&) {
    return 0;
  }
  // Compared as text: NaN differs from itself.
  const std::string indented = onnxport::dump_json(onnxport::parse_json(written, "written.json"), 2);
  if (onnxport::dump_json(onnxport::parse_json(indented, "indented.json")) != written) std::abort();
  return 0;
}
