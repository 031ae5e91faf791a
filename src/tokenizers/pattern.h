#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"
#include "tokenizers/json_field.h"
#include "tokenizers/normalized_string.h"
#include "tokenizers/regex.h"

namespace onnxport::tokenizers {

/// {"String": …} or {"Regex": …} of Split and Replace.
struct Pattern {
  std::string text;
  bool is_regex = false;
  std::optional<Regex> regex{};  ///< also for an empty String, which matches between all characters
};

Pattern read_pattern(const JsonField& field);
Json to_json(const Pattern& pattern);
/// Throws Error(InvalidTokenizer) where a regular expression takes too long.
std::vector<Range> find_all(const Pattern& pattern, std::string_view text);

/// What becomes of the matches where a text is split at them.
enum class SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

SplitBehavior read_split_behavior(const JsonField& field);
Json to_json(SplitBehavior behavior);

/// The parts that a text is split into at matches, which are in order and do not overlap. With `invert` what lies
/// between the matches counts as the matches. Empty parts are left out.
std::vector<Range> split(std::size_t text_size, const std::vector<Range>& matches, SplitBehavior behavior,
                         bool invert = false);

/// Each character for which is_match(character) is true, as a match of its own.
template <typename IsMatch>
std::vector<Range> find_characters(std::string_view text, IsMatch is_match) {
  std::vector<Range> matches;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    if (is_match(next_character(text, position))) matches.push_back({begin, position});
  }
  return matches;
}

}  // namespace onnxport::tokenizers
