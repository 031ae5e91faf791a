#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "tokenizers/normalized_string.h"

namespace onnxport::tokenizers {

/// Does what a regular expression does at one place: the end of the match that begins at `begin`, which is inside the
/// text. Text is valid UTF-8.
using Scanner = std::size_t (*)(std::string_view text, std::size_t begin);

/// The hand-written equivalent of a famous pre-tokenizer pattern (GPT-2, cl100k as Llama 3 has it, Qwen2, o200k, …),
/// which is recognized by its exact text; nullptr for any other. All of these patterns match any text without a gap, so
/// that pieces follow one another: the next begins where one ends.
Scanner find_scanner(std::string_view pattern);

/// All matches of a text, one behind the other.
std::vector<Range> scan_all(Scanner scanner, std::string_view text);

/// ByteLevel's own pattern, GPT-2's.
std::string_view byte_level_pattern();

}  // namespace onnxport::tokenizers
