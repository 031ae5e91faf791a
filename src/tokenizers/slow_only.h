#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tokenizers/convert.h"

/// Classes that transformers has in Python alone: MarianTokenizer, ByT5Tokenizer, EsmTokenizer. Their encoding becomes
/// a tokenizer.json, of parts of our own where that has none; what they make of tokens is code, as there. Offsets and
/// windows, which they do not have in Python, are those of other tokenizers. A pair that is truncated "longest_first"
/// to an odd number of tokens keeps the odd one where the longer text is; in Python it is always the first's.
namespace onnxport::tokenizers {

/// convert_tokens_to_string().
using TokensToString =
    std::function<std::string(std::span<const std::string> tokens, const std::set<std::string>& special_tokens)>;

struct SlowOnlyTokenizer {
  ConvertedTokenizer source;
  std::optional<ConvertedTokenizer> target{};  ///< for text_target, where that is tokenized otherwise
  TokensToString tokens_to_string;
  std::vector<std::filesystem::path> vocabulary_files{};  ///< in save_vocabulary()'s order
};

/// `slow.vocab_file` is the directory. Throws Error(InvalidTokenizer) naming the file that is missing or corrupt.
SlowOnlyTokenizer convert_slow_only(const SlowTokenizer& slow);

}  // namespace onnxport::tokenizers
