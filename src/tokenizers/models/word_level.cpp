#include "tokenizers/models/word_level.h"

#include "onnxport/error.h"
#include "tokenizers/models/fields.h"

namespace onnxport::tokenizers {

WordLevel::WordLevel(Vocabulary vocabulary, std::string unk_token)
    : vocabulary_(std::move(vocabulary)), unk_token_(std::move(unk_token)), unk_id_(vocabulary_.find(unk_token_)) {}

std::unique_ptr<WordLevel> WordLevel::from_json(const Json& model, std::string_view origin) {
  return std::make_unique<WordLevel>(fields::vocabulary(model, origin),
                                     fields::required_string(model, "unk_token", origin));
}

void WordLevel::tokenize(std::string_view piece, std::vector<Token>& tokens) const {
  std::uint32_t id = vocabulary_.find(piece);
  if (id == Vocabulary::none) id = unk_id_;
  if (id == Vocabulary::none) {
    throw Error(ErrorKind::InvalidTokenizer, "WordLevel: " + quote_json(piece) + " is not in the vocabulary, nor is " +
                                                 "unk_token, " + quote_json(unk_token_));
  }
  tokens.push_back({id, 0, static_cast<std::uint32_t>(piece.size())});
}

std::optional<std::uint32_t> WordLevel::token_to_id(std::string_view token) const {
  const std::uint32_t id = vocabulary_.find(token);
  return id == Vocabulary::none ? std::nullopt : std::optional(id);
}

Json WordLevel::to_json() const {
  Json json;
  json.set("type", "WordLevel");
  json.set("vocab", fields::vocabulary_json(vocabulary_));
  json.set("unk_token", unk_token_);
  return json;
}

}  // namespace onnxport::tokenizers
