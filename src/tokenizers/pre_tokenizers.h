#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "onnxport/json.h"
#include "tokenizers/json_field.h"
#include "tokenizers/metaspace.h"
#include "tokenizers/normalized_string.h"
#include "tokenizers/pattern.h"

/// "pre_tokenizer" of tokenizer.json. The names are those of its "type".
namespace onnxport::tokenizers {

// ---- A text in pieces -----------------------------------------------------------------------------------------------

/// A part of normalized text that no token crosses the borders of.
struct Piece {
  Range range{};                     ///< in the normalized text
  std::uint32_t original_begin = 0;  ///< what it stands for in the original text, in bytes
  std::uint32_t original_end = 0;
  std::optional<std::uint32_t> added_token{};  ///< its id, if it is one; then nothing changes or splits it any more
};

/// A normalized text that is being split.
class PieceList {
 public:
  const std::string& text() const { return text_; }
  const std::vector<Alignment>& alignments() const { return alignments_; }
  const std::vector<Piece>& pieces() const { return pieces_; }
  std::string_view text_of(const Piece& piece) const {
    return std::string_view(text_).substr(piece.range.begin, piece.range.end - piece.range.begin);
  }

  /// Appends a text as one piece.
  void append(const NormalizedString& text, std::optional<std::uint32_t> added_token = {});
  /// Appends the given parts of a text as pieces; added_tokens, if any, are for each part.
  void append(const NormalizedString& text, const std::vector<Range>& parts,
              const std::vector<std::optional<std::uint32_t>>& added_tokens = {});

  /// Splits each piece into parts, which parts_of(std::string_view) gives as a std::vector<Range>.
  template <typename PartsOf>
  void split(PartsOf parts_of) {
    std::vector<Piece> pieces;
    pieces.reserve(pieces_.size());
    for (const Piece& piece : pieces_) {
      if (piece.added_token) {
        pieces.push_back(piece);
        continue;
      }
      for (const Range& part : parts_of(text_of(piece))) {
        if (part.begin < part.end) pieces.push_back(part_of(piece, part));
      }
    }
    pieces_ = std::move(pieces);
  }

  /// Changes the text of each piece by change(NormalizedString&) and splits it into the parts that this returns.
  template <typename Change>
  void change_and_split(Change change) {
    PieceList result;
    result.reserve(text_.size(), pieces_.size());
    for (const Piece& piece : pieces_) {
      NormalizedString part = extract(piece);
      if (piece.added_token) {
        result.append(part, piece.added_token);
      } else {
        const std::vector<Range> parts = change(part);
        result.append(part, parts);
      }
    }
    *this = std::move(result);
  }

 private:
  void reserve(std::size_t text_size, std::size_t piece_count);
  NormalizedString extract(const Piece& piece) const;
  Piece part_of(const Piece& piece, const Range& part) const;

  std::string text_;
  std::vector<Alignment> alignments_;
  std::vector<Piece> pieces_;
};

// ---- Steps ----------------------------------------------------------------------------------------------------------

struct PreTokenizer;

struct BertPreTokenizer {};

struct ByteLevelPreTokenizer {
  bool add_prefix_space = true;
  bool trim_offsets = true;
  bool use_regex = true;  ///< splits by GPT-2's pattern
};

struct SplitPreTokenizer {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::Removed;
  bool invert = false;
};

struct WhitespacePreTokenizer {};  ///< \w+|[^\w\s]+
struct WhitespaceSplitPreTokenizer {};

struct DigitsPreTokenizer {
  bool individual_digits = false;
};

struct PunctuationPreTokenizer {
  SplitBehavior behavior = SplitBehavior::Isolated;
};

struct CharDelimiterSplitPreTokenizer {
  char32_t delimiter = U' ';
};

struct UnicodeScriptsPreTokenizer {};

struct FixedLengthPreTokenizer {
  std::size_t length = 5;  ///< in characters
};

struct PreTokenizerSequence {
  std::vector<PreTokenizer> pretokenizers;
};

struct PreTokenizer {
  std::variant<BertPreTokenizer, ByteLevelPreTokenizer, Metaspace, SplitPreTokenizer, WhitespacePreTokenizer,
               WhitespaceSplitPreTokenizer, DigitsPreTokenizer, PunctuationPreTokenizer, CharDelimiterSplitPreTokenizer,
               UnicodeScriptsPreTokenizer, FixedLengthPreTokenizer, PreTokenizerSequence>
      step;
};

/// Throws Error(InvalidTokenizer) that names the field.
PreTokenizer read_pre_tokenizer(const JsonField& field);
Json to_json(const PreTokenizer& pre_tokenizer);

/// The step "ByteLevel", which is a post-processor and a decoder, too.
ByteLevelPreTokenizer read_byte_level(const JsonField& field);
Json to_json(const ByteLevelPreTokenizer& byte_level);

/// Throws Error(InvalidTokenizer) where a regular expression takes too long.
void pre_tokenize(const PreTokenizer& pre_tokenizer, PieceList& pieces);

}  // namespace onnxport::tokenizers
