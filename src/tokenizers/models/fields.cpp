#include "tokenizers/models/fields.h"

#include "onnxport/error.h"

namespace onnxport::tokenizers::fields {

void fail(std::string_view origin, std::string_view field, const std::string& reason) {
  throw Error(ErrorKind::InvalidTokenizer, std::string(origin) + ": model." + std::string(field) + ": " + reason);
}

const Json& required(const Json& model, std::string_view field, std::string_view origin) {
  const Json* value = model.find(field);
  if (value == nullptr) fail(origin, field, "missing");
  return *value;
}

std::optional<std::string> optional_string(const Json& model, std::string_view field, std::string_view origin) {
  const Json* value = model.find(field);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (!value->is_string()) fail(origin, field, "expected a string or null, got " + dump_json(*value));
  return value->string();
}

std::string required_string(const Json& model, std::string_view field, std::string_view origin) {
  const Json& value = required(model, field, origin);
  if (!value.is_string()) fail(origin, field, "expected a string");
  return value.string();
}

bool optional_boolean(const Json& model, std::string_view field, std::string_view origin) {
  const Json* value = model.find(field);
  if (value == nullptr || value->is_null()) return false;
  if (!value->is_boolean()) fail(origin, field, "expected true or false");
  return value->boolean();
}

Vocabulary vocabulary(const Json& model, std::string_view origin) {
  const Json& value = required(model, "vocab", origin);
  if (!value.is_object()) fail(origin, "vocab", "expected an object of words and their ids");
  std::size_t bytes = 0;
  for (const auto& [word, id] : value.object()) bytes += word.size();
  Vocabulary result;
  result.reserve(value.object().size(), bytes);
  for (const auto& [word, id] : value.object()) {
    if (!id.is_integer() || id.integer() < 0) {
      fail(origin, "vocab", "the id of " + quote_json(word) + " is " + dump_json(id) + ", expected a number from 0 on");
    }
    const auto added = id.integer() > std::int64_t{Vocabulary::largest_id}
                           ? Vocabulary::Added::IdTooLarge
                           : result.add(word, static_cast<std::uint32_t>(id.integer()));
    switch (added) {
      case Vocabulary::Added::Yes:
        break;
      case Vocabulary::Added::KnownWord:
        fail(origin, "vocab", quote_json(word) + " is given twice");
      case Vocabulary::Added::KnownId:
        fail(origin, "vocab",
             "the id " + dump_json(id) + " belongs to both " +
                 quote_json(*result.word(static_cast<std::uint32_t>(id.integer()))) + " and " + quote_json(word));
      case Vocabulary::Added::IdTooLarge:
        fail(origin, "vocab",
             "the id of " + quote_json(word) + " is " + dump_json(id) + ", the largest possible is " +
                 std::to_string(Vocabulary::largest_id));
    }
  }
  return result;
}

Json vocabulary_json(const Vocabulary& vocabulary) {
  Json::Object object;
  object.reserve(vocabulary.size());
  for (std::uint32_t id = 0; id < vocabulary.id_end(); ++id) {
    if (const auto word = vocabulary.word(id)) object.emplace_back(std::string(*word), Json(std::int64_t{id}));
  }
  return Json(std::move(object));
}

Json optional_json(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }

}  // namespace onnxport::tokenizers::fields
