#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "onnxport/json.h"
#include "onnxport/tokenizer.h"

/// From the files of a slow tokenizer (vocab.txt, vocab.json and merges.txt, sentencepiece models) to a tokenizer.json:
/// transformers/convert_slow_tokenizer.py.
namespace onnxport::tokenizers {

/// What conversion knows of the slow tokenizer beside its vocabulary.
struct SlowTokenizer {
  std::string class_name;  ///< "BertTokenizer"
  std::filesystem::path vocab_file;
  std::filesystem::path merges_file;
  Json arguments;  ///< of its constructor, defaults included; tokens as made by added_token_json
  std::map<std::uint32_t, std::string> added_tokens;  ///< those that its files give ids to
  bool pads_left = false;

  /// An argument that is a token, as text. Throws Error(InvalidTokenizer) if it is not set.
  std::string token(std::string_view argument) const;
  bool flag(std::string_view argument, bool fallback) const;
};

/// A tokenizer.json in parts. The model is text already, as it is large.
struct ConvertedTokenizer {
  std::string model;
  Json normalizer;
  Json pre_tokenizer;
  Json post_processor;
  Json decoder;
  std::vector<AddedToken> added_tokens;  ///< to be added in this order; their ids follow from it

  std::string to_json() const;
};

/// Throws Error(InvalidTokenizer) naming the file, if one is missing or corrupt, or the class if it has no converter.
ConvertedTokenizer convert_slow_tokenizer(const SlowTokenizer& slow);

/// The content of a token argument: a string, or an AddedToken as tokenizer_config.json writes it.
/// Nothing if the value is neither.
std::optional<std::string> token_content(const Json& value);

}  // namespace onnxport::tokenizers
