#include "tokenizers/tokenizer_implementation.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "onnxport/error.h"
#include "tokenizers/models/utf8.h"
#include "tokenizers/unicode.h"

namespace onnxport {
namespace {

using tokenizers::Alignment;
using tokenizers::Draft;
using tokenizers::DraftFields;
using tokenizers::Piece;
using tokenizers::PieceList;
using tokenizers::Token;

/// From bytes of a text to its characters.
class CharacterOffsets {
 public:
  explicit CharacterOffsets(std::string_view text) : size_(text.size()) {
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return;
    characters_.resize(text.size());
    std::uint32_t character = 0;
    for (std::size_t position = 0; position < text.size(); ++character) {
      const std::size_t begin = position;
      tokenizers::next_character(text, position);
      std::fill(characters_.begin() + static_cast<std::ptrdiff_t>(begin),
                characters_.begin() + static_cast<std::ptrdiff_t>(position), character);
    }
  }

  /// An offset that begins behind the text stays as it is, in bytes: so the real library has it.
  Offset convert(Offset bytes) const {
    if (characters_.empty() || bytes.begin >= size_) return bytes;
    const std::uint32_t begin = characters_[bytes.begin];
    if (bytes.end < size_) return {begin, characters_[bytes.end]};
    const std::uint32_t last = bytes.end == size_ ? characters_[bytes.end - 1] : begin + 1;
    return {begin, last + 1};
  }

 private:
  std::size_t size_;
  std::vector<std::uint32_t> characters_;  ///< for each byte; empty for ASCII
};

/// Where the bytes [begin, end) of a piece come from, in bytes of the original text.
Offset original_offset(const PieceList& pieces, const Piece& piece, std::uint32_t begin, std::uint32_t end) {
  // A token of no text: the library counts it from the begin of the piece.
  if (begin == end) return {piece.original_begin + begin, piece.original_begin + end};
  const std::vector<Alignment>& alignments = pieces.alignments();
  return {alignments[piece.range.begin + begin].begin, alignments[piece.range.begin + end - 1].end};
}

/// The text as UTF-8; `storage` keeps it where it had to be changed.
std::string_view valid_text(std::string_view text, std::string& storage) {
  if (text.size() >= std::numeric_limits<std::uint32_t>::max() / 4) {
    throw Error(ErrorKind::InvalidArgument, "a text of " + std::to_string(text.size()) +
                                                " bytes is too long to tokenize at once: split it (1 GiB at most)");
  }
  if (tokenizers::is_valid_utf8(text)) return text;
  storage = tokenizers::to_valid_utf8(text);
  return storage;
}

}  // namespace

const tokenizers::Normalizer* Tokenizer::Implementation::normalizer() const {
  return components->normalizer ? &*components->normalizer : nullptr;
}

const tokenizers::PostProcessor* Tokenizer::Implementation::post_processor() const {
  return components->post_processor ? &*components->post_processor : nullptr;
}

DraftFields Tokenizer::Implementation::draft_fields(EncodingFields fields) const {
  const bool offsets = fields != EncodingFields::Ids;
  const bool trims = components->post_processor && tokenizers::trims_offsets(*components->post_processor);
  return {.offsets = offsets, .tokens = fields == EncodingFields::All || (offsets && trims)};
}

void Tokenizer::Implementation::append_text(Draft& draft, std::string_view text, std::uint32_t type_id,
                                            std::optional<std::size_t> word, DraftFields fields) const {
  std::string storage;
  text = valid_text(text, storage);
  if (!word && !fields.tokens && append_text_fast(draft, text, type_id, fields.offsets)) return;
  PieceList pieces = added->split(text, normalizer());
  if (components->pre_tokenizer) tokenizers::pre_tokenize(*components->pre_tokenizer, pieces);

  Encoding& encoding = draft.encoding;
  const CharacterOffsets characters(fields.offsets ? text : std::string_view());
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < pieces.pieces().size(); ++i) {
    const Piece& piece = pieces.pieces()[i];
    const std::string_view piece_text = pieces.text_of(piece);
    tokens.clear();
    if (piece.added_token) {
      tokens.push_back({*piece.added_token, 0, static_cast<std::uint32_t>(piece_text.size())});
    } else {
      model().tokenize(piece_text, tokens);
    }
    for (const Token& token : tokens) {
      encoding.ids.push_back(token.id);
      if (fields.offsets) {
        encoding.offsets.push_back(characters.convert(original_offset(pieces, piece, token.begin, token.end)));
        encoding.word_ids.push_back(static_cast<std::int32_t>(word.value_or(i)));
      }
      if (fields.tokens) {
        encoding.tokens.push_back(piece.added_token ? std::string(piece_text) : model().token_text(token, piece_text));
      }
    }
  }
  encoding.type_ids.resize(encoding.ids.size(), type_id);
  encoding.attention_mask.resize(encoding.ids.size(), 1);
  encoding.special_tokens_mask.resize(encoding.ids.size(), 0);
}

bool Tokenizer::Implementation::append_text_fast(Draft& draft, std::string_view text, std::uint32_t type_id,
                                                 bool with_offsets) const {
  if (!fast_path) return false;
  const bool is_normalized =
      added->finds_normalized() && (normalizer() == nullptr || fast_path->leaves_unchanged(text));
  const auto parts = added->split_raw(text, is_normalized);
  if (!parts) return false;
  tokenizers::FastSession session(*fast_path, with_offsets);
  tokenizers::CharacterCount characters(text);
  for (const tokenizers::AddedVocabulary::Part& part : *parts) {
    const tokenizers::TextPart section{text.substr(part.range.begin, part.range.end - part.range.begin),
                                       part.range.begin, with_offsets ? characters.through(part.range.begin) : 0};
    if (part.id) {
      session.add_token(*part.id, section);
    } else if (!session.add_text(section)) {
      return false;
    }
  }
  Encoding& encoding = draft.encoding;
  session.append_to(encoding);
  encoding.type_ids.resize(encoding.ids.size(), type_id);
  encoding.attention_mask.resize(encoding.ids.size(), 1);
  encoding.special_tokens_mask.resize(encoding.ids.size(), 0);
  return true;
}

Draft Tokenizer::Implementation::finish_draft(Draft draft, std::optional<Draft> pair, const EncodeOptions& options,
                                              DraftFields fields) const {
  if (truncation) {
    Truncation without_special = *truncation;
    if (options.add_special_tokens && post_processor() != nullptr) {
      // Where special tokens alone are too many this wraps around, as it does in the library: nothing is cut then.
      without_special.max_length -= tokenizers::added_token_count(*post_processor(), pair.has_value());
    }
    tokenizers::truncate(draft, pair ? &*pair : nullptr, without_special);
  }
  return tokenizers::post_process(post_processor(), std::move(draft), std::move(pair), options.add_special_tokens,
                                  fields);
}

Draft Tokenizer::Implementation::encode(const TextInput& input, const EncodeOptions& options) const {
  const DraftFields fields = draft_fields(options.fields);
  Draft draft;
  append_text(draft, input.text, 0, std::nullopt, fields);
  std::optional<Draft> pair;
  if (input.pair) append_text(pair.emplace(), *input.pair, 1, std::nullopt, fields);
  return finish_draft(std::move(draft), std::move(pair), options, fields);
}

Draft Tokenizer::Implementation::encode(const WordsInput& input, const EncodeOptions& options) const {
  const DraftFields fields = draft_fields(options.fields);
  Draft draft;
  for (std::size_t i = 0; i < input.words.size(); ++i) append_text(draft, input.words[i], 0, i, fields);
  std::optional<Draft> pair;
  if (input.pair) {
    pair.emplace();
    for (std::size_t i = 0; i < input.pair->size(); ++i) append_text(*pair, (*input.pair)[i], 1, i, fields);
  }
  return finish_draft(std::move(draft), std::move(pair), options, fields);
}

std::string Tokenizer::Implementation::decode(std::span<const std::uint32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::uint32_t id : ids) {
    const AddedToken* const added_token = added->find(id);
    const std::optional<std::string_view> token =
        added_token != nullptr ? std::optional<std::string_view>(added_token->content) : model().id_to_token(id);
    if (token && !(skip_special_tokens && added->is_special(*token))) tokens.emplace_back(*token);
  }
  if (components->decoder) tokens = tokenizers::decode(*components->decoder, std::move(tokens));
  std::string text;
  for (const std::string& token : tokens) {
    if (!components->decoder && &token != &tokens.front()) text += ' ';
    text += token;
  }
  return text;
}

}  // namespace onnxport
