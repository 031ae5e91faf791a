#include "tokenizers/charsmap.h"

#include <array>
#include <cstring>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::tokenizers {
namespace {

// A unit of Darts-clone's double array.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) == 1; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFF; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FF; }
std::uint32_t offset_of(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

[[noreturn]] void fail(const std::string& reason) {
  throw Error(ErrorKind::InvalidTokenizer, "invalid precompiled_charsmap: " + reason);
}

/// Longest grapheme cluster, in bytes, that is looked up as a whole.
constexpr std::size_t kMaximumCluster = 5;

/// Hands characters to a Transformation one late, as what has no replacement vanishes with the character before it.
class DelayedTransformation {
 public:
  explicit DelayedTransformation(NormalizedString& target) : transformation_(target) {}

  void push(char32_t character, std::int64_t change) {
    flush();
    last_ = {character, change};
  }

  void replace(std::string_view replaced, std::string_view replacement) {
    const auto old_count = static_cast<std::int64_t>(count_characters(replaced));
    std::int64_t count = 0;
    for (std::size_t position = 0; position < replacement.size(); ++count) {
      const char32_t character = next_character(replacement, position);
      push(character, count < old_count ? 0 : 1);
    }
    if (count < old_count && last_) last_->second += count - old_count;
  }

  void finish() {
    flush();
    transformation_.finish();
  }

 private:
  void flush() {
    if (last_) transformation_.push(last_->first, last_->second);
    last_.reset();
  }

  Transformation transformation_;
  std::optional<std::pair<char32_t, std::int64_t>> last_;
};

}  // namespace

Charsmap::Charsmap(std::string_view bytes) : bytes_(bytes) {
  std::uint32_t size = 0;
  if (bytes_.size() < sizeof size) fail("it has " + std::to_string(bytes_.size()) + " bytes");
  std::memcpy(&size, bytes_.data(), sizeof size);  // little endian, as all machines that this runs on
  const std::size_t count = size / sizeof(std::uint32_t);
  if (count == 0 || count * sizeof(std::uint32_t) > bytes_.size() - sizeof size) {
    fail("a table of " + std::to_string(size) + " bytes in " + std::to_string(bytes_.size()));
  }
  units_.resize(count);
  std::memcpy(units_.data(), bytes_.data() + sizeof size, count * sizeof(std::uint32_t));
  replacements_ = std::string_view(bytes_).substr(sizeof size + count * sizeof(std::uint32_t));
  if (!is_valid_utf8(replacements_)) fail("the replacements are not UTF-8");
}

template <typename Visit>
void Charsmap::visit_matches(std::string_view text, Visit visit) const {
  std::size_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == 0) return;
    node ^= byte;
    if (node >= units_.size()) return;
    const std::uint32_t unit = units_[node];
    if (label_of(unit) != byte) return;
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size()) return;
    const std::size_t begin = value_of(units_[node]);
    if (begin > replacements_.size()) return;
    const std::string_view rest = replacements_.substr(begin);
    if (!visit(Match{i + 1, rest.substr(0, rest.find('\0'))})) return;
  }
}

std::optional<std::string_view> Charsmap::replacement_of(std::string_view text) const {
  std::optional<std::string_view> found;
  visit_matches(text, [&](const Match& match) {
    // An entry that points into the middle of a character is wrong, and no text.
    if (is_valid_utf8(match.replacement)) found = match.replacement;
    return false;
  });
  return found;
}

std::optional<Charsmap::Match> Charsmap::longest_match(std::string_view text) const {
  std::optional<Match> longest;
  visit_matches(text, [&](const Match& match) {
    longest = match;
    return true;
  });
  if (!longest) return std::nullopt;
  // A hostile map could end an entry, or begin a replacement, inside a character.
  const bool ends_character = longest->size == text.size() || (text[longest->size] & 0xC0) != 0x80;
  return ends_character && is_valid_utf8(longest->replacement) ? longest : std::nullopt;
}

void Charsmap::normalize(NormalizedString& target) const {
  DelayedTransformation transformation(target);
  const std::string& text = target.text;
  bool changes = false;
  // Whether there was a replacement.
  const auto replace = [&](std::string_view part) {
    const std::optional<std::string_view> replacement = replacement_of(part);
    if (!replacement) return false;
    transformation.replace(part, *replacement);
    changes = true;
    return true;
  };
  GraphemeClusters clusters(text);
  for (std::string_view cluster; clusters.next(cluster);) {
    if (cluster.size() <= kMaximumCluster && replace(cluster)) continue;
    for (std::size_t position = 0; position < cluster.size();) {
      const std::size_t begin = position;
      const char32_t character = next_character(cluster, position);
      if (!replace(cluster.substr(begin, position - begin))) transformation.push(character, 0);
    }
  }
  if (changes) transformation.finish();
}

// ---- Base64 ---------------------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view kBase64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// For characters that are no digits: a bit that no value has.
constexpr std::uint32_t kNoDigit = 1U << 30;

constexpr std::array<std::uint32_t, 256> base64_values() {
  std::array<std::uint32_t, 256> values{};
  values.fill(kNoDigit);
  for (std::size_t i = 0; i < kBase64Digits.size(); ++i) {
    values[static_cast<unsigned char>(kBase64Digits[i])] = static_cast<std::uint32_t>(i);
  }
  return values;
}
constexpr std::array<std::uint32_t, 256> kBase64Values = base64_values();

}  // namespace

std::string decode_base64(std::string_view text) {
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  if ((text.size() + padding) % 4 != 0) throw Error(ErrorKind::InvalidTokenizer, "invalid base64: wrong length");
  std::string bytes(text.size() * 3 / 4, '\0');
  const auto value = [&](std::size_t i) {
    return i < text.size() ? kBase64Values[static_cast<unsigned char>(text[i])] : 0;
  };
  // A charsmap is a quarter of a megabyte: four digits at once.
  std::size_t size = 0;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::uint32_t bits = value(i) << 18 | value(i + 1) << 12 | value(i + 2) << 6 | value(i + 3);
    if (((value(i) | value(i + 1) | value(i + 2) | value(i + 3)) & kNoDigit) != 0) {
      const std::size_t wrong = text.find_first_not_of(kBase64Digits, i);
      throw Error(ErrorKind::InvalidTokenizer, "invalid base64: character " + quote_json(text.substr(wrong, 1)));
    }
    for (int shift = 16; shift >= 0 && size < bytes.size(); shift -= 8) {
      bytes[size++] = static_cast<char>(static_cast<unsigned char>(bits >> shift & 0xFF));
    }
  }
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) {
      return i + k < bytes.size() ? std::uint32_t{static_cast<unsigned char>(bytes[i + k])} : 0U;
    };
    const std::uint32_t bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    text += kBase64Digits[bits >> 18];
    text += kBase64Digits[bits >> 12 & 63];
    text += i + 1 < bytes.size() ? kBase64Digits[bits >> 6 & 63] : '=';
    text += i + 2 < bytes.size() ? kBase64Digits[bits & 63] : '=';
  }
  return text;
}

}  // namespace onnxport::tokenizers
