#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "tokenizers/charsmap.h"
#include "tokenizers/normalized_string.h"

namespace onnxport::tokenizers {

/// What sentencepiece itself does to a text before it is cut (normalizer.cc), which differs from what tokenizer.json
/// files do in its place: rules apply wherever they match, the longest first, and not to grapheme clusters.
struct SentencePieceNormalizer {
  std::shared_ptr<const Charsmap> charsmap{};  ///< null: no rules
  bool add_dummy_prefix = true;                ///< a "▁" before all
  bool remove_extra_whitespaces = true;        ///< at the ends, and where there are several
  bool keep_language_code = false;             ///< MarianTokenizer: language_code_size() bytes stay as they are

  void normalize(NormalizedString& target) const;
};

/// Bytes of a ">>code<<" that a text begins with; 0 if there is none.
std::size_t language_code_size(std::string_view text);

}  // namespace onnxport::tokenizers
