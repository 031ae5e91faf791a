#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "onnxport/json.h"
#include "tokenizers/models/vocabulary.h"

/// Members of "model" in tokenizer.json, with messages that name them.
namespace onnxport::tokenizers::fields {

/// Throws Error(InvalidTokenizer): "<origin>: model.<field>: <reason>".
[[noreturn]] void fail(std::string_view origin, std::string_view field, const std::string& reason);

/// The member; fails if it is absent.
const Json& required(const Json& model, std::string_view field, std::string_view origin);

/// A string, absent or null as nothing.
std::optional<std::string> optional_string(const Json& model, std::string_view field, std::string_view origin);
std::string required_string(const Json& model, std::string_view field, std::string_view origin);
/// A boolean, absent or null as false.
bool optional_boolean(const Json& model, std::string_view field, std::string_view origin);

/// "vocab" as an object of words and their ids. Fails on ids that are no integers, negative, too large or given twice.
Vocabulary vocabulary(const Json& model, std::string_view origin);

/// The same object, ordered by id.
Json vocabulary_json(const Vocabulary& vocabulary);

/// Null, or the text.
Json optional_json(const std::optional<std::string>& text);

}  // namespace onnxport::tokenizers::fields
