#include "tokenizers/models/bytes.h"

#include <algorithm>

#include "tokenizers/models/fields.h"
#include "tokenizers/models/utf8.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {

Bytes::Bytes(std::vector<std::string> first_tokens) : first_tokens_(std::move(first_tokens)) {
  for (std::size_t byte = 0; byte < characters_.size(); ++byte) {
    append_utf8(characters_[byte], static_cast<char32_t>(byte));
  }
}

std::unique_ptr<Bytes> Bytes::from_json(const Json& model, std::string_view origin) {
  const Json& tokens = fields::required(model, "first_tokens", origin);
  if (!tokens.is_array() || !std::ranges::all_of(tokens.array(), &Json::is_string)) {
    fields::fail(origin, "first_tokens", "expected an array of strings");
  }
  std::vector<std::string> first_tokens;
  for (const Json& token : tokens.array()) first_tokens.push_back(token.string());
  return std::make_unique<Bytes>(std::move(first_tokens));
}

void Bytes::tokenize(std::string_view piece, std::vector<Token>& tokens) const {
  const auto first = static_cast<std::uint32_t>(first_tokens_.size());
  for (std::uint32_t begin = 0; begin < piece.size();) {
    const auto end = begin + static_cast<std::uint32_t>(utf8_length(piece[begin]));
    // The bytes of a character share its place.
    for (std::uint32_t i = begin; i < end; ++i) {
      tokens.push_back({first + static_cast<unsigned char>(piece[i]), begin, end});
    }
    begin = end;
  }
}

std::optional<std::uint32_t> Bytes::token_to_id(std::string_view token) const {
  const auto first = std::ranges::find(first_tokens_, token);
  if (first != first_tokens_.end()) return static_cast<std::uint32_t>(first - first_tokens_.begin());
  const auto character = std::ranges::find(characters_, token);
  if (character == characters_.end()) return std::nullopt;
  return static_cast<std::uint32_t>(first_tokens_.size()) + static_cast<std::uint32_t>(character - characters_.begin());
}

std::optional<std::string_view> Bytes::id_to_token(std::uint32_t id) const {
  if (id < first_tokens_.size()) return first_tokens_[id];
  const std::size_t byte = id - first_tokens_.size();
  return byte < characters_.size() ? std::optional<std::string_view>(characters_[byte]) : std::nullopt;
}

Json Bytes::to_json() const {
  return Json::Object{{"type", "Bytes"}, {"first_tokens", Json::Array(first_tokens_.begin(), first_tokens_.end())}};
}

}  // namespace onnxport::tokenizers
