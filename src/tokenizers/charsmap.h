#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/normalized_string.h"

namespace onnxport::tokenizers {

/// sentencepiece's precompiled_charsmap: a double array of Darts from strings to their replacements.
class Charsmap {
 public:
  /// The bytes of a sentencepiece model. Throws Error(InvalidTokenizer) where they are too few or not UTF-8.
  explicit Charsmap(std::string_view bytes);

  /// The replacement of the shortest entry that a text begins with.
  std::optional<std::string_view> replacement_of(std::string_view text) const;

  /// An entry that a text begins with.
  struct Match {
    std::size_t size = 0;  ///< bytes of the text
    std::string_view replacement;
  };
  /// The longest entry that a text begins with, as sentencepiece itself chooses.
  std::optional<Match> longest_match(std::string_view text) const;

  /// Replaces grapheme clusters below six bytes, and the characters of the others.
  void normalize(NormalizedString& target) const;

  const std::string& bytes() const { return bytes_; }

 private:
  /// Calls visit(match) for each entry that a text begins with, the shortest first, until it returns false.
  template <typename Visit>
  void visit_matches(std::string_view text, Visit visit) const;

  std::string bytes_;
  std::vector<std::uint32_t> units_;
  std::string_view replacements_;  ///< in bytes_; each ends with a NUL
};

/// Base64 with padding. Throws Error(InvalidTokenizer) on other text.
std::string decode_base64(std::string_view text);
std::string encode_base64(std::string_view bytes);

}  // namespace onnxport::tokenizers
