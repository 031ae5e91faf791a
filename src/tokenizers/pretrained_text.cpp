#include "tokenizers/pretrained_text.h"

#include <algorithm>
#include <cstdint>

namespace onnxport::tokenizers {
namespace {

/// The code point that begins at `position`, whose bytes are known to be there.
char32_t decode_at(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t offset) { return static_cast<unsigned char>(text[position + offset]); };
  switch (code_point_size(text[position])) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1fU) << 6 | (byte(1) & 0x3fU);
    case 3:
      return (byte(0) & 0x0fU) << 12 | (byte(1) & 0x3fU) << 6 | (byte(2) & 0x3fU);
    default:
      return (byte(0) & 0x07U) << 18 | (byte(1) & 0x3fU) << 12 | (byte(2) & 0x3fU) << 6 | (byte(3) & 0x3fU);
  }
}

/// str.isspace() of one code point.
bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U; }

}  // namespace

std::size_t code_point_size(char first_byte) {
  const auto byte = static_cast<unsigned char>(first_byte);
  if (byte < 0x80) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}

std::string_view python_rstrip(std::string_view text) {
  while (!text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && is_continuation(text[last])) --last;
    if (text.size() - last != code_point_size(text[last]) || !is_python_space(decode_at(text, last))) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view python_strip(std::string_view text) {
  text = python_rstrip(text);
  while (!text.empty()) {
    const std::size_t size = code_point_size(text[0]);
    if (size > text.size() || !is_python_space(decode_at(text, 0))) break;
    text.remove_prefix(size);
  }
  return text;
}

std::vector<std::string_view> python_split(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t word_begin = 0;
  std::size_t position = 0;
  const auto end_word = [&] {
    if (position > word_begin) words.push_back(text.substr(word_begin, position - word_begin));
  };
  while (position < text.size()) {
    const std::size_t size = std::min(code_point_size(text[position]), text.size() - position);
    if (size == code_point_size(text[position]) && is_python_space(decode_at(text, position))) {
      end_word();
      word_begin = position + size;
    }
    position += size;
  }
  end_word();
  return words;
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  if (from.empty() || text.find(from) == std::string::npos) return text;
  std::string result;
  std::size_t begin = 0;
  for (std::size_t found; (found = text.find(from, begin)) != std::string::npos; begin = found + from.size()) {
    result.append(text, begin, found - begin);
    result += to;
  }
  return result.append(text, begin);
}

std::vector<std::string> text_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
    lines.emplace_back(text.substr(begin, end - begin));
    begin = end + (text.substr(end, 2) == "\r\n" ? 2 : 1);
  }
  return lines;
}

std::string to_base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string encoded;
  encoded.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) encoded += k <= count ? digits[group >> (18 - 6 * k) & 63U] : '=';
  }
  return encoded;
}

}  // namespace onnxport::tokenizers
