#include "tokenizers/tokenizer_file.h"

#include <utility>

#include "tokenizers/json_field.h"
#include "tokenizers/serde_json.h"

namespace onnxport::tokenizers {
namespace {

Truncation read_truncation(const JsonField& field) {
  Truncation truncation;
  if (field.has("direction")) {
    truncation.direction = field.at("direction").one_of({"Left", "Right"}) == 0 ? Direction::Left : Direction::Right;
  }
  truncation.max_length = field.at("max_length").size();
  truncation.strategy =
      static_cast<TruncationStrategy>(field.at("strategy").one_of({"LongestFirst", "OnlyFirst", "OnlySecond"}));
  truncation.stride = field.at("stride").size();
  return truncation;
}

std::size_t read_padding_length(const JsonField& field) {
  const std::size_t length = field.size();
  if (length > kMaximumPadding) field.fail("more than " + std::to_string(kMaximumPadding) + " tokens");
  return length;
}

Padding read_padding(const JsonField& field) {
  Padding padding;
  const JsonField strategy = field.at("strategy");
  if (strategy.value().is_string()) {
    strategy.one_of({"BatchLongest"});
  } else {
    padding.length = read_padding_length(strategy.at("Fixed"));
  }
  padding.direction = field.at("direction").one_of({"Left", "Right"}) == 0 ? Direction::Left : Direction::Right;
  if (const auto multiple = field.find("pad_to_multiple_of"))
    padding.pad_to_multiple_of = read_padding_length(*multiple);
  padding.pad_id = field.at("pad_id").unsigned_32();
  padding.pad_type_id = field.at("pad_type_id").unsigned_32();
  padding.pad_token = field.at("pad_token").string();
  return padding;
}

AddedToken read_added_token(const JsonField& field) {
  return {.content = field.at("content").string(),
          .id = field.at("id").unsigned_32(),
          .single_word = field.at("single_word").boolean(),
          .lstrip = field.at("lstrip").boolean(),
          .rstrip = field.at("rstrip").boolean(),
          .normalized = field.at("normalized").boolean(),
          .special = field.at("special").boolean()};
}

std::string_view name_of(Direction direction) { return direction == Direction::Left ? "Left" : "Right"; }

Json json_of(const Truncation& truncation) {
  constexpr std::string_view kStrategies[] = {"LongestFirst", "OnlyFirst", "OnlySecond"};
  return Json::Object{{"direction", name_of(truncation.direction)},
                      {"max_length", static_cast<std::int64_t>(truncation.max_length)},
                      {"strategy", kStrategies[static_cast<int>(truncation.strategy)]},
                      {"stride", static_cast<std::int64_t>(truncation.stride)}};
}

Json json_of(const Padding& padding) {
  Json strategy = "BatchLongest";
  if (padding.length) strategy = Json::Object{{"Fixed", static_cast<std::int64_t>(*padding.length)}};
  Json multiple;
  if (padding.pad_to_multiple_of) multiple = static_cast<std::int64_t>(*padding.pad_to_multiple_of);
  return Json::Object{{"strategy", std::move(strategy)},
                      {"direction", name_of(padding.direction)},
                      {"pad_to_multiple_of", std::move(multiple)},
                      {"pad_id", std::int64_t{padding.pad_id}},
                      {"pad_type_id", std::int64_t{padding.pad_type_id}},
                      {"pad_token", padding.pad_token}};
}

Json json_of(const AddedToken& token) {
  return Json::Object{{"id", std::int64_t{token.id}}, {"content", token.content}, {"single_word", token.single_word},
                      {"lstrip", token.lstrip},       {"rstrip", token.rstrip},   {"normalized", token.normalized},
                      {"special", token.special}};
}

template <typename Component>
Json optional_json(const std::optional<Component>& component) {
  return component ? to_json(*component) : Json();
}

}  // namespace

TokenizerFile read_tokenizer_file(std::string_view text, std::string_view origin) {
  const Json json = read_serde_json(text, origin);
  const JsonField file(json, origin);
  if (!json.is_object()) file.fail("expected an object, as in a tokenizer.json");
  if (file.has("version")) {
    const JsonField version = file.at("version");
    if (version.string() != "1.0") version.fail("unknown version " + quote_json(version.string()) + ", expected 1.0");
  }

  TokenizerFile result;
  Components components;
  if (const auto field = file.find("truncation")) result.truncation = read_truncation(*field);
  if (const auto field = file.find("padding")) result.padding = read_padding(*field);
  if (const auto field = file.find("normalizer")) components.normalizer = read_normalizer(*field);
  if (const auto field = file.find("pre_tokenizer")) components.pre_tokenizer = read_pre_tokenizer(*field);
  if (const auto field = file.find("post_processor")) components.post_processor = read_post_processor(*field);
  if (const auto field = file.find("decoder")) components.decoder = read_decoder(*field);
  const JsonField model = file.at("model");
  if (!model.value().is_object()) model.fail("expected an object");
  components.model = make_model(model.value(), origin);
  if (const auto field = file.find("added_tokens")) {
    for (const JsonField& element : field->elements()) result.added_tokens.push_back(read_added_token(element));
  }
  result.components = std::make_shared<const Components>(std::move(components));
  return result;
}

std::string write_tokenizer_file(const Components& components, std::span<const AddedToken> added_tokens,
                                 const std::optional<Truncation>& truncation, const std::optional<Padding>& padding,
                                 bool pretty) {
  Json::Array tokens;
  for (const AddedToken& token : added_tokens) tokens.push_back(json_of(token));
  const Json file = Json::Object{{"version", "1.0"},
                                 {"truncation", truncation ? json_of(*truncation) : Json()},
                                 {"padding", padding ? json_of(*padding) : Json()},
                                 {"added_tokens", std::move(tokens)},
                                 {"normalizer", optional_json(components.normalizer)},
                                 {"pre_tokenizer", optional_json(components.pre_tokenizer)},
                                 {"post_processor", optional_json(components.post_processor)},
                                 {"decoder", optional_json(components.decoder)},
                                 {"model", components.model->to_json()}};
  return write_serde_json(file, pretty);
}

}  // namespace onnxport::tokenizers
