#pragma once

#include <string>
#include <string_view>

#include "onnxport/json.h"

/// JSON as the real library reads and writes it. It is read several times faster than by core/json.h, as a
/// tokenizer.json is large.
namespace onnxport::tokenizers {

/// Fractions are computed as the real library does, which may differ from the nearest double in the last bit.
/// Throws Error(InvalidTokenizer) with line and column: syntax, invalid UTF-8, duplicate keys, nesting deeper than 128,
/// integers beyond int64, numbers beyond double. Duplicate keys of a large object are left to its reader.
Json read_serde_json(std::string_view text, std::string_view origin);

/// On one line without spaces, or with two a level. Unlike Python's it has exponents without a plus sign and zeros.
std::string write_serde_json(const Json& value, bool pretty);

}  // namespace onnxport::tokenizers
