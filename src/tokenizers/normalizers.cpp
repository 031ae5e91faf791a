#include "tokenizers/normalizers.h"

#include <utility>

#include "onnxport/error.h"
#include "tokenizers/unicode_forms.h"

namespace onnxport::tokenizers {
namespace {

// ---- Steps ----------------------------------------------------------------------------------------------------------

bool is_chinese(char32_t c) {
  // BERT's own choice of blocks. It leaves out the hole between 2B81F and 2B920.
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

void lowercase(NormalizedString& target) {
  Transformation transformation(target);
  const std::string& text = target.text;
  for (std::size_t position = 0; position < text.size();) {
    const char32_t character = next_character(text, position);
    bool is_first = true;
    for (const char32_t lower : lowercase_of(character)) {
      transformation.push(lower, is_first ? 0 : 1);
      is_first = false;
    }
  }
  transformation.finish();
}

void isolate_chinese(NormalizedString& target) {
  Transformation transformation(target);
  const std::string& text = target.text;
  for (std::size_t position = 0; position < text.size();) {
    const char32_t character = next_character(text, position);
    if (is_chinese(character)) {
      transformation.push(U' ', 0);
      transformation.push(character, 1);
      transformation.push(U' ', 1);
    } else {
      transformation.push(character, 0);
    }
  }
  transformation.finish();
}

void apply(const BertNormalizer& step, NormalizedString& target) {
  if (step.clean_text) {
    filter(target, [](char32_t c) { return !is_cleaned_by_bert(c); });
    map_characters(target, [](char32_t c) { return is_whitespace(c) ? U' ' : c; });
  }
  if (step.handle_chinese_chars) isolate_chinese(target);
  if (step.strip_accents.value_or(step.lowercase)) {
    normalize_unicode(target, {.composes = false, .is_compatible = false});
    filter(target, [](char32_t c) { return !is_nonspacing_mark(c); });
  }
  if (step.lowercase) lowercase(target);
}

void apply(const UnicodeNormalizer& step, NormalizedString& target) {
  normalize_unicode(target, {.composes = step.composes, .is_compatible = step.is_compatible});
}

void apply(const StripNormalizer& step, NormalizedString& target) { strip(target, step.strip_left, step.strip_right); }

void apply(const ReplaceNormalizer& step, NormalizedString& target) {
  if (target.text.empty()) return;
  replace_ranges(target, find_all(step.pattern, target.text), step.content);
}

void apply(const PrependNormalizer& step, NormalizedString& target) { prepend(target, step.prepend); }

void apply(const PrecompiledNormalizer& step, NormalizedString& target) { step.charsmap->normalize(target); }

void apply(const SentencePieceNormalizer& step, NormalizedString& target) { step.normalize(target); }

void apply(const LowercaseNormalizer&, NormalizedString& target) { lowercase(target); }

void apply(const StripAccentsNormalizer&, NormalizedString& target) {
  filter(target, [](char32_t c) { return !is_combining_mark(c); });
}

void apply(const NmtNormalizer&, NormalizedString& target) {
  filter(target, [](char32_t c) {
    return !((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F);
  });
  map_characters(target, [](char32_t c) {
    const bool is_space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                          (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
                          c == 0xFFFD;
    return is_space ? U' ' : c;
  });
}

void apply(const ByteLevelNormalizer&, NormalizedString& target) { map_to_byte_alphabet(target); }

void apply(const NormalizerSequence& step, NormalizedString& target) {
  for (const Normalizer& normalizer : step.normalizers) normalize(normalizer, target);
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

Json json_of(const BertNormalizer& step) {
  return Json::Object{{"type", "BertNormalizer"},
                      {"clean_text", step.clean_text},
                      {"handle_chinese_chars", step.handle_chinese_chars},
                      {"strip_accents", step.strip_accents ? Json(*step.strip_accents) : Json()},
                      {"lowercase", step.lowercase}};
}

Json json_of(const UnicodeNormalizer& step) {
  const std::string_view name = step.composes        ? step.is_compatible ? "NFKC" : "NFC"
                                : step.is_compatible ? "NFKD"
                                                     : "NFD";
  return Json::Object{{"type", name}};
}

Json json_of(const StripNormalizer& step) {
  return Json::Object{{"type", "Strip"}, {"strip_left", step.strip_left}, {"strip_right", step.strip_right}};
}

Json json_of(const ReplaceNormalizer& step) {
  return Json::Object{{"type", "Replace"}, {"pattern", to_json(step.pattern)}, {"content", step.content}};
}

Json json_of(const PrependNormalizer& step) { return Json::Object{{"type", "Prepend"}, {"prepend", step.prepend}}; }

Json json_of(const PrecompiledNormalizer& step) {
  return Json::Object{{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(step.charsmap->bytes())}};
}

Json json_of(const SentencePieceNormalizer& step) {
  return Json::Object{{"type", "SentencePiece"},
                      {"precompiled_charsmap", step.charsmap ? Json(encode_base64(step.charsmap->bytes())) : Json()},
                      {"add_dummy_prefix", step.add_dummy_prefix},
                      {"remove_extra_whitespaces", step.remove_extra_whitespaces},
                      {"keep_language_code", step.keep_language_code}};
}

Json json_of(const LowercaseNormalizer&) { return Json::Object{{"type", "Lowercase"}}; }
Json json_of(const StripAccentsNormalizer&) { return Json::Object{{"type", "StripAccents"}}; }
Json json_of(const NmtNormalizer&) { return Json::Object{{"type", "Nmt"}}; }
Json json_of(const ByteLevelNormalizer&) { return Json::Object{{"type", "ByteLevel"}}; }

Json json_of(const NormalizerSequence& step) {
  Json::Array normalizers;
  for (const Normalizer& normalizer : step.normalizers) normalizers.push_back(to_json(normalizer));
  return Json::Object{{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
}

std::shared_ptr<const Charsmap> read_charsmap(const JsonField& field) {
  const std::string& text = field.string();
  try {
    return std::make_shared<const Charsmap>(decode_base64(text));
  } catch (const Error& error) {
    field.fail(error.what());
  }
}

/// The type of a step that a very old file does not name.
std::string_view guess_type(const JsonField& field) {
  if (field.has("clean_text")) return "BertNormalizer";
  if (field.has("strip_left")) return "Strip";
  if (field.has("normalizers")) return "Sequence";
  if (field.has("precompiled_charsmap")) return "Precompiled";
  if (field.has("pattern")) return "Replace";
  if (field.has("prepend")) return "Prepend";
  return field.at("type").string();
}

}  // namespace

Normalizer read_normalizer(const JsonField& field) {
  const std::string_view type = field.has("type") ? field.at("type").string() : guess_type(field);
  if (type == "BertNormalizer" || type == "Bert") {
    const std::optional<JsonField> strip_accents = field.find("strip_accents");
    return {BertNormalizer{.clean_text = field.at("clean_text").boolean(),
                           .handle_chinese_chars = field.at("handle_chinese_chars").boolean(),
                           .strip_accents = strip_accents ? std::optional(strip_accents->boolean()) : std::nullopt,
                           .lowercase = field.at("lowercase").boolean()}};
  }
  if (type == "NFC") return {UnicodeNormalizer{.composes = true, .is_compatible = false}};
  if (type == "NFD") return {UnicodeNormalizer{.composes = false, .is_compatible = false}};
  if (type == "NFKC") return {UnicodeNormalizer{.composes = true, .is_compatible = true}};
  if (type == "NFKD") return {UnicodeNormalizer{.composes = false, .is_compatible = true}};
  if (type == "Strip") {
    return {StripNormalizer{.strip_left = field.at("strip_left").boolean(),
                            .strip_right = field.at("strip_right").boolean()}};
  }
  if (type == "Replace") {
    return {ReplaceNormalizer{.pattern = read_pattern(field.at("pattern")), .content = field.at("content").string()}};
  }
  if (type == "Prepend") return {PrependNormalizer{.prepend = field.at("prepend").string()}};
  if (type == "Precompiled") return {PrecompiledNormalizer{read_charsmap(field.at("precompiled_charsmap"))}};
  if (type == "SentencePiece") {
    const std::optional<JsonField> charsmap = field.find("precompiled_charsmap");
    return {SentencePieceNormalizer{.charsmap = charsmap ? read_charsmap(*charsmap) : nullptr,
                                    .add_dummy_prefix = field.at("add_dummy_prefix").boolean(),
                                    .remove_extra_whitespaces = field.at("remove_extra_whitespaces").boolean(),
                                    .keep_language_code = field.at("keep_language_code").boolean()}};
  }
  if (type == "Lowercase") return {LowercaseNormalizer{}};
  if (type == "StripAccents") return {StripAccentsNormalizer{}};
  if (type == "Nmt") return {NmtNormalizer{}};
  if (type == "ByteLevel") return {ByteLevelNormalizer{}};
  if (type == "Sequence") {
    NormalizerSequence sequence;
    for (const JsonField& element : field.at("normalizers").elements()) {
      sequence.normalizers.push_back(read_normalizer(element));
    }
    return {std::move(sequence)};
  }
  field.at("type").fail("unknown normalizer " + quote_json(type) +
                        "; known ones: BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, "
                        "Prepend, Replace, SentencePiece, Sequence, Strip, StripAccents");
}

Json to_json(const Normalizer& normalizer) {
  return std::visit([](const auto& step) { return json_of(step); }, normalizer.step);
}

void normalize(const Normalizer& normalizer, NormalizedString& text) {
  std::visit([&](const auto& step) { apply(step, text); }, normalizer.step);
}

}  // namespace onnxport::tokenizers
