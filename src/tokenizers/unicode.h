#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// UTF-8 and what the real library takes code points for. Functions on text want valid UTF-8 unless they say otherwise.
namespace onnxport::tokenizers {

// ---- UTF-8 --------------------------------------------------------------------------------------------------------

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

bool is_valid_utf8(std::string_view text);
/// The same; `position` moves to the first byte that is wrong.
bool is_valid_utf8(std::string_view text, std::size_t& position);
/// Any bytes as UTF-8: each maximal invalid subsequence becomes one U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

void append_utf8(std::string& text, char32_t character);

/// The character at a position, which moves behind it.
inline char32_t next_character(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[position + i]));
  };
  const char32_t first = byte(0);
  char32_t result = first;
  std::size_t length = 1;
  if (first >= 0xF0) {
    result = (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    length = 4;
  } else if (first >= 0xE0) {
    result = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    length = 3;
  } else if (first >= 0x80) {
    result = (first & 0x1F) << 6 | (byte(1) & 0x3F);
    length = 2;
  }
  position += length;
  return result;
}

/// The character before a position, which moves to its begin.
inline char32_t previous_character(std::string_view text, std::size_t& position) {
  do --position;
  while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  std::size_t begin = position;
  return next_character(text, begin);
}

std::size_t count_characters(std::string_view text);

// ---- Properties ---------------------------------------------------------------------------------------------------

bool is_whitespace(char32_t character);       ///< White_Space
bool is_numeric(char32_t character);          ///< general category N
bool is_punctuation(char32_t character);      ///< general category P, and all of ASCII's symbols
bool is_word_character(char32_t character);   ///< \w of the crate `regex`
bool is_cleaned_by_bert(char32_t character);  ///< what BertNormalizer's clean_text removes
bool is_nonspacing_mark(char32_t character);  ///< general category Mn
bool is_combining_mark(char32_t character);   ///< general category M

/// A number for the script as UnicodeScripts sees it; 0 goes with every script.
unsigned script_of(char32_t character);

/// The code points, as pairs of first and last, that the library's regular expressions find by \p{name}, where name is
/// a general category ("L", "Lu") or "Han", or by \w where it is "w". Nothing for other names.
std::vector<std::pair<char32_t, char32_t>> regex_property(std::string_view name);

/// The lowercase of one character, without regard to its neighbours: up to three characters.
std::u32string_view lowercase_of(const char32_t& character);

// ---- Normalization forms ------------------------------------------------------------------------------------------

std::uint8_t combining_class(char32_t character);
/// The full decomposition of one character that is no Hangul syllable; itself where there is none.
std::u32string_view canonical_decomposition(const char32_t& character);
std::u32string_view compatibility_decomposition(const char32_t& character);
/// The composition of two characters, Hangul among them; 0 where there is none.
char32_t compose(char32_t first, char32_t second);

// ---- Grapheme clusters --------------------------------------------------------------------------------------------

/// The end of the extended grapheme cluster that begins at `begin`. Where one ended the next begins.
class GraphemeClusters {
 public:
  explicit GraphemeClusters(std::string_view text) : text_(text) {}
  /// False at the end of the text.
  bool next(std::string_view& cluster);

 private:
  bool is_boundary(unsigned properties) const;
  void advance(unsigned properties);

  std::string_view text_;
  std::size_t position_ = 0;
  unsigned before_ = 0;  ///< properties of the character before
  bool has_before_ = false;
  bool odd_regional_indicators_ = false;
  bool after_pictographic_ = false;  ///< Extended_Pictographic Extend*
  bool after_pictographic_zwj_ = false;
  bool after_consonant_ = false;  ///< Consonant (Extend | Linker)*
  bool after_linker_ = false;     ///< … with a Linker among them
};

}  // namespace onnxport::tokenizers
