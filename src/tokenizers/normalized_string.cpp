#include "tokenizers/normalized_string.h"

#include <algorithm>
#include <array>
#include <utility>

#include "onnxport/error.h"

namespace onnxport::tokenizers {
namespace {

/// The bytes of the text that stand for something of the original. The library replaces these where it means the whole
/// text, so that characters that stand for nothing at the borders stay. Nothing if there is nothing to replace.
bool find_replaced_range(const NormalizedString& target, Range& range) {
  range = {0, 0};
  if (target.original_begin == target.original_end) return true;
  bool has_begin = false;
  bool has_end = false;
  for (std::size_t i = 0; i < target.alignments.size(); ++i) {
    const Alignment& alignment = target.alignments[i];
    if (alignment.end > target.original_end) break;
    if (!has_begin && alignment.begin != alignment.end) {
      range.begin = i;
      has_begin = true;
    }
    range.end = i + 1;
    has_end = true;
  }
  if (!has_begin) range.begin = range.end;
  return has_begin || has_end;
}

/// A file's steps may make a text grow without end; no text of this world grows so much.
void require_bounded(const NormalizedString& target, std::size_t size) {
  constexpr std::size_t kAlwaysAllowed = std::size_t{1} << 22;
  constexpr std::size_t kMaximumGrowth = 64;
  const std::size_t original_size = target.original_end - target.original_begin;
  if (size > kAlwaysAllowed && size / kMaximumGrowth > original_size) {
    throw Error(ErrorKind::InvalidTokenizer, "the tokenizer's steps make a text of " + std::to_string(original_size) +
                                                 " bytes grow to more than " + std::to_string(size));
  }
}

}  // namespace

NormalizedString part_of_original(std::string_view original, Range range) {
  NormalizedString part;
  part.text = original.substr(range.begin, range.end - range.begin);
  part.alignments.resize(part.text.size());
  part.original_begin = static_cast<std::uint32_t>(range.begin);
  part.original_end = static_cast<std::uint32_t>(range.end);
  for (std::size_t position = 0; position < part.text.size();) {
    const std::size_t begin = position;
    next_character(part.text, position);
    const Alignment alignment{static_cast<std::uint32_t>(range.begin + begin),
                              static_cast<std::uint32_t>(range.begin + position)};
    std::fill(part.alignments.begin() + static_cast<std::ptrdiff_t>(begin),
              part.alignments.begin() + static_cast<std::ptrdiff_t>(position), alignment);
  }
  return part;
}

Transformation::Transformation(NormalizedString& target, std::size_t removed) : target_(target) {
  applies_ = find_replaced_range(target, range_);
  position_ = range_.begin;
  text_.reserve(range_.end - range_.begin);
  alignments_.reserve(range_.end - range_.begin);
  for (std::size_t i = 0; i < removed; ++i) use_up_character();
}

Transformation::Transformation(NormalizedString& target, Range range)
    : target_(target), range_(range), position_(range.begin) {}

void Transformation::use_up_character() {
  if (position_ < range_.end) next_character(target_.text, position_);
}

void Transformation::push(char32_t character, std::int64_t change) {
  const std::vector<Alignment>& old = target_.alignments;
  Alignment alignment{target_.original_begin, target_.original_begin};
  if (change > 0) {
    if (position_ > 0) alignment = old[position_ - 1];
  } else {
    if (!old.empty()) alignment = old[std::min(position_, old.size() - 1)];
    for (std::int64_t i = 0; i <= -change && position_ < range_.end; ++i) use_up_character();
  }
  append_utf8(text_, character);
  require_bounded(target_, text_.size());
  alignments_.resize(text_.size(), alignment);
}

void Transformation::finish() {
  if (!applies_) return;
  if (range_ == Range{0, target_.text.size()}) {
    target_.text = std::move(text_);
    target_.alignments = std::move(alignments_);
    return;
  }
  const auto at = [](auto& values, std::size_t position) {
    return values.begin() + static_cast<std::ptrdiff_t>(position);
  };
  target_.text.replace(range_.begin, range_.end - range_.begin, text_);
  std::vector<Alignment>& alignments = target_.alignments;
  alignments.erase(at(alignments, range_.begin), at(alignments, range_.end));
  alignments.insert(at(alignments, range_.begin), alignments_.begin(), alignments_.end());
}

void prepend(NormalizedString& target, std::string_view prefix) {
  if (target.text.empty()) return;
  std::size_t first_end = 0;
  const char32_t first = next_character(target.text, first_end);
  Transformation transformation(target, Range{0, first_end});
  for (std::size_t position = 0; position < prefix.size();) {
    const bool is_first = position == 0;
    transformation.push(next_character(prefix, position), is_first ? 0 : 1);
  }
  transformation.push(first, 1);
  transformation.finish();
}

void strip(NormalizedString& target, bool left, bool right) {
  const std::string& text = target.text;
  std::size_t begin = 0;
  std::size_t removed_left = 0;
  while (left && begin < text.size()) {
    std::size_t position = begin;
    if (!is_whitespace(next_character(text, position))) break;
    begin = position;
    ++removed_left;
  }
  std::size_t end = text.size();
  while (right && end > 0) {
    std::size_t position = end;
    if (!is_whitespace(previous_character(text, position))) break;
    end = position;
  }
  if (removed_left == 0 && end == text.size()) return;
  Transformation transformation(target, removed_left);
  for (std::size_t position = begin; position < end;) transformation.push(next_character(text, position), 0);
  transformation.finish();
}

void replace_ranges(NormalizedString& target, const std::vector<Range>& ranges, std::string_view content) {
  if (ranges.empty()) return;
  require_bounded(target, target.text.size() + ranges.size() * content.size());
  std::string text;
  std::vector<Alignment> alignments;
  const auto copy = [&](std::size_t begin, std::size_t end) {
    if (begin >= end) return;
    text.append(target.text, begin, end - begin);
    alignments.insert(alignments.end(), target.alignments.begin() + static_cast<std::ptrdiff_t>(begin),
                      target.alignments.begin() + static_cast<std::ptrdiff_t>(end));
  };
  std::size_t copied = 0;
  for (const Range& range : ranges) {
    copy(copied, range.begin);
    const Alignment alignment =
        range.end == 0 ? Alignment{target.original_begin, target.original_begin} : target.alignments[range.end - 1];
    text += content;
    alignments.resize(text.size(), alignment);
    copied = range.end;
  }
  copy(copied, target.text.size());
  target.text = std::move(text);
  target.alignments = std::move(alignments);
}

// ---- GPT-2's alphabet -----------------------------------------------------------------------------------------------

namespace {

/// Bytes that are printable in Latin-1 stand for themselves, the others for characters from U+0100 on.
constexpr std::array<char32_t, 256> make_byte_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
    alphabet[byte] = is_printable ? byte : next++;
  }
  return alphabet;
}

constexpr std::array<char32_t, 256> kByteAlphabet = make_byte_alphabet();
constexpr std::size_t kByteAlphabetEnd = 0x144;

constexpr std::array<std::int16_t, kByteAlphabetEnd> make_bytes_of_alphabet() {
  std::array<std::int16_t, kByteAlphabetEnd> bytes{};
  bytes.fill(-1);
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[kByteAlphabet[byte]] = static_cast<std::int16_t>(byte);
  return bytes;
}

constexpr std::array<std::int16_t, kByteAlphabetEnd> kBytesOfAlphabet = make_bytes_of_alphabet();

}  // namespace

char32_t character_of_byte(unsigned char byte) { return kByteAlphabet[byte]; }

int byte_of_character(char32_t character) { return character < kByteAlphabetEnd ? kBytesOfAlphabet[character] : -1; }

void map_to_byte_alphabet(NormalizedString& target) {
  Transformation transformation(target);
  const std::string& text = target.text;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    next_character(text, position);
    for (std::size_t i = begin; i < position; ++i) {
      transformation.push(character_of_byte(static_cast<unsigned char>(text[i])), i > begin ? 1 : 0);
    }
  }
  transformation.finish();
}

}  // namespace onnxport::tokenizers
