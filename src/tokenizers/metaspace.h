#pragma once

#include "onnxport/json.h"
#include "tokenizers/json_field.h"

namespace onnxport::tokenizers {

/// "Metaspace", a pre-tokenizer and a decoder: spaces as a character of their own, with which words begin.
struct Metaspace {
  enum class PrependScheme { First, Never, Always };

  char32_t replacement = U'\u2581';
  PrependScheme prepend_scheme = PrependScheme::Always;
  bool split = true;
};

/// Also as old files spell it, with add_prefix_space and str_rep.
Metaspace read_metaspace(const JsonField& field);
Json to_json(const Metaspace& metaspace);

}  // namespace onnxport::tokenizers
