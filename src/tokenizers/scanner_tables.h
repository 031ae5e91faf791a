#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tokenizers/models/utf8.h"

namespace onnxport::tokenizers {

/// What the patterns of scanners.h tell apart. No code point is in two of them.
enum class CharacterClass : std::uint8_t {
  Other,
  Letter,  ///< Lm, Lo
  Upper,   ///< Lu, Lt
  Lower,   ///< Ll
  Mark,    ///< M
  Number,  ///< N
  Space,   ///< White_Space
};

namespace tables {
/// Of blocks of 128 code points; two classes are packed into a byte, the lower four bits first.
extern const std::uint8_t character_class_index[];
extern const std::uint8_t character_class_blocks[];
}  // namespace tables

inline CharacterClass character_class(char32_t character) {
  const std::size_t block = tables::character_class_index[character >> 7];
  const std::uint8_t pair = tables::character_class_blocks[block << 6 | (character & 127) >> 1];
  return static_cast<CharacterClass>((character & 1) != 0 ? pair >> 4 : pair & 15);
}

/// The same for the code points below 128.
inline constexpr std::array<CharacterClass, 128> kAsciiClasses = [] {
  std::array<CharacterClass, 128> classes{};
  for (std::size_t c = 'A'; c <= 'Z'; ++c) classes[c] = CharacterClass::Upper;
  for (std::size_t c = 'a'; c <= 'z'; ++c) classes[c] = CharacterClass::Lower;
  for (std::size_t c = '0'; c <= '9'; ++c) classes[c] = CharacterClass::Number;
  for (std::size_t c = '\t'; c <= '\r'; ++c) classes[c] = CharacterClass::Space;
  classes[' '] = CharacterClass::Space;
  return classes;
}();

/// A character of a text, what it is and how many bytes it has; none, of length 0, behind the end.
struct ScannedCharacter {
  CharacterClass kind = CharacterClass::Other;
  std::uint32_t length = 0;
};

inline ScannedCharacter scan_character(const char* text, std::size_t position, std::size_t size) {
  if (position >= size) return {};
  const auto byte = static_cast<unsigned char>(text[position]);
  if (byte < 0x80) return {kAsciiClasses[byte], 1};
  return {character_class(utf8_decode(text + position)), static_cast<std::uint32_t>(utf8_length(text[position]))};
}

}  // namespace onnxport::tokenizers
