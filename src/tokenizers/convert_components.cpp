#include "tokenizers/convert_components.h"

namespace onnxport::tokenizers {
namespace {

Json template_json(const std::vector<TemplatePiece>& pieces) {
  Json::Array result;
  for (const TemplatePiece& piece : pieces) {
    const bool is_sequence = piece.token == "$A" || piece.token == "$B";
    const Json body =
        Json::Object{{"id", is_sequence ? piece.token.substr(1) : piece.token}, {"type_id", piece.type_id}};
    result.emplace_back(Json::Object{{is_sequence ? "Sequence" : "SpecialToken", body}});
  }
  return result;
}

Json replace_pattern(std::string_view kind, std::string_view pattern, std::string_view content) {
  return Json::Object{
      {"type", "Replace"}, {"pattern", Json::Object{{std::string(kind), pattern}}}, {"content", content}};
}

}  // namespace

Json template_processing(const std::vector<TemplatePiece>& single, const std::vector<TemplatePiece>& pair,
                         const TokenIds& special_tokens) {
  Json tokens = Json::Object{};
  for (const auto& [token, id] : special_tokens) {
    tokens.set(token, Json::Object{{"id", token},
                                   {"ids", Json::Array{Json(static_cast<std::int64_t>(id))}},
                                   {"tokens", Json::Array{Json(token)}}});
  }
  return Json::Object{{"type", "TemplateProcessing"},
                      {"single", template_json(single)},
                      {"pair", template_json(pair)},
                      {"special_tokens", std::move(tokens)}};
}

Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return Json::Object{{"type", "ByteLevel"},
                      {"add_prefix_space", add_prefix_space},
                      {"trim_offsets", trim_offsets},
                      {"use_regex", use_regex}};
}

Json metaspace(std::string_view prepend_scheme, bool split) {
  return Json::Object{
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", prepend_scheme}, {"split", split}};
}

Json split(std::string_view regex, std::string_view behavior, bool invert) {
  return Json::Object{
      {"type", "Split"}, {"pattern", Json::Object{{"Regex", regex}}}, {"behavior", behavior}, {"invert", invert}};
}

Json replace(std::string_view text, std::string_view content) { return replace_pattern("String", text, content); }
Json replace_regex(std::string_view regex, std::string_view content) {
  return replace_pattern("Regex", regex, content);
}

Json strip_normalizer(bool left, bool right) {
  return Json::Object{{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}};
}

Json strip_decoder(std::string_view content, int start, int stop) {
  return Json::Object{{"type", "Strip"}, {"content", content}, {"start", start}, {"stop", stop}};
}

Json bert_normalizer(bool handle_chinese_chars, Json strip_accents, bool lowercase) {
  return Json::Object{{"type", "BertNormalizer"},
                      {"clean_text", true},
                      {"handle_chinese_chars", handle_chinese_chars},
                      {"strip_accents", std::move(strip_accents)},
                      {"lowercase", lowercase}};
}

Json component(std::string_view type) { return Json::Object{{"type", type}}; }

Json sequence(std::string_view member, Json::Array items) {
  return Json::Object{{"type", "Sequence"}, {std::string(member), Json(std::move(items))}};
}

}  // namespace onnxport::tokenizers
