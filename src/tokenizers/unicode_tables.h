#pragma once

#include <cstddef>
#include <cstdint>

/// The tables of unicode_tables.cpp, in two stages: `<name>_index` gives the block of 128 code points, `<name>_blocks`
/// holds the blocks. Read them through unicode.h.
namespace onnxport::tokenizers::tables {

struct Composition {
  char32_t first;
  char32_t second;
  char32_t composed;
};

extern const std::uint16_t flags_index[];
extern const std::uint8_t flags_blocks[];
extern const std::uint16_t combining_class_index[];
extern const std::uint8_t combining_class_blocks[];
extern const std::uint16_t script_index[];
extern const std::uint8_t script_blocks[];
extern const std::uint16_t regex_properties_index[];
extern const std::uint8_t regex_properties_blocks[];
extern const std::uint16_t grapheme_index[];
extern const std::uint8_t grapheme_blocks[];

/// These three hold numbers of mapping_entries, 0 for "maps to itself". An entry is (first << 5 | length) in
/// mapping_pool.
extern const std::uint16_t lowercase_index[];
extern const std::uint16_t lowercase_blocks[];
extern const std::uint16_t canonical_index[];
extern const std::uint16_t canonical_blocks[];
extern const std::uint16_t compatibility_index[];
extern const std::uint16_t compatibility_blocks[];
extern const std::uint32_t mapping_entries[];
extern const char32_t mapping_pool[];

/// Ordered by first and second.
extern const Composition compositions[];
extern const std::size_t composition_count;

}  // namespace onnxport::tokenizers::tables
