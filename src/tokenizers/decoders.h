#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "onnxport/json.h"
#include "tokenizers/json_field.h"
#include "tokenizers/metaspace.h"
#include "tokenizers/normalizers.h"
#include "tokenizers/pre_tokenizers.h"

/// "decoder" of tokenizer.json. The names are those of its "type".
namespace onnxport::tokenizers {

struct Decoder;

struct BpeDecoder {
  std::string suffix;  ///< of the last token of a word
};

struct WordPieceDecoder {
  std::string prefix;  ///< of tokens that continue a word
  bool cleanup = true;
};

struct CtcDecoder {
  std::string pad_token;
  std::string word_delimiter_token;
  bool cleanup = true;
};

struct FuseDecoder {};
struct ByteFallbackDecoder {};
/// Of our own: each token is the character of a byte's number. What is no UTF-8 together is left out.
struct BytesDecoder {};

struct StripDecoder {
  char32_t content = U' ';
  std::size_t start = 0;  ///< how many of it are removed at most
  std::size_t stop = 0;
};

struct DecoderSequence {
  std::vector<Decoder> decoders;
};

struct Decoder {
  std::variant<BpeDecoder, ByteLevelPreTokenizer, WordPieceDecoder, Metaspace, CtcDecoder, ReplaceNormalizer,
               FuseDecoder, StripDecoder, ByteFallbackDecoder, BytesDecoder, DecoderSequence>
      step;
};

/// Throws Error(InvalidTokenizer) that names the field.
Decoder read_decoder(const JsonField& field);
Json to_json(const Decoder& decoder);

/// What tokens read as; joined together it is the text.
/// Throws Error(InvalidTokenizer) where a regular expression takes too long.
std::vector<std::string> decode(const Decoder& decoder, std::vector<std::string> tokens);

}  // namespace onnxport::tokenizers
