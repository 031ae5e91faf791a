#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace onnxport::tokenizers {

/// Length in bytes of the character that starts with this byte, in valid UTF-8.
inline std::size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/// Whether a byte continues a character.
inline bool is_utf8_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

/// The code point at the start of valid UTF-8, whose length is utf8_length().
inline char32_t utf8_decode(const char* text) {
  const auto byte = [text](int index) { return static_cast<char32_t>(static_cast<unsigned char>(text[index])); };
  const char32_t first = byte(0);
  if (first < 0x80) return first;
  if (first < 0xe0) return (first & 0x1f) << 6 | (byte(1) & 0x3f);
  if (first < 0xf0) return (first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  return (first & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
}

/// From bytes of a text, asked for in ascending order, to code points.
class CharacterCount {
 public:
  explicit CharacterCount(std::string_view text) : text_(text) {}

  /// The number of the character that a byte belongs to.
  std::uint32_t before(std::size_t byte) {
    const std::uint32_t begun = through(byte);
    return byte < text_.size() && is_utf8_continuation(text_[byte]) ? begun - 1 : begun;
  }
  /// How many characters begin before a byte.
  std::uint32_t through(std::size_t byte) {
    for (; position_ < byte; ++position_) count_ += is_utf8_continuation(text_[position_]) ? 0 : 1;
    return count_;
  }

 private:
  std::string_view text_;
  std::size_t position_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace onnxport::tokenizers
