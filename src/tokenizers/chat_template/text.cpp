#include "tokenizers/chat_template/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <memory>
#include <span>

#include <utf8proc.h>

namespace onnxport::jinja {
namespace {

constexpr char32_t kCapitalSigma = 0x3a3;
constexpr char32_t kSmallSigma = 0x3c3;
constexpr char32_t kFinalSigma = 0x3c2;

struct Range {
  char32_t first;
  char32_t last;
};

// What Unicode's general categories do not tell: numeric types and the properties Other_Lowercase, Other_Uppercase.
constexpr Range kDigits[] = {{0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
                             {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
                             {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
                             {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
                             {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
constexpr Range kNumericLetters[] = {
    {0x3405, 0x3405},   {0x3483, 0x3483},   {0x382a, 0x382a},   {0x3b4d, 0x3b4d},   {0x4e00, 0x4e00},
    {0x4e03, 0x4e03},   {0x4e07, 0x4e07},   {0x4e09, 0x4e09},   {0x4e5d, 0x4e5d},   {0x4e8c, 0x4e8c},
    {0x4e94, 0x4e94},   {0x4e96, 0x4e96},   {0x4ebf, 0x4ec0},   {0x4edf, 0x4edf},   {0x4ee8, 0x4ee8},
    {0x4f0d, 0x4f0d},   {0x4f70, 0x4f70},   {0x5104, 0x5104},   {0x5146, 0x5146},   {0x5169, 0x5169},
    {0x516b, 0x516b},   {0x516d, 0x516d},   {0x5341, 0x5341},   {0x5343, 0x5345},   {0x534c, 0x534c},
    {0x53c1, 0x53c4},   {0x56db, 0x56db},   {0x58f1, 0x58f1},   {0x58f9, 0x58f9},   {0x5e7a, 0x5e7a},
    {0x5efe, 0x5eff},   {0x5f0c, 0x5f0e},   {0x5f10, 0x5f10},   {0x62fe, 0x62fe},   {0x634c, 0x634c},
    {0x67d2, 0x67d2},   {0x6f06, 0x6f06},   {0x7396, 0x7396},   {0x767e, 0x767e},   {0x8086, 0x8086},
    {0x842c, 0x842c},   {0x8cae, 0x8cae},   {0x8cb3, 0x8cb3},   {0x8d30, 0x8d30},   {0x9621, 0x9621},
    {0x9646, 0x9646},   {0x964c, 0x964c},   {0x9678, 0x9678},   {0x96f6, 0x96f6},   {0xf96b, 0xf96b},
    {0xf973, 0xf973},   {0xf978, 0xf978},   {0xf9b2, 0xf9b2},   {0xf9d1, 0xf9d1},   {0xf9d3, 0xf9d3},
    {0xf9fd, 0xf9fd},   {0x20001, 0x20001}, {0x20064, 0x20064}, {0x200e2, 0x200e2}, {0x20121, 0x20121},
    {0x2092a, 0x2092a}, {0x20983, 0x20983}, {0x2098c, 0x2098c}, {0x2099c, 0x2099c}, {0x20aea, 0x20aea},
    {0x20afd, 0x20afd}, {0x20b19, 0x20b19}, {0x22390, 0x22390}, {0x22998, 0x22998}, {0x23b1b, 0x23b1b},
    {0x2626d, 0x2626d}, {0x2f890, 0x2f890}};
constexpr Range kOtherLower[] = {
    {0xaa, 0xaa},     {0xba, 0xba},     {0x2b0, 0x2b8},     {0x2c0, 0x2c1},     {0x2e0, 0x2e4},     {0x345, 0x345},
    {0x37a, 0x37a},   {0x1d2c, 0x1d6a}, {0x1d78, 0x1d78},   {0x1d9b, 0x1dbf},   {0x2071, 0x2071},   {0x207f, 0x207f},
    {0x2090, 0x209c}, {0x2170, 0x217f}, {0x24d0, 0x24e9},   {0x2c7c, 0x2c7d},   {0xa69c, 0xa69d},   {0xa770, 0xa770},
    {0xa7f8, 0xa7f9}, {0xab5c, 0xab5f}, {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba}};
constexpr Range kOtherUpper[] = {
    {0x2160, 0x216f}, {0x24b6, 0x24cf}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};

/// Characters whose upper or title case is more than one character (Unicode's SpecialCasing.txt), or is special.
struct SpecialCase {
  char32_t code_point;
  std::u32string_view upper;
  std::u32string_view title;
};
constexpr SpecialCase kSpecialCases[] = {{0x00df, U"SS", U"Ss"},
                                         {0x0149, U"\u02bcN", U"\u02bcN"},
                                         {0x01f0, U"J\u030c", U"J\u030c"},
                                         {0x0390, U"\u0399\u0308\u0301", U"\u0399\u0308\u0301"},
                                         {0x03b0, U"\u03a5\u0308\u0301", U"\u03a5\u0308\u0301"},
                                         {0x0587, U"\u0535\u0552", U"\u0535\u0582"},
                                         {0x1e96, U"H\u0331", U"H\u0331"},
                                         {0x1e97, U"T\u0308", U"T\u0308"},
                                         {0x1e98, U"W\u030a", U"W\u030a"},
                                         {0x1e99, U"Y\u030a", U"Y\u030a"},
                                         {0x1e9a, U"A\u02be", U"A\u02be"},
                                         {0x1f50, U"\u03a5\u0313", U"\u03a5\u0313"},
                                         {0x1f52, U"\u03a5\u0313\u0300", U"\u03a5\u0313\u0300"},
                                         {0x1f54, U"\u03a5\u0313\u0301", U"\u03a5\u0313\u0301"},
                                         {0x1f56, U"\u03a5\u0313\u0342", U"\u03a5\u0313\u0342"},
                                         {0x1f80, U"\u1f08\u0399", U"\u1f88"},
                                         {0x1f81, U"\u1f09\u0399", U"\u1f89"},
                                         {0x1f82, U"\u1f0a\u0399", U"\u1f8a"},
                                         {0x1f83, U"\u1f0b\u0399", U"\u1f8b"},
                                         {0x1f84, U"\u1f0c\u0399", U"\u1f8c"},
                                         {0x1f85, U"\u1f0d\u0399", U"\u1f8d"},
                                         {0x1f86, U"\u1f0e\u0399", U"\u1f8e"},
                                         {0x1f87, U"\u1f0f\u0399", U"\u1f8f"},
                                         {0x1f88, U"\u1f08\u0399", U"\u1f88"},
                                         {0x1f89, U"\u1f09\u0399", U"\u1f89"},
                                         {0x1f8a, U"\u1f0a\u0399", U"\u1f8a"},
                                         {0x1f8b, U"\u1f0b\u0399", U"\u1f8b"},
                                         {0x1f8c, U"\u1f0c\u0399", U"\u1f8c"},
                                         {0x1f8d, U"\u1f0d\u0399", U"\u1f8d"},
                                         {0x1f8e, U"\u1f0e\u0399", U"\u1f8e"},
                                         {0x1f8f, U"\u1f0f\u0399", U"\u1f8f"},
                                         {0x1f90, U"\u1f28\u0399", U"\u1f98"},
                                         {0x1f91, U"\u1f29\u0399", U"\u1f99"},
                                         {0x1f92, U"\u1f2a\u0399", U"\u1f9a"},
                                         {0x1f93, U"\u1f2b\u0399", U"\u1f9b"},
                                         {0x1f94, U"\u1f2c\u0399", U"\u1f9c"},
                                         {0x1f95, U"\u1f2d\u0399", U"\u1f9d"},
                                         {0x1f96, U"\u1f2e\u0399", U"\u1f9e"},
                                         {0x1f97, U"\u1f2f\u0399", U"\u1f9f"},
                                         {0x1f98, U"\u1f28\u0399", U"\u1f98"},
                                         {0x1f99, U"\u1f29\u0399", U"\u1f99"},
                                         {0x1f9a, U"\u1f2a\u0399", U"\u1f9a"},
                                         {0x1f9b, U"\u1f2b\u0399", U"\u1f9b"},
                                         {0x1f9c, U"\u1f2c\u0399", U"\u1f9c"},
                                         {0x1f9d, U"\u1f2d\u0399", U"\u1f9d"},
                                         {0x1f9e, U"\u1f2e\u0399", U"\u1f9e"},
                                         {0x1f9f, U"\u1f2f\u0399", U"\u1f9f"},
                                         {0x1fa0, U"\u1f68\u0399", U"\u1fa8"},
                                         {0x1fa1, U"\u1f69\u0399", U"\u1fa9"},
                                         {0x1fa2, U"\u1f6a\u0399", U"\u1faa"},
                                         {0x1fa3, U"\u1f6b\u0399", U"\u1fab"},
                                         {0x1fa4, U"\u1f6c\u0399", U"\u1fac"},
                                         {0x1fa5, U"\u1f6d\u0399", U"\u1fad"},
                                         {0x1fa6, U"\u1f6e\u0399", U"\u1fae"},
                                         {0x1fa7, U"\u1f6f\u0399", U"\u1faf"},
                                         {0x1fa8, U"\u1f68\u0399", U"\u1fa8"},
                                         {0x1fa9, U"\u1f69\u0399", U"\u1fa9"},
                                         {0x1faa, U"\u1f6a\u0399", U"\u1faa"},
                                         {0x1fab, U"\u1f6b\u0399", U"\u1fab"},
                                         {0x1fac, U"\u1f6c\u0399", U"\u1fac"},
                                         {0x1fad, U"\u1f6d\u0399", U"\u1fad"},
                                         {0x1fae, U"\u1f6e\u0399", U"\u1fae"},
                                         {0x1faf, U"\u1f6f\u0399", U"\u1faf"},
                                         {0x1fb2, U"\u1fba\u0399", U"\u1fba\u0345"},
                                         {0x1fb3, U"\u0391\u0399", U"\u1fbc"},
                                         {0x1fb4, U"\u0386\u0399", U"\u0386\u0345"},
                                         {0x1fb6, U"\u0391\u0342", U"\u0391\u0342"},
                                         {0x1fb7, U"\u0391\u0342\u0399", U"\u0391\u0342\u0345"},
                                         {0x1fbc, U"\u0391\u0399", U"\u1fbc"},
                                         {0x1fc2, U"\u1fca\u0399", U"\u1fca\u0345"},
                                         {0x1fc3, U"\u0397\u0399", U"\u1fcc"},
                                         {0x1fc4, U"\u0389\u0399", U"\u0389\u0345"},
                                         {0x1fc6, U"\u0397\u0342", U"\u0397\u0342"},
                                         {0x1fc7, U"\u0397\u0342\u0399", U"\u0397\u0342\u0345"},
                                         {0x1fcc, U"\u0397\u0399", U"\u1fcc"},
                                         {0x1fd2, U"\u0399\u0308\u0300", U"\u0399\u0308\u0300"},
                                         {0x1fd3, U"\u0399\u0308\u0301", U"\u0399\u0308\u0301"},
                                         {0x1fd6, U"\u0399\u0342", U"\u0399\u0342"},
                                         {0x1fd7, U"\u0399\u0308\u0342", U"\u0399\u0308\u0342"},
                                         {0x1fe2, U"\u03a5\u0308\u0300", U"\u03a5\u0308\u0300"},
                                         {0x1fe3, U"\u03a5\u0308\u0301", U"\u03a5\u0308\u0301"},
                                         {0x1fe4, U"\u03a1\u0313", U"\u03a1\u0313"},
                                         {0x1fe6, U"\u03a5\u0342", U"\u03a5\u0342"},
                                         {0x1fe7, U"\u03a5\u0308\u0342", U"\u03a5\u0308\u0342"},
                                         {0x1ff2, U"\u1ffa\u0399", U"\u1ffa\u0345"},
                                         {0x1ff3, U"\u03a9\u0399", U"\u1ffc"},
                                         {0x1ff4, U"\u038f\u0399", U"\u038f\u0345"},
                                         {0x1ff6, U"\u03a9\u0342", U"\u03a9\u0342"},
                                         {0x1ff7, U"\u03a9\u0342\u0399", U"\u03a9\u0342\u0345"},
                                         {0x1ffc, U"\u03a9\u0399", U"\u1ffc"},
                                         {0xfb00, U"FF", U"Ff"},
                                         {0xfb01, U"FI", U"Fi"},
                                         {0xfb02, U"FL", U"Fl"},
                                         {0xfb03, U"FFI", U"Ffi"},
                                         {0xfb04, U"FFL", U"Ffl"},
                                         {0xfb05, U"ST", U"St"},
                                         {0xfb06, U"ST", U"St"},
                                         {0xfb13, U"\u0544\u0546", U"\u0544\u0576"},
                                         {0xfb14, U"\u0544\u0535", U"\u0544\u0565"},
                                         {0xfb15, U"\u0544\u053b", U"\u0544\u056b"},
                                         {0xfb16, U"\u054e\u0546", U"\u054e\u0576"},
                                         {0xfb17, U"\u0544\u053d", U"\u0544\u056d"}};

bool is_in(std::span<const Range> ranges, char32_t code_point) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), code_point,
                                      [](char32_t value, const Range& range) { return value < range.first; });
  return after != ranges.begin() && code_point <= std::prev(after)->last;
}

const SpecialCase* find_special_case(char32_t code_point) {
  const auto found =
      std::lower_bound(std::begin(kSpecialCases), std::end(kSpecialCases), code_point,
                       [](const SpecialCase& entry, char32_t value) { return entry.code_point < value; });
  return found != std::end(kSpecialCases) && found->code_point == code_point ? found : nullptr;
}

utf8proc_category_t category(char32_t code_point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

void append_all(std::string& out, std::u32string_view characters) {
  for (const char32_t character : characters) append_utf8(out, character);
}

void append_upper(std::string& out, char32_t code_point) {
  if (const SpecialCase* special = find_special_case(code_point)) return append_all(out, special->upper);
  append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code_point))));
}

void append_title(std::string& out, char32_t code_point) {
  if (const SpecialCase* special = find_special_case(code_point)) return append_all(out, special->title);
  append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code_point))));
}

bool is_cased(char32_t code_point) { return is_lower(code_point) || is_upper(code_point) || is_title(code_point); }

/// Unicode's property Case_Ignorable.
bool is_case_ignorable(char32_t code_point) {
  constexpr std::u32string_view kWordBreak =
      U"'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a";
  switch (category(code_point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return kWordBreak.find(code_point) != std::u32string_view::npos;
  }
}

/// Of the characters that are not case-ignorable, is the one before (the one behind) the position a cased one?
bool is_cased_before(std::string_view text, std::size_t position) {
  while (position > 0) {
    --position;
    while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xc0U) == 0x80) --position;
    std::size_t at = position;
    const char32_t code_point = next_character(text, at);
    if (!is_case_ignorable(code_point)) return is_cased(code_point);
  }
  return false;
}

bool is_cased_behind(std::string_view text, std::size_t position) {
  while (position < text.size()) {
    const char32_t code_point = next_character(text, position);
    if (!is_case_ignorable(code_point)) return is_cased(code_point);
  }
  return false;
}

/// The lower case of the code point that stands in `text` in [begin, end).
void append_lower(std::string& out, std::string_view text, std::size_t begin, std::size_t end, char32_t code_point) {
  constexpr char32_t kCapitalIWithDot = 0x130;
  if (code_point == kCapitalSigma) {
    const bool is_final = is_cased_before(text, begin) && !is_cased_behind(text, end);
    return append_utf8(out, is_final ? kFinalSigma : kSmallSigma);
  }
  if (code_point == kCapitalIWithDot) return append_all(out, U"i\u0307");
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
}

/// Calls visit(code point, begin, end) for each.
template <typename Visit>
void for_each_code_point(std::string_view text, Visit visit) {
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    const char32_t code_point = next_character(text, position);
    visit(code_point, begin, position);
  }
}

void append_hexadecimal(std::string& out, char32_t code_point) {
  constexpr std::string_view kDigitCharacters = "0123456789abcdef";
  const int digits = code_point < 0x100 ? 2 : code_point < 0x10000 ? 4 : 8;
  out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
  for (int digit = digits - 1; digit >= 0; --digit) out += kDigitCharacters[(code_point >> (4 * digit)) & 15U];
}

/// The text with digits of other scripts as ASCII digits, without white space around it and without underscores
/// between digits; nothing if an underscore stands elsewhere.
std::optional<std::string> plain_number(std::string_view text) {
  std::string plain;
  for_each_code_point(strip(text, true, true), [&](char32_t code_point, std::size_t, std::size_t) {
    if (code_point >= 0x80 && is_decimal(code_point)) {
      plain += static_cast<char>('0' + decimal_value(code_point));
    } else {
      append_utf8(plain, code_point);
    }
  });
  const auto is_alphanumeric_at = [&](std::size_t at) {
    return at < plain.size() && std::isalnum(static_cast<unsigned char>(plain[at])) != 0;
  };
  for (std::size_t at = 0; at < plain.size(); ++at)
    if (plain[at] == '_' && !(at > 0 && is_alphanumeric_at(at - 1) && is_alphanumeric_at(at + 1))) return std::nullopt;
  std::erase(plain, '_');
  return plain;
}

}  // namespace

std::size_t byte_offset(std::string_view text, std::size_t index) {
  std::size_t position = 0;
  for (; position < text.size(); ++position) {
    if ((static_cast<unsigned char>(text[position]) & 0xc0U) == 0x80) continue;
    if (index-- == 0) break;
  }
  return position;
}

bool is_space(char32_t code_point) {
  if (code_point < 0x80) return (code_point >= 9 && code_point <= 13) || (code_point >= 28 && code_point <= 32);
  return code_point == 0x85 || code_point == 0xa0 || code_point == 0x1680 ||
         (code_point >= 0x2000 && code_point <= 0x200a) || code_point == 0x2028 || code_point == 0x2029 ||
         code_point == 0x202f || code_point == 0x205f || code_point == 0x3000;
}

bool is_alphabetic(char32_t code_point) {
  const utf8proc_category_t found = category(code_point);
  return found >= UTF8PROC_CATEGORY_LU && found <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t code_point) { return category(code_point) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t code_point) { return is_decimal(code_point) || is_in(kDigits, code_point); }

bool is_numeric(char32_t code_point) {
  const utf8proc_category_t found = category(code_point);
  return (found >= UTF8PROC_CATEGORY_ND && found <= UTF8PROC_CATEGORY_NO) || is_in(kNumericLetters, code_point);
}

bool is_alphanumeric(char32_t code_point) { return is_alphabetic(code_point) || is_numeric(code_point); }

bool is_lower(char32_t code_point) {
  return category(code_point) == UTF8PROC_CATEGORY_LL || is_in(kOtherLower, code_point);
}

bool is_upper(char32_t code_point) {
  return category(code_point) == UTF8PROC_CATEGORY_LU || is_in(kOtherUpper, code_point);
}

bool is_title(char32_t code_point) { return category(code_point) == UTF8PROC_CATEGORY_LT; }

bool is_printable(char32_t code_point) {
  switch (category(code_point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code_point == ' ';
    default:
      return true;
  }
}

bool is_word(char32_t code_point) {
  switch (category(code_point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return is_alphanumeric(code_point);
  }
}

int decimal_value(char32_t code_point) {
  // The decimal digits of a script follow each other from 0 to 9, and what stands before them is no digit, except in
  // the block of mathematical digits: five runs that begin at 0x1d7ce.
  constexpr char32_t kMathematical = 0x1d7ce;
  if (code_point >= kMathematical && code_point < kMathematical + 50)
    return static_cast<int>((code_point - kMathematical) % 10);
  int value = 0;
  while (value < 9 && is_decimal(code_point - 1 - static_cast<char32_t>(value))) ++value;
  return value;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_code_point(text, [&](char32_t code_point, std::size_t begin, std::size_t end) {
    append_lower(out, text, begin, end, code_point);
  });
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_code_point(text, [&](char32_t code_point, std::size_t, std::size_t) { append_upper(out, code_point); });
  return out;
}

std::string to_case_folded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_code_point(text, [&](char32_t code_point, std::size_t, std::size_t) {
    // One code point folds to three at most; the boundary class has no meaning with these options.
    std::array<utf8proc_int32_t, 8> folded{};
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), folded.data(),
                                                           folded.size(), UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < count; ++i) append_utf8(out, static_cast<char32_t>(folded.at(i)));
  });
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_code_point(text, [&](char32_t code_point, std::size_t begin, std::size_t end) {
    if (is_upper(code_point)) {
      append_lower(out, text, begin, end, code_point);
    } else if (is_lower(code_point)) {
      append_upper(out, code_point);
    } else {
      append_utf8(out, code_point);
    }
  });
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_code_point(text, [&](char32_t code_point, std::size_t begin, std::size_t end) {
    begin == 0 ? append_title(out, code_point) : append_lower(out, text, begin, end, code_point);
  });
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool is_previous_cased = false;
  for_each_code_point(text, [&](char32_t code_point, std::size_t begin, std::size_t end) {
    is_previous_cased ? append_lower(out, text, begin, end, code_point) : append_title(out, code_point);
    is_previous_cased = is_cased(code_point);
  });
  return out;
}

std::string_view strip(std::string_view text, bool left, bool right, std::optional<std::string_view> characters) {
  const auto is_stripped = [&](std::string_view character) {
    if (characters) return characters->find(character) != std::string_view::npos;
    std::size_t position = 0;
    return is_space(next_character(character, position));
  };
  while (left && !text.empty()) {
    std::size_t end = 0;
    next_character(text, end);
    if (!is_stripped(text.substr(0, end))) break;
    text.remove_prefix(end);
  }
  while (right && !text.empty()) {
    std::size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0U) == 0x80) --begin;
    if (!is_stripped(text.substr(begin))) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

void append_repr(std::string& out, std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  for_each_code_point(text, [&](char32_t code_point, std::size_t begin, std::size_t end) {
    if (code_point == static_cast<char32_t>(quote) || code_point == '\\') {
      out += '\\';
      out += static_cast<char>(code_point);
    } else if (code_point == '\n') {
      out += "\\n";
    } else if (code_point == '\r') {
      out += "\\r";
    } else if (code_point == '\t') {
      out += "\\t";
    } else if (is_printable(code_point)) {
      out += text.substr(begin, end - begin);
    } else {
      append_hexadecimal(out, code_point);
    }
  });
  out += quote;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 400> buffer{};
  // repr: the fewest digits that read back as the same number; with an exponent below 1e-4 and from 1e16.
  const double magnitude = std::fabs(value);
  const bool is_scientific = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  const auto format = is_scientific ? std::chars_format::scientific : std::chars_format::fixed;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format);
  std::string text(buffer.data(), result.ptr);
  if (!is_scientific && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::optional<double> parse_float(std::string_view text) {
  const std::optional<std::string> plain = plain_number(text);
  if (!plain || plain->empty()) return std::nullopt;
  std::string_view digits = *plain;
  const bool is_negative = digits.front() == '-';
  if (is_negative || digits.front() == '+') digits.remove_prefix(1);
  if (digits.empty() || digits.front() == '-' || digits.front() == '+') return std::nullopt;
  // from_chars would also take nan(...).
  if (digits.find('(') != std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end != digits.data() + digits.size() || error == std::errc::invalid_argument) return std::nullopt;
  // Out of range: infinity or zero, as strtod gives it.
  if (error == std::errc::result_out_of_range) value = std::strtod(std::string(digits).c_str(), nullptr);
  return is_negative ? -value : value;
}

std::optional<std::int64_t> parse_integer(std::string_view text, int base, bool& is_too_large) {
  is_too_large = false;
  const std::optional<std::string> plain = plain_number(text);
  if (!plain) return std::nullopt;
  std::string_view digits = *plain;
  const bool is_negative = digits.starts_with('-');
  if (is_negative || digits.starts_with('+')) digits.remove_prefix(1);
  const auto has_prefix = [&](char letter) {
    return digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == letter;
  };
  for (const auto& [letter, prefix_base] : {std::pair{'x', 16}, std::pair{'o', 8}, std::pair{'b', 2}}) {
    if ((base != prefix_base && base != 0) || !has_prefix(letter)) continue;
    digits.remove_prefix(2);
    base = prefix_base;
    break;
  }
  if (base == 0) {
    // int("010", 0) is an error, int("00", 0) is not.
    if (digits.size() > 1 && digits[0] == '0' && digits.find_first_not_of('0') != std::string_view::npos)
      return std::nullopt;
    base = 10;
  }
  if (digits.empty() || digits.front() == '-') return std::nullopt;
  const std::string signed_digits = (is_negative ? "-" : "") + std::string(digits);
  std::int64_t value = 0;
  const char* last = signed_digits.data() + signed_digits.size();
  const auto [end, error] = std::from_chars(signed_digits.data(), last, value, base);
  if (end != last || error == std::errc::invalid_argument) return std::nullopt;
  is_too_large = error == std::errc::result_out_of_range;
  if (is_too_large) return std::nullopt;
  return value;
}

}  // namespace onnxport::jinja
