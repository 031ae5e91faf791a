#include <string>

#include "onnxport/error.h"
#include "tokenizers/model.h"
#include "tokenizers/models/bpe.h"
#include "tokenizers/models/bytes.h"
#include "tokenizers/models/fields.h"
#include "tokenizers/models/marian.h"
#include "tokenizers/models/unigram.h"
#include "tokenizers/models/word_level.h"
#include "tokenizers/models/word_piece.h"

namespace onnxport::tokenizers {
namespace {

/// What old files, which do not say it, mean: the first model that has all its members there.
std::string_view guess_type(const Json& model) {
  const auto has = [&model](std::string_view field) { return model.find(field) != nullptr; };
  if (has("vocab") && has("merges")) return "BPE";
  if (has("vocab") && has("unk_token")) return has("max_input_chars_per_word") ? "WordPiece" : "WordLevel";
  if (const Json* vocab = model.find("vocab"); vocab != nullptr && vocab->is_array()) return "Unigram";
  return {};
}

}  // namespace

std::string Model::token_text(const Token& token, std::string_view) const {
  return std::string(id_to_token(token.id).value_or(std::string_view()));
}

std::unique_ptr<Model> make_model(const Json& model, std::string_view origin) {
  if (!model.is_object()) {
    throw Error(ErrorKind::InvalidTokenizer, std::string(origin) + ": model: expected an object");
  }
  const Json* type = model.find("type");
  if (type != nullptr && !type->is_string()) fields::fail(origin, "type", "expected a string");
  const std::string_view name = type == nullptr ? guess_type(model) : std::string_view(type->string());
  if (name == "BPE") return Bpe::from_json(model, origin);
  if (name == "WordPiece") return WordPiece::from_json(model, origin);
  if (name == "Unigram") return Unigram::from_json(model, origin);
  if (name == "WordLevel") return WordLevel::from_json(model, origin);
  if (name == "Marian") return Marian::from_json(model, origin);
  if (name == "Bytes") return Bytes::from_json(model, origin);
  if (type == nullptr) fields::fail(origin, "type", "missing, and the other members do not tell it");
  fields::fail(origin, "type", quote_json(name) + " is no model; there are BPE, WordPiece, Unigram and WordLevel");
}

}  // namespace onnxport::tokenizers
