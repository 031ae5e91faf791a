#include "tokenizers/scanners.h"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tokenizers/regex.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::array<std::string_view, 5> kPatterns{
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
};

/// Whether this Oniguruma knows the character. The real library's is of Unicode 16, and so are our tables; an older one
/// takes what has come since for unassigned, and so differs from both.
const std::vector<bool>& is_assigned() {
  static const std::vector<bool> result = [] {
    const Regex unassigned(R"(\p{Cn})");
    std::vector<bool> assigned(0x110000, true);
    for (char32_t block = 0; block < 0x110000; block += 0x800) {
      if (block == 0xd800) continue;
      std::string text;
      std::vector<std::size_t> begins;
      for (char32_t c = block; c < block + 0x800; ++c) {
        begins.push_back(text.size());
        append_utf8(text, c);
      }
      for (const Range& match : unassigned.find_all(text)) {
        const auto found = std::lower_bound(begins.begin(), begins.end(), match.begin);
        assigned[block + static_cast<std::size_t>(found - begins.begin())] = false;
      }
    }
    return assigned;
  }();
  return result;
}

/// Text in which everything meets everything that the patterns tell apart.
std::string random_text(std::mt19937& random, std::size_t characters) {
  static constexpr std::u32string_view interesting =
      U"''''sStTrReEvVmMlLdDſabzABZÀéßÉǅªºʰ日本ー한ㅏ0123456789²½Ⅷ٣ \t\n\r\n\v\f      .,!?-_/(){}~^$€«»”…"
      U"\u0000\u0085\u00a0\u1680\u2003\u2028\u2029\u3000\u200b\u200d\u0301\u0308\u20dd\u0903\ufe0f\U0001f600\U0001f469"
      U"\U0001f986\U0001d49c\U0001d7d8"
      U"\ufffd"
      U"\u0345"
      U"\u0130"
      U"\u0131K\u00c5";
  std::uniform_int_distribution<std::size_t> pick(0, interesting.size() - 1);
  std::uniform_int_distribution<char32_t> any(0, 0x10ffff);
  std::uniform_int_distribution<int> hundred(0, 99);
  std::string text;
  char32_t last = U' ';
  for (std::size_t i = 0; i < characters; ++i) {
    const int kind = hundred(random);
    if (kind >= 30) last = interesting[pick(random)];  // else the same again
    if (kind >= 95) {
      do last = any(random);
      while ((last >= 0xd800 && last < 0xe000) || !is_assigned()[last]);
    }
    append_utf8(text, last);
  }
  return text;
}

std::vector<Range> scan(Scanner scanner, std::string_view text) {
  std::vector<Range> pieces;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = scanner(text, begin);
    pieces.push_back({begin, end});
    EXPECT_GT(end, begin);
    if (end <= begin) break;
    begin = end;
  }
  return pieces;
}

void expect_same(Scanner scanner, const Regex& regex, const std::string& text) {
  const std::vector<Range> expected = regex.find_all(text);
  const std::vector<Range> pieces = scan(scanner, text);
  for (std::size_t i = 0; i < std::max(expected.size(), pieces.size()); ++i) {
    ASSERT_LT(i, pieces.size()) << text;
    ASSERT_LT(i, expected.size()) << text;
    ASSERT_EQ(pieces[i], expected[i]) << "piece " << i << " at byte " << expected[i].begin << " is "
                                      << text.substr(pieces[i].begin, pieces[i].end - pieces[i].begin) << ", should be "
                                      << text.substr(expected[i].begin, expected[i].end - expected[i].begin) << " in\n"
                                      << text;
  }
}

class ScannerTest : public ::testing::TestWithParam<std::string_view> {};

TEST_P(ScannerTest, EqualsTheRegularExpressionOnRandomText) {
  const Scanner scanner = find_scanner(GetParam());
  ASSERT_NE(scanner, nullptr);
  const Regex regex(GetParam());
  std::mt19937 random(1);
  for (std::size_t round = 0; round < 4000; ++round) {
    expect_same(scanner, regex, random_text(random, 1 + round % 60));
    if (HasFatalFailure()) return;
  }
}

TEST_P(ScannerTest, EqualsTheRegularExpressionOnEveryCharacter) {
  const Scanner scanner = find_scanner(GetParam());
  ASSERT_NE(scanner, nullptr);
  const Regex regex(GetParam());
  std::string text;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if ((c >= 0xd800 && c < 0xe000) || !is_assigned()[c]) continue;
    for (std::string_view before : {" ", "a", "A", "1", "!", "'"}) {
      text += before;
      append_utf8(text, c);
    }
    if (text.size() < 4000) continue;
    expect_same(scanner, regex, text);
    if (HasFatalFailure()) return;
    text.clear();
  }
}

INSTANTIATE_TEST_SUITE_P(FamousPatterns, ScannerTest, ::testing::ValuesIn(kPatterns));

TEST(ScannerTest, OnlyExactPatternsAreRecognized) {
  EXPECT_EQ(find_scanner(""), nullptr);
  EXPECT_EQ(find_scanner(R"(\s+)"), nullptr);
  EXPECT_EQ(find_scanner(std::string(kPatterns[0]) + " "), nullptr);
  EXPECT_EQ(byte_level_pattern(), kPatterns[0]);
}

}  // namespace
}  // namespace onnxport::tokenizers
