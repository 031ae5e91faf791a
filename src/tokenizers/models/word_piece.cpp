#include "tokenizers/models/word_piece.h"

#include <algorithm>

#include "onnxport/error.h"
#include "tokenizers/models/fields.h"
#include "tokenizers/models/utf8.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {

WordPiece::WordPiece(Vocabulary vocabulary, Settings settings)
    : vocabulary_(std::move(vocabulary)),
      settings_(std::move(settings)),
      unk_id_(vocabulary_.find(settings_.unk_token)) {
  for (std::uint32_t id = 0; id < vocabulary_.id_end(); ++id) {
    const auto word = vocabulary_.word(id);
    if (!word) continue;
    if (word->size() >= has_length_.size()) has_length_.resize(word->size() + 1);
    has_length_[word->size()] = true;
  }
}

std::unique_ptr<WordPiece> WordPiece::from_json(const Json& model, std::string_view origin) {
  Settings settings;
  settings.unk_token = fields::required_string(model, "unk_token", origin);
  settings.continuing_subword_prefix = fields::required_string(model, "continuing_subword_prefix", origin);
  const Json& most = fields::required(model, "max_input_chars_per_word", origin);
  if (!most.is_integer() || most.integer() < 0) {
    fields::fail(origin, "max_input_chars_per_word", "expected a number from 0 on, got " + dump_json(most));
  }
  settings.max_input_chars_per_word = static_cast<std::size_t>(most.integer());
  return std::make_unique<WordPiece>(fields::vocabulary(model, origin), std::move(settings));
}

std::pair<std::uint32_t, std::size_t> WordPiece::longest(std::string_view prefix, std::string_view text,
                                                         std::string& buffer) const {
  if (has_length_.size() <= prefix.size()) return {Vocabulary::none, 0};
  std::size_t length = std::min(text.size(), has_length_.size() - 1 - prefix.size());
  std::string_view word = text.substr(0, length);
  if (!prefix.empty()) {
    buffer.assign(prefix).append(word);
    word = buffer;
  }
  for (; length > 0; --length, word.remove_suffix(1)) {
    if (!has_length_[word.size()]) continue;
    if (length < text.size() && is_utf8_continuation(text[length])) continue;
    const std::uint32_t id = vocabulary_.find(word);
    if (id != Vocabulary::none) return {id, length};
  }
  return {Vocabulary::none, 0};
}

std::uint32_t WordPiece::unknown(std::string_view piece) const {
  if (unk_id_ == Vocabulary::none) {
    throw Error(ErrorKind::InvalidTokenizer, "WordPiece: no tokens for " + quote_json(piece.substr(0, 100)) +
                                                 ", and unk_token, " + quote_json(settings_.unk_token) +
                                                 ", is not in the vocabulary");
  }
  return unk_id_;
}

void WordPiece::tokenize(std::string_view piece, std::vector<Token>& tokens) const {
  const auto size = static_cast<std::uint32_t>(piece.size());
  if (piece.size() > settings_.max_input_chars_per_word &&
      count_characters(piece) > settings_.max_input_chars_per_word) {
    tokens.push_back({unknown(piece), 0, size});
    return;
  }
  const std::size_t before = tokens.size();
  std::string buffer;
  for (std::uint32_t begin = 0; begin < size;) {
    const std::string_view prefix = begin == 0 ? std::string_view() : settings_.continuing_subword_prefix;
    const auto [id, length] = longest(prefix, piece.substr(begin), buffer);
    if (id == Vocabulary::none) {
      tokens.resize(before);
      tokens.push_back({unknown(piece), 0, size});
      return;
    }
    const auto end = begin + static_cast<std::uint32_t>(length);
    tokens.push_back({id, begin, end});
    begin = end;
  }
}

std::optional<std::uint32_t> WordPiece::token_to_id(std::string_view token) const {
  const std::uint32_t id = vocabulary_.find(token);
  return id == Vocabulary::none ? std::nullopt : std::optional(id);
}

Json WordPiece::to_json() const {
  Json json;
  json.set("type", "WordPiece");
  json.set("unk_token", settings_.unk_token);
  json.set("continuing_subword_prefix", settings_.continuing_subword_prefix);
  json.set("max_input_chars_per_word", static_cast<std::int64_t>(settings_.max_input_chars_per_word));
  json.set("vocab", fields::vocabulary_json(vocabulary_));
  return json;
}

}  // namespace onnxport::tokenizers
