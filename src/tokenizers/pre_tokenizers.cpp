#include "tokenizers/pre_tokenizers.h"

#include <algorithm>
#include <utility>

#include "tokenizers/regex.h"
#include "tokenizers/scanners.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {

// ---- A text in pieces -----------------------------------------------------------------------------------------------

namespace {

/// What part of the original text some normalized text stands for.
Alignment original_of(const Alignment& first, const Alignment& last) {
  return {first.begin, std::max(first.begin, last.end)};
}

}  // namespace

void PieceList::reserve(std::size_t text_size, std::size_t piece_count) {
  text_.reserve(text_size);
  alignments_.reserve(text_size);
  pieces_.reserve(piece_count);
}

void PieceList::append(const NormalizedString& text, std::optional<std::uint32_t> added_token) {
  const std::size_t base = text_.size();
  text_ += text.text;
  alignments_.insert(alignments_.end(), text.alignments.begin(), text.alignments.end());
  pieces_.push_back({{base, text_.size()}, text.original_begin, text.original_end, added_token});
}

void PieceList::append(const NormalizedString& text, const std::vector<Range>& parts,
                       const std::vector<std::optional<std::uint32_t>>& added_tokens) {
  const std::size_t base = text_.size();
  text_ += text.text;
  alignments_.insert(alignments_.end(), text.alignments.begin(), text.alignments.end());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto [begin, end] = parts[i];
    if (begin >= end) continue;
    const Alignment original = original_of(text.alignments[begin], text.alignments[end - 1]);
    pieces_.push_back({{base + begin, base + end},
                       original.begin,
                       original.end,
                       added_tokens.empty() ? std::nullopt : added_tokens[i]});
  }
}

NormalizedString PieceList::extract(const Piece& piece) const {
  const auto at = [&](std::size_t position) { return alignments_.begin() + static_cast<std::ptrdiff_t>(position); };
  NormalizedString part;
  part.text = text_of(piece);
  part.alignments.assign(at(piece.range.begin), at(piece.range.end));
  part.original_begin = piece.original_begin;
  part.original_end = piece.original_end;
  return part;
}

Piece PieceList::part_of(const Piece& piece, const Range& part) const {
  const Range range{piece.range.begin + part.begin, piece.range.begin + part.end};
  const Alignment original = original_of(alignments_[range.begin], alignments_[range.end - 1]);
  return {range, original.begin, original.end, std::nullopt};
}

namespace {

// ---- Steps ----------------------------------------------------------------------------------------------------------

std::vector<Range> whole(std::string_view text) { return {{0, text.size()}}; }

template <typename IsMatch>
void split_at_characters(PieceList& pieces, IsMatch is_match, SplitBehavior behavior) {
  pieces.split([&](std::string_view text) { return split(text.size(), find_characters(text, is_match), behavior); });
}

void apply(const BertPreTokenizer&, PieceList& pieces) {
  split_at_characters(pieces, is_whitespace, SplitBehavior::Removed);
  split_at_characters(pieces, is_punctuation, SplitBehavior::Isolated);
}

void apply(const ByteLevelPreTokenizer& step, PieceList& pieces) {
  if (step.add_prefix_space) {
    pieces.change_and_split([](NormalizedString& piece) {
      if (!piece.text.starts_with(' ')) prepend(piece, " ");
      return whole(piece.text);
    });
  }
  if (step.use_regex) {
    pieces.split([](std::string_view text) { return scan_all(find_scanner(byte_level_pattern()), text); });
  }
  pieces.change_and_split([](NormalizedString& piece) {
    map_to_byte_alphabet(piece);
    return whole(piece.text);
  });
}

void apply(const Metaspace& step, PieceList& pieces) {
  std::string replacement;
  append_utf8(replacement, step.replacement);
  pieces.change_and_split([&](NormalizedString& piece) {
    replace_ranges(piece, find_characters(piece.text, [](char32_t c) { return c == U' '; }), replacement);
    const bool prepends = step.prepend_scheme == Metaspace::PrependScheme::Always ||
                          (step.prepend_scheme == Metaspace::PrependScheme::First && piece.original_begin == 0);
    if (prepends && !piece.text.starts_with(replacement)) prepend(piece, replacement);
    if (!step.split) return whole(piece.text);
    return split(piece.text.size(), find_characters(piece.text, [&](char32_t c) { return c == step.replacement; }),
                 SplitBehavior::MergedWithNext);
  });
}

void apply(const SplitPreTokenizer& step, PieceList& pieces) {
  pieces.split([&](std::string_view text) {
    return split(text.size(), find_all(step.pattern, text), step.behavior, step.invert);
  });
}

void apply(const WhitespacePreTokenizer&, PieceList& pieces) {
  enum class Kind { Space, Word, Other };
  const auto kind_of = [](char32_t c) {
    return is_word_character(c) ? Kind::Word : is_whitespace(c) ? Kind::Space : Kind::Other;
  };
  pieces.split([&](std::string_view text) {
    std::vector<Range> parts;
    Kind previous = Kind::Space;
    for (std::size_t position = 0; position < text.size();) {
      const std::size_t begin = position;
      const Kind kind = kind_of(next_character(text, position));
      if (kind != Kind::Space) {
        if (kind == previous) {
          parts.back().end = position;
        } else {
          parts.push_back({begin, position});
        }
      }
      previous = kind;
    }
    return parts;
  });
}

void apply(const WhitespaceSplitPreTokenizer&, PieceList& pieces) {
  split_at_characters(pieces, is_whitespace, SplitBehavior::Removed);
}

void apply(const DigitsPreTokenizer& step, PieceList& pieces) {
  split_at_characters(pieces, is_numeric, step.individual_digits ? SplitBehavior::Isolated : SplitBehavior::Contiguous);
}

void apply(const PunctuationPreTokenizer& step, PieceList& pieces) {
  split_at_characters(pieces, is_punctuation, step.behavior);
}

void apply(const CharDelimiterSplitPreTokenizer& step, PieceList& pieces) {
  split_at_characters(
      pieces, [&](char32_t c) { return c == step.delimiter; }, SplitBehavior::Removed);
}

void apply(const UnicodeScriptsPreTokenizer&, PieceList& pieces) {
  constexpr unsigned kAny = 0;
  pieces.split([](std::string_view text) {
    // Characters of no script stay with those before them; at the begin of a piece the library drops them.
    std::vector<Range> parts;
    unsigned last_script = kAny;
    for (std::size_t position = 0; position < text.size();) {
      const std::size_t begin = position;
      const unsigned script = script_of(next_character(text, position));
      if (script != kAny && script != last_script) {
        parts.push_back({begin, position});
        last_script = script;
      } else if (!parts.empty()) {
        parts.back().end = position;
      }
    }
    return parts;
  });
}

void apply(const FixedLengthPreTokenizer& step, PieceList& pieces) {
  pieces.split([&](std::string_view text) {
    std::vector<Range> parts;
    std::size_t count = 0;
    for (std::size_t position = 0; position < text.size(); ++count) {
      const std::size_t begin = position;
      next_character(text, position);
      if (count % step.length == 0) parts.push_back({begin, begin});
      parts.back().end = position;
    }
    return parts;
  });
}

void apply(const PreTokenizerSequence& step, PieceList& pieces) {
  for (const PreTokenizer& pre_tokenizer : step.pretokenizers) pre_tokenize(pre_tokenizer, pieces);
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

Json json_of(const BertPreTokenizer&) { return Json::Object{{"type", "BertPreTokenizer"}}; }
Json json_of(const ByteLevelPreTokenizer& step) { return to_json(step); }
Json json_of(const Metaspace& step) { return to_json(step); }

Json json_of(const SplitPreTokenizer& step) {
  return Json::Object{{"type", "Split"},
                      {"pattern", to_json(step.pattern)},
                      {"behavior", to_json(step.behavior)},
                      {"invert", step.invert}};
}

Json json_of(const WhitespacePreTokenizer&) { return Json::Object{{"type", "Whitespace"}}; }
Json json_of(const WhitespaceSplitPreTokenizer&) { return Json::Object{{"type", "WhitespaceSplit"}}; }

Json json_of(const DigitsPreTokenizer& step) {
  return Json::Object{{"type", "Digits"}, {"individual_digits", step.individual_digits}};
}

Json json_of(const PunctuationPreTokenizer& step) {
  return Json::Object{{"type", "Punctuation"}, {"behavior", to_json(step.behavior)}};
}

Json json_of(const CharDelimiterSplitPreTokenizer& step) {
  std::string delimiter;
  append_utf8(delimiter, step.delimiter);
  return Json::Object{{"type", "CharDelimiterSplit"}, {"delimiter", delimiter}};
}

Json json_of(const UnicodeScriptsPreTokenizer&) { return Json::Object{{"type", "UnicodeScripts"}}; }

Json json_of(const FixedLengthPreTokenizer& step) {
  return Json::Object{{"type", "FixedLength"}, {"length", static_cast<std::int64_t>(step.length)}};
}

Json json_of(const PreTokenizerSequence& step) {
  Json::Array pretokenizers;
  for (const PreTokenizer& pre_tokenizer : step.pretokenizers) pretokenizers.push_back(to_json(pre_tokenizer));
  return Json::Object{{"type", "Sequence"}, {"pretokenizers", std::move(pretokenizers)}};
}

}  // namespace

ByteLevelPreTokenizer read_byte_level(const JsonField& field) {
  return {.add_prefix_space = field.at("add_prefix_space").boolean(),
          .trim_offsets = field.at("trim_offsets").boolean(),
          .use_regex = !field.has("use_regex") || field.at("use_regex").boolean()};
}

Json to_json(const ByteLevelPreTokenizer& byte_level) {
  return Json::Object{{"type", "ByteLevel"},
                      {"add_prefix_space", byte_level.add_prefix_space},
                      {"trim_offsets", byte_level.trim_offsets},
                      {"use_regex", byte_level.use_regex}};
}

PreTokenizer read_pre_tokenizer(const JsonField& field) {
  const JsonField type_field = field.at("type");
  const std::string& type = type_field.string();
  if (type == "BertPreTokenizer") return {BertPreTokenizer{}};
  if (type == "ByteLevel") return {read_byte_level(field)};
  if (type == "Metaspace") return {read_metaspace(field)};
  if (type == "Split") {
    return {SplitPreTokenizer{.pattern = read_pattern(field.at("pattern")),
                              .behavior = read_split_behavior(field.at("behavior")),
                              .invert = field.at("invert").boolean()}};
  }
  if (type == "Whitespace") return {WhitespacePreTokenizer{}};
  if (type == "WhitespaceSplit") return {WhitespaceSplitPreTokenizer{}};
  if (type == "Digits") return {DigitsPreTokenizer{.individual_digits = field.at("individual_digits").boolean()}};
  if (type == "Punctuation") {
    PunctuationPreTokenizer step;
    if (field.has("behavior")) step.behavior = read_split_behavior(field.at("behavior"));
    return {step};
  }
  if (type == "CharDelimiterSplit") {
    return {CharDelimiterSplitPreTokenizer{.delimiter = field.at("delimiter").character()}};
  }
  if (type == "UnicodeScripts") return {UnicodeScriptsPreTokenizer{}};
  if (type == "FixedLength") {
    FixedLengthPreTokenizer step;
    if (field.has("length")) step.length = field.at("length").size();
    if (step.length == 0) field.at("length").fail("must not be 0");
    return {step};
  }
  if (type == "Sequence") {
    PreTokenizerSequence sequence;
    for (const JsonField& element : field.at("pretokenizers").elements()) {
      sequence.pretokenizers.push_back(read_pre_tokenizer(element));
    }
    return {std::move(sequence)};
  }
  type_field.fail("unknown pre-tokenizer " + quote_json(type) +
                  "; known ones: BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, "
                  "Punctuation, Sequence, Split, UnicodeScripts, Whitespace, WhitespaceSplit");
}

Json to_json(const PreTokenizer& pre_tokenizer) {
  return std::visit([](const auto& step) { return json_of(step); }, pre_tokenizer.step);
}

void pre_tokenize(const PreTokenizer& pre_tokenizer, PieceList& pieces) {
  std::visit([&](const auto& step) { apply(step, pieces); }, pre_tokenizer.step);
}

}  // namespace onnxport::tokenizers
