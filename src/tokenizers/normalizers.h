#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "onnxport/json.h"
#include "tokenizers/charsmap.h"
#include "tokenizers/json_field.h"
#include "tokenizers/normalized_string.h"
#include "tokenizers/pattern.h"
#include "tokenizers/sentencepiece_normalizer.h"

/// "normalizer" of tokenizer.json. The names are those of its "type"; SentencePiece is one of our own.
namespace onnxport::tokenizers {

struct Normalizer;

struct BertNormalizer {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  std::optional<bool> strip_accents{};  ///< absent: as lowercase
  bool lowercase = true;
};

/// NFC, NFD, NFKC or NFKD.
struct UnicodeNormalizer {
  bool composes = false;
  bool is_compatible = false;
};

struct StripNormalizer {
  bool strip_left = true;
  bool strip_right = true;
};

struct ReplaceNormalizer {
  Pattern pattern;
  std::string content;
};

struct PrependNormalizer {
  std::string prepend;
};

struct PrecompiledNormalizer {
  std::shared_ptr<const Charsmap> charsmap;
};

struct LowercaseNormalizer {};
struct StripAccentsNormalizer {};
struct NmtNormalizer {};
struct ByteLevelNormalizer {};

struct NormalizerSequence {
  std::vector<Normalizer> normalizers;
};

struct Normalizer {
  std::variant<BertNormalizer, UnicodeNormalizer, StripNormalizer, ReplaceNormalizer, PrependNormalizer,
               PrecompiledNormalizer, SentencePieceNormalizer, LowercaseNormalizer, StripAccentsNormalizer,
               NmtNormalizer, ByteLevelNormalizer, NormalizerSequence>
      step;
};

/// Throws Error(InvalidTokenizer) that names the field.
Normalizer read_normalizer(const JsonField& field);
Json to_json(const Normalizer& normalizer);

/// Throws Error(InvalidTokenizer) where a regular expression takes too long.
void normalize(const Normalizer& normalizer, NormalizedString& text);

}  // namespace onnxport::tokenizers
