#include "tokenizers/unicode.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "tokenizers/unicode_tables.h"

namespace onnxport::tokenizers {
namespace {

constexpr char32_t kEnd = 0x110000;

/// A table's value for a code point; blocks are of 128.
template <typename Value>
Value look_up(const std::uint16_t* index, const Value* blocks, char32_t character) {
  if (character >= kEnd) return Value{};
  return blocks[(std::size_t{index[character >> 7]} << 7) + (character & 127)];
}

// In the order of make_unicode_tables.py's flags().
enum Flag : std::uint8_t {
  kWhitespace = 1,
  kNumeric = 2,
  kPunctuation = 4,
  kWord = 8,
  kCleanedByBert = 16,
  kNonspacingMark = 32,
  kCombiningMark = 64,
};

bool has(char32_t character, Flag flag) {
  return (look_up(tables::flags_index, tables::flags_blocks, character) & flag) != 0;
}

std::u32string_view mapping(const std::uint16_t* index, const std::uint16_t* blocks, const char32_t& character) {
  const std::uint16_t number = look_up(index, blocks, character);
  if (number == 0) return {&character, 1};
  const std::uint32_t entry = tables::mapping_entries[number];
  return {tables::mapping_pool + (entry >> 5), entry & 31};
}

// Hangul syllables, by arithmetic (The Unicode Standard, 3.12).
constexpr char32_t kSyllableBase = 0xAC00;
constexpr char32_t kLeadingBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTrailingBase = 0x11A7;
constexpr char32_t kLeadingCount = 19;
constexpr char32_t kVowelCount = 21;
constexpr char32_t kTrailingCount = 28;
constexpr char32_t kSyllableCount = kLeadingCount * kVowelCount * kTrailingCount;

char32_t compose_hangul(char32_t first, char32_t second) {
  if (first - kLeadingBase < kLeadingCount && second - kVowelBase < kVowelCount) {
    return kSyllableBase + ((first - kLeadingBase) * kVowelCount + (second - kVowelBase)) * kTrailingCount;
  }
  const bool is_open_syllable = first - kSyllableBase < kSyllableCount && (first - kSyllableBase) % kTrailingCount == 0;
  if (is_open_syllable && second > kTrailingBase && second < kTrailingBase + kTrailingCount) {
    return first + (second - kTrailingBase);
  }
  return 0;
}

/// Length of the valid character at a position, or 0 with the number of bytes of the invalid sequence there.
struct Sequence {
  std::size_t valid = 0;
  std::size_t invalid = 0;
};

Sequence sequence_at(std::string_view bytes, std::size_t position) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[position + i]); };
  const std::size_t left = bytes.size() - position;
  const unsigned char first = byte(0);
  if (first < 0x80) return {1, 0};
  std::size_t length = 0;
  unsigned char lowest = 0x80;
  unsigned char highest = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) lowest = 0xA0;
    if (first == 0xED) highest = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) lowest = 0x90;
    if (first == 0xF4) highest = 0x8F;
  } else {
    return {0, 1};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == left || byte(i) < lowest || byte(i) > highest) return {0, i};
    lowest = 0x80;
    highest = 0xBF;
  }
  return {length, 0};
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  std::size_t position = 0;
  return is_valid_utf8(text, position);
}

bool is_valid_utf8(std::string_view text, std::size_t& position) {
  position = 0;
  while (position < text.size()) {
    // Eight bytes of ASCII at once, as most text is.
    std::uint64_t bytes = 0;
    if (text.size() - position >= sizeof bytes) {
      std::memcpy(&bytes, text.data() + position, sizeof bytes);
      if ((bytes & 0x8080808080808080U) == 0) {
        position += sizeof bytes;
        continue;
      }
    }
    const std::size_t valid = sequence_at(text, position).valid;
    if (valid == 0) return false;
    position += valid;
  }
  return true;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  std::size_t position = 0;
  while (position < bytes.size()) {
    const Sequence sequence = sequence_at(bytes, position);
    if (sequence.valid != 0) {
      text += bytes.substr(position, sequence.valid);
      position += sequence.valid;
    } else {
      append_utf8(text, kReplacementCharacter);
      position += sequence.invalid;
    }
  }
  return text;
}

void append_utf8(std::string& text, char32_t character) {
  const auto append = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (character < 0x80) {
    append(character);
  } else if (character < 0x800) {
    append(0xC0 | character >> 6);
    append(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    append(0xE0 | character >> 12);
    append(0x80 | (character >> 6 & 0x3F));
    append(0x80 | (character & 0x3F));
  } else {
    append(0xF0 | character >> 18);
    append(0x80 | (character >> 12 & 0x3F));
    append(0x80 | (character >> 6 & 0x3F));
    append(0x80 | (character & 0x3F));
  }
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool is_whitespace(char32_t character) { return has(character, kWhitespace); }
bool is_numeric(char32_t character) { return has(character, kNumeric); }
bool is_punctuation(char32_t character) { return has(character, kPunctuation); }
bool is_word_character(char32_t character) { return has(character, kWord); }
bool is_cleaned_by_bert(char32_t character) { return has(character, kCleanedByBert); }
bool is_nonspacing_mark(char32_t character) { return has(character, kNonspacingMark); }
bool is_combining_mark(char32_t character) { return has(character, kCombiningMark); }

unsigned script_of(char32_t character) { return look_up(tables::script_index, tables::script_blocks, character); }

std::vector<std::pair<char32_t, char32_t>> regex_property(std::string_view name) {
  // In the order of make_unicode_tables.py's CATEGORIES.
  constexpr std::string_view kCategories[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                              "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                              "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co"};
  constexpr unsigned kCategoryMask = 31;
  const unsigned required = name == "w" ? 32 : name == "Han" ? 64 : 0;
  std::uint32_t categories = 0;
  for (std::size_t i = 0; i < std::size(kCategories); ++i) {
    if (name == kCategories[i] || name == kCategories[i].substr(0, 1)) categories |= std::uint32_t{1} << i;
  }
  std::vector<std::pair<char32_t, char32_t>> ranges;
  if (required == 0 && categories == 0) return ranges;
  for (char32_t code = 0; code < kEnd; ++code) {
    if (code == 0xD800) code = 0xE000;  // no characters
    const unsigned properties = look_up(tables::regex_properties_index, tables::regex_properties_blocks, code);
    const bool is_in =
        required != 0 ? (properties & required) != 0 : (categories >> (properties & kCategoryMask) & 1) != 0;
    if (!is_in) continue;
    if (!ranges.empty() && ranges.back().second + 1 == code) {
      ranges.back().second = code;
    } else {
      ranges.emplace_back(code, code);
    }
  }
  return ranges;
}

std::u32string_view lowercase_of(const char32_t& character) {
  return mapping(tables::lowercase_index, tables::lowercase_blocks, character);
}

std::uint8_t combining_class(char32_t character) {
  return look_up(tables::combining_class_index, tables::combining_class_blocks, character);
}

std::u32string_view canonical_decomposition(const char32_t& character) {
  return mapping(tables::canonical_index, tables::canonical_blocks, character);
}

std::u32string_view compatibility_decomposition(const char32_t& character) {
  return mapping(tables::compatibility_index, tables::compatibility_blocks, character);
}

char32_t compose(char32_t first, char32_t second) {
  if (const char32_t syllable = compose_hangul(first, second); syllable != 0) return syllable;
  const auto* const end = tables::compositions + tables::composition_count;
  const auto* const found = std::lower_bound(tables::compositions, end, std::pair(first, second),
                                             [](const tables::Composition& entry, const auto& wanted) {
                                               return std::pair(entry.first, entry.second) < wanted;
                                             });
  return found != end && found->first == first && found->second == second ? found->composed : 0;
}

// ---- Grapheme clusters (UAX #29, Unicode 16) ------------------------------------------------------------------------

namespace {

// As in make_unicode_tables.py's grapheme_classes().
enum GraphemeClass : unsigned {
  kOther,
  kCarriageReturn,
  kLineFeed,
  kControl,
  kExtend,
  kZeroWidthJoiner,
  kRegionalIndicator,
  kPrepend,
  kSpacingMark,
  kHangulL,
  kHangulV,
  kHangulT,
  kHangulLV,
  kHangulLVT,
};
constexpr unsigned kClassMask = 15;
constexpr unsigned kPictographic = 16;
constexpr unsigned kConjunctMask = 96;
constexpr unsigned kConsonant = 32;
constexpr unsigned kConjunctExtend = 64;
constexpr unsigned kLinker = 96;

}  // namespace

bool GraphemeClusters::is_boundary(unsigned properties) const {
  const unsigned before = before_ & kClassMask;
  const unsigned after = properties & kClassMask;
  if (before == kCarriageReturn && after == kLineFeed) return false;
  if (before == kControl || before == kCarriageReturn || before == kLineFeed) return true;
  if (after == kControl || after == kCarriageReturn || after == kLineFeed) return true;
  if (before == kHangulL && (after == kHangulL || after == kHangulV || after == kHangulLV || after == kHangulLVT)) {
    return false;
  }
  if ((before == kHangulLV || before == kHangulV) && (after == kHangulV || after == kHangulT)) return false;
  if ((before == kHangulLVT || before == kHangulT) && after == kHangulT) return false;
  if (after == kExtend || after == kZeroWidthJoiner || after == kSpacingMark || before == kPrepend) return false;
  if ((properties & kConjunctMask) == kConsonant) return !after_linker_;
  if ((properties & kPictographic) != 0) return !after_pictographic_zwj_;
  if (after == kRegionalIndicator && before == kRegionalIndicator) return !odd_regional_indicators_;
  return true;
}

void GraphemeClusters::advance(unsigned properties) {
  const unsigned grapheme_class = properties & kClassMask;
  const unsigned conjunct = properties & kConjunctMask;
  odd_regional_indicators_ = grapheme_class == kRegionalIndicator && !odd_regional_indicators_;
  after_pictographic_zwj_ = grapheme_class == kZeroWidthJoiner && after_pictographic_;
  after_pictographic_ = (properties & kPictographic) != 0 || (grapheme_class == kExtend && after_pictographic_);
  const bool continues_conjunct = after_consonant_ && (conjunct == kConjunctExtend || conjunct == kLinker);
  after_linker_ = continues_conjunct && (after_linker_ || conjunct == kLinker);
  after_consonant_ = conjunct == kConsonant || continues_conjunct;
  before_ = properties;
}

bool GraphemeClusters::next(std::string_view& cluster) {
  const std::size_t begin = position_;
  while (position_ < text_.size()) {
    std::size_t end = position_;
    const unsigned properties = look_up(tables::grapheme_index, tables::grapheme_blocks, next_character(text_, end));
    if (position_ > begin && is_boundary(properties)) break;
    advance(properties);
    position_ = end;
  }
  cluster = text_.substr(begin, position_ - begin);
  return !cluster.empty();
}

}  // namespace onnxport::tokenizers
