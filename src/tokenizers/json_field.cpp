#include "tokenizers/json_field.h"

#include <limits>
#include <utility>

#include "onnxport/error.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

std::string_view kind_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  return value.is_array() ? "an array" : "an object";
}

}  // namespace

void JsonField::fail(const std::string& reason) const {
  std::string message(origin_);
  message += ": ";
  if (!path_.empty()) message += path_ + ": ";
  throw Error(ErrorKind::InvalidTokenizer, message + reason);
}

void JsonField::require(bool is_right, std::string_view what) const {
  if (!is_right) fail("expected " + std::string(what) + ", found " + std::string(kind_of(*value_)));
}

JsonField JsonField::at(std::string_view key) const {
  require(value_->is_object(), "an object");
  const Json* member = value_->find(key);
  if (member == nullptr) fail("the member " + quote_json(key) + " is missing");
  return {*member, origin_, path_.empty() ? std::string(key) : path_ + "." + std::string(key)};
}

std::optional<JsonField> JsonField::find(std::string_view key) const {
  const Json* member = value_->find(key);
  if (member == nullptr || member->is_null()) return std::nullopt;
  return at(key);
}

std::vector<JsonField> JsonField::elements() const {
  require(value_->is_array(), "an array");
  std::vector<JsonField> fields;
  fields.reserve(value_->array().size());
  for (const Json& element : value_->array()) {
    fields.push_back({element, origin_, path_ + "[" + std::to_string(fields.size()) + "]"});
  }
  return fields;
}

std::vector<std::pair<std::string_view, JsonField>> JsonField::members() const {
  require(value_->is_object(), "an object");
  std::vector<std::pair<std::string_view, JsonField>> fields;
  for (const auto& [key, member] : value_->object()) {
    fields.emplace_back(key, JsonField(member, origin_, path_ + "[" + quote_json(key) + "]"));
  }
  return fields;
}

const std::string& JsonField::string() const {
  require(value_->is_string(), "a string");
  return value_->string();
}

bool JsonField::boolean() const {
  require(value_->is_boolean(), "true or false");
  return value_->boolean();
}

std::uint32_t JsonField::unsigned_32() const {
  require(value_->is_integer(), "an integer");
  const std::int64_t integer = value_->integer();
  if (integer < 0 || integer > std::numeric_limits<std::uint32_t>::max()) {
    fail("the integer " + std::to_string(integer) + " is outside 0 to 4294967295");
  }
  return static_cast<std::uint32_t>(integer);
}

std::size_t JsonField::size() const {
  require(value_->is_integer(), "an integer");
  if (value_->integer() < 0) fail("the integer " + std::to_string(value_->integer()) + " is negative");
  return static_cast<std::size_t>(value_->integer());
}

char32_t JsonField::character() const {
  const std::string& text = string();
  if (count_characters(text) != 1) fail("expected a string of one character, found " + quote_json(text));
  std::size_t position = 0;
  return next_character(text, position);
}

std::size_t JsonField::one_of(std::initializer_list<std::string_view> names) const {
  std::string list;
  std::size_t number = 0;
  for (const std::string_view name : names) {
    if (string() == name) return number;
    ++number;
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  fail("unknown value " + quote_json(string()) + "; known ones: " + list);
}

}  // namespace onnxport::tokenizers
