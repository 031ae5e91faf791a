#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/tokenizer.h"
#include "tokenizers/normalized_string.h"

namespace onnxport::tokenizers {

/// Which fields of drafts are filled; the others stay empty all the way. Tokens may be needed though no one asked for
/// them: trimming offsets looks at them.
struct DraftFields {
  bool offsets = true;  ///< and word_ids
  bool tokens = true;
};

/// An encoding that is still being put together: which tokens belong to which sequence is known as ranges, and windows
/// that truncation cut off are drafts, too.
struct Draft {
  Encoding encoding;  ///< without overflowing and sequence_ids
  /// Tokens of each sequence, by its number. Where there are none at all, every token belongs to sequence 0.
  std::vector<std::optional<Range>> sequences;
  std::vector<Draft> overflowing;

  std::size_t size() const { return encoding.ids.size(); }
};

/// The tokens `range` belong to the sequence.
void set_sequence(Draft& draft, std::size_t number, Range range);

/// A token that a post-processor adds, or padding.
struct SpecialToken {
  std::string content;
  std::uint32_t id = 0;
};

void append_special(Draft& draft, const SpecialToken& token, std::uint32_t type_id, DraftFields fields);

/// Appends `other`, which begins where `draft` ends. Each window of one is combined with each of the other.
void merge(Draft& draft, const Draft& other);

/// Cuts a text or a pair, as "truncation" says. What is cut off becomes overflowing, in windows that overlap.
/// Throws Error(InvalidArgument) where the strategy's sequence is missing or too short, or the stride too large.
void truncate(Draft& draft, Draft* pair, const Truncation& truncation);

/// The length that drafts are padded to, of which the longest has `longest` tokens.
std::size_t padded_length(std::size_t longest, const Padding& padding);
/// Also pads what is overflowing.
void pad(Draft& draft, std::size_t length, const Padding& padding, DraftFields fields);

/// The finished encoding, with the fields that were asked for.
Encoding finish(Draft draft, EncodingFields fields);

}  // namespace onnxport::tokenizers
