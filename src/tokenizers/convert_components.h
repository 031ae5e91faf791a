#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/json.h"

/// Components of tokenizer.json as the real library writes them.
namespace onnxport::tokenizers {

/// One piece of a template: a special token, or "$A" or "$B".
struct TemplatePiece {
  std::string token;
  int type_id = 0;
};

using TokenIds = std::vector<std::pair<std::string, std::uint32_t>>;

Json template_processing(const std::vector<TemplatePiece>& single, const std::vector<TemplatePiece>& pair,
                         const TokenIds& special_tokens);

Json byte_level(bool add_prefix_space = true, bool trim_offsets = true, bool use_regex = true);
Json metaspace(std::string_view prepend_scheme, bool split = true);
Json split(std::string_view regex, std::string_view behavior, bool invert = false);
Json replace(std::string_view text, std::string_view content);
Json replace_regex(std::string_view regex, std::string_view content);
Json strip_normalizer(bool left, bool right);
Json strip_decoder(std::string_view content, int start, int stop);
Json bert_normalizer(bool handle_chinese_chars, Json strip_accents, bool lowercase);
/// {"type": type}
Json component(std::string_view type);
/// {"type": "Sequence", member: items}
Json sequence(std::string_view member, Json::Array items);

}  // namespace onnxport::tokenizers
