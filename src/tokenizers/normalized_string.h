#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {

/// Bytes [begin, end) of the original text, which a byte of normalized text came from.
struct Alignment {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const Alignment&) const = default;
};

/// Bytes [begin, end) of a text.
struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const Range&) const = default;
};

/// A text (or part of one) that normalizers change, with where each of its bytes came from.
struct NormalizedString {
  std::string text;                   ///< UTF-8
  std::vector<Alignment> alignments;  ///< one for each byte of `text`; positions in the whole original text
  std::uint32_t original_begin = 0;   ///< the part of the original text that this one stands for
  std::uint32_t original_end = 0;
};

/// The part of an original text, unchanged.
NormalizedString part_of_original(std::string_view original, Range range);

/// Replaces a NormalizedString's text, character by character, in the terms of the library `tokenizers`: each new
/// character comes with what it does to the old ones, which are used up in their order.
///
///   0   stands for the next old character
///   -n  stands for the next old character, and the n after it vanish
///   n>0 is added: it shares the place of what was used up last
class Transformation {
 public:
  /// Of the whole text; of its first characters `removed` vanish.
  explicit Transformation(NormalizedString& target, std::size_t removed = 0);
  /// Of a part of it, whose borders are between characters.
  Transformation(NormalizedString& target, Range range);

  void push(char32_t character, std::int64_t change);
  /// Puts the new text in the place of the old one.
  void finish();

 private:
  void use_up_character();

  NormalizedString& target_;
  Range range_;
  bool applies_ = true;
  std::size_t position_ = 0;  ///< in the old text
  std::string text_;
  std::vector<Alignment> alignments_;
};

/// Keeps the characters for which keep(character) is true.
template <typename Keep>
void filter(NormalizedString& target, Keep keep) {
  const std::string& text = target.text;
  std::size_t position = 0;
  std::size_t removed = 0;
  while (position < text.size() && !keep(next_character(text, position))) ++removed;
  Transformation transformation(target, removed);
  position = 0;
  for (std::size_t i = 0; i < removed; ++i) next_character(text, position);
  char32_t kept = 0;
  bool has_kept = false;
  std::int64_t removed_after = 0;
  while (position < text.size()) {
    const char32_t character = next_character(text, position);
    if (!keep(character)) {
      ++removed_after;
      continue;
    }
    if (has_kept) transformation.push(kept, -removed_after);
    kept = character;
    has_kept = true;
    removed_after = 0;
  }
  if (has_kept) transformation.push(kept, -removed_after);
  transformation.finish();
}

/// Replaces each character by map(character).
template <typename Map>
void map_characters(NormalizedString& target, Map map) {
  Transformation transformation(target);
  const std::string& text = target.text;
  for (std::size_t position = 0; position < text.size();) transformation.push(map(next_character(text, position)), 0);
  transformation.finish();
}

/// Puts a text before one that is not empty.
void prepend(NormalizedString& target, std::string_view prefix);
/// Removes whitespace at the ends.
void strip(NormalizedString& target, bool left, bool right);
/// Replaces ranges, which follow one another, by a text.
void replace_ranges(NormalizedString& target, const std::vector<Range>& ranges, std::string_view content);

// ---- GPT-2's alphabet: a printable character for each byte ----------------------------------------------------------

char32_t character_of_byte(unsigned char byte);
/// 0 to 255, or -1 for a character that is not in the alphabet.
int byte_of_character(char32_t character);
/// The bytes of the text in this alphabet.
void map_to_byte_alphabet(NormalizedString& target);

}  // namespace onnxport::tokenizers
