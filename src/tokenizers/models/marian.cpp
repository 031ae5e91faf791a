#include "tokenizers/models/marian.h"

#include <cmath>

#include <fmt/format.h>

#include "onnxport/error.h"
#include "tokenizers/models/fields.h"
#include "tokenizers/sentencepiece_normalizer.h"

namespace onnxport::tokenizers {

Marian::Marian(Vocabulary vocabulary, std::string unk_token, Unigram unigram)
    : vocabulary_(std::move(vocabulary)),
      unk_token_(std::move(unk_token)),
      unk_id_(vocabulary_.find(unk_token_)),
      unigram_(std::move(unigram)) {}

std::unique_ptr<Marian> Marian::from_json(const Json& model, std::string_view origin) {
  Vocabulary vocabulary = fields::vocabulary(model, origin);
  std::string unk_token = fields::required_string(model, "unk_token", origin);
  if (vocabulary.find(unk_token) == Vocabulary::none) {
    fields::fail(origin, "unk_token", quote_json(unk_token) + " is not in the vocabulary");
  }
  const Json& entries = fields::required(model, "pieces", origin);
  if (!entries.is_array()) fields::fail(origin, "pieces", "expected an array of pieces and their scores");
  // The unknown piece's score is not to count among those that it is made from.
  std::vector<std::string_view> pieces{""};
  std::vector<double> scores{0};
  for (std::size_t i = 0; i < entries.array().size(); ++i) {
    const Json& entry = entries.array()[i];
    if (!entry.is_array() || entry.array().size() != 2 || !entry.array()[0].is_string() ||
        entry.array()[0].string().empty() || !entry.array()[1].is_number() ||
        !std::isfinite(entry.array()[1].number())) {
      fields::fail(origin, fmt::format("pieces[{}]", i), "expected a piece and its score, got " + dump_json(entry));
    }
    pieces.push_back(entry.array()[0].string());
    scores.push_back(entry.array()[1].number());
  }
  if (pieces.size() == 1) fields::fail(origin, "pieces", "there are none");
  if (pieces.size() > Vocabulary::largest_id) fields::fail(origin, "pieces", "there are too many");
  scores.front() = scores.back();
  return std::make_unique<Marian>(std::move(vocabulary), std::move(unk_token),
                                  Unigram(std::move(pieces), std::move(scores), 0, false, Unigram::Sums::Single));
}

std::uint32_t Marian::id_of(std::string_view text) const {
  const std::uint32_t id = vocabulary_.find(text);
  return id == Vocabulary::none ? unk_id_ : id;
}

void Marian::tokenize(std::string_view piece, std::vector<Token>& tokens) const {
  const auto begin = static_cast<std::uint32_t>(language_code_size(piece));
  if (begin > 0) tokens.push_back({id_of(piece.substr(0, begin)), 0, begin});
  const std::string_view text = piece.substr(begin);
  const std::size_t first = tokens.size();
  unigram_.tokenize(text, tokens);
  for (std::size_t i = first; i < tokens.size(); ++i) {
    Token& token = tokens[i];
    token = {id_of(text.substr(token.begin, token.end - token.begin)), token.begin + begin, token.end + begin};
  }
}

std::string Marian::token_text(const Token& token, std::string_view piece) const {
  return std::string(piece.substr(token.begin, token.end - token.begin));
}

std::optional<std::uint32_t> Marian::token_to_id(std::string_view token) const {
  const std::uint32_t id = vocabulary_.find(token);
  return id == Vocabulary::none ? std::nullopt : std::optional(id);
}

Json Marian::to_json() const {
  Json::Array pieces;
  for (std::uint32_t id = 1; id < unigram_.id_end(); ++id) {
    pieces.push_back(Json(Json::Array{Json(*unigram_.vocabulary().word(id)), Json(unigram_.scores()[id])}));
  }
  return Json::Object{{"type", "Marian"},
                      {"unk_token", unk_token_},
                      {"vocab", fields::vocabulary_json(vocabulary_)},
                      {"pieces", std::move(pieces)}};
}

}  // namespace onnxport::tokenizers
