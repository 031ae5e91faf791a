#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/data_type.h"

namespace onnxport {

/// What the header of a safetensors file says about one tensor.
struct SafetensorsEntry {
  std::string name;
  DataType data_type = DataType::Float32;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  ///< from the beginning of the file
  std::uint64_t size = 0;    ///< in bytes
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their offsets
  std::map<std::string, std::string> metadata;
};

/// Reads and checks the header of a whole safetensors file in memory; `origin` names it in messages. As strict as the
/// safetensors library: every entry's offsets lie in the file, and together they cover its data without a gap, an
/// overlap or a rest. Throws Error(InvalidCheckpoint).
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file_bytes, std::string_view origin);

}  // namespace onnxport
