#pragma once

#include <string>
#include <string_view>

#include "onnxport/json.h"
#include "onnxport/tokenizer.h"
#include "tokenizers/pretrained_class.h"

/// Arguments of tokenizer classes as Python passes them around. A token is a string, or an AddedToken: an object as
/// tokenizer_config.json writes it, {"__type": "AddedToken", "content": …}. As in Python, one whose "normalized" is not
/// stated is normalized unless it is special.
namespace onnxport::tokenizers {

Json added_token_json(std::string_view content, const Json& flags);
/// An AddedToken from an object with or without "__type". Throws Error(InvalidTokenizer) that begins with `origin` if
/// "content" is not a string or a flag is not a boolean.
Json checked_added_token(const Json& object, std::string_view origin);
bool is_added_token(const Json& value);
/// Strings become tokens that are `special` and, if so, not normalized.
AddedToken to_added_token(const Json& token, bool special);
Json to_json(const AddedToken& token);
/// What copy.deepcopy() leaves of a value: tokens state "normalized".
Json deep_copy(const Json& value);

/// A constructor's work on its arguments.
struct BoundArguments {
  Json all;          ///< the arguments with defaults
  Json init_kwargs;  ///< those that the base class keeps
};

/// Binds keyword arguments to the constructor of the class's fast or slow version.
/// Throws Error(InvalidTokenizer) where an argument that decides something has the wrong type.
BoundArguments bind_arguments(const PretrainedClass& pretrained_class, bool is_fast, const Json& kwargs,
                              std::string_view origin);

}  // namespace onnxport::tokenizers
