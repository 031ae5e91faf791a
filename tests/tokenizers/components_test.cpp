#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "onnxport/error.h"
#include "onnxport/tokenizer.h"
#include "tokenizers/decoders.h"
#include "tokenizers/normalizers.h"
#include "tokenizers/pre_tokenizers.h"
#include "tokenizers/tokenizer_fixtures.h"
#include "tokenizers/unicode.h"

/// Single components on rows that the real library computed.
namespace onnxport::tokenizers {
namespace {

using ::onnxport::testing::field_of;
using ::onnxport::testing::read_rows;
using ::onnxport::testing::read_text;
using ::onnxport::testing::tokenizer_fixtures;

std::vector<Json> rows_of(std::string_view file) { return read_rows(tokenizer_fixtures() / "components" / file); }

/// A range of bytes of a text in characters.
Json characters_of(std::string_view text, std::size_t begin, std::size_t end) {
  return Json::Array{static_cast<std::int64_t>(count_characters(text.substr(0, begin))),
                     static_cast<std::int64_t>(count_characters(text.substr(0, end)))};
}

TEST(Components, Normalizers) {
  const std::vector<Json> rows = rows_of("normalizers.jsonl");
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    Json config;
    if (const Json* other = row.find("config_from")) {
      const Json file =
          parse_json(read_text(tokenizer_fixtures() / other->string() / "tokenizer.json"), other->string());
      config = *file.find("normalizer");
      if (const Json* steps = config.find("normalizers")) {
        for (const Json& step : steps->array()) {
          if (step.find("type")->string() == "Precompiled") {
            config = Json(step);
            break;
          }
        }
      }
    } else {
      config = *row.find("config");
    }
    const Normalizer normalizer = read_normalizer(JsonField(config, "row"));
    EXPECT_EQ(to_json(normalizer), config);
    const std::string& input = row.find("input")->string();
    NormalizedString text = part_of_original(input, {0, input.size()});
    normalize(normalizer, text);
    EXPECT_EQ(text.text, row.find("normalized")->string());
    ASSERT_EQ(text.alignments.size(), text.text.size());
    Json::Array offsets;
    for (std::size_t position = 0; position < text.text.size();) {
      const std::size_t begin = position;
      next_character(text.text, position);
      offsets.push_back(characters_of(input, text.alignments[begin].begin, text.alignments[position - 1].end));
    }
    EXPECT_EQ(Json(offsets), *row.find("char_offsets")) << dump_json(Json(offsets));
  }
}

TEST(Components, PreTokenizers) {
  const std::vector<Json> rows = rows_of("pre_tokenizers.jsonl");
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    const Json& config = *row.find("config");
    const PreTokenizer pre_tokenizer = read_pre_tokenizer(JsonField(config, "row"));
    EXPECT_EQ(to_json(pre_tokenizer), config);
    const std::string& input = row.find("input")->string();
    PieceList pieces;
    pieces.append(part_of_original(input, {0, input.size()}));
    pre_tokenize(pre_tokenizer, pieces);
    Json::Array actual;
    for (const Piece& piece : pieces.pieces()) {
      actual.push_back(
          Json::Array{pieces.text_of(piece), characters_of(input, piece.original_begin, piece.original_end)});
    }
    EXPECT_EQ(Json(actual), *row.find("pieces")) << dump_json(Json(actual));
  }
}

TEST(Components, Models) {
  const std::vector<Json> rows = rows_of("models.jsonl");
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    SCOPED_TRACE(dump_json(row).substr(0, 200));
    const Tokenizer tokenizer = Tokenizer::from_json(dump_json(Json::Object{{"model", *row.find("model")}}));
    for (const Json& entry : row.find("cases")->array()) {
      SCOPED_TRACE(dump_json(entry));
      const std::string& input = entry.array()[0].string();
      if (entry.array().size() == 2) {
        EXPECT_THROW(tokenizer.encode(input), Error);
        continue;
      }
      const Encoding encoding = tokenizer.encode(input);
      const Json actual =
          Json::Array{input, field_of(encoding, "ids"), field_of(encoding, "tokens"), field_of(encoding, "offsets")};
      EXPECT_EQ(actual, entry) << dump_json(actual);
    }
  }
}

TEST(Components, PostProcessors) {
  const std::vector<Json> rows = rows_of("post_processors.jsonl");
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    const std::string name = "components/base_" + row.find("base")->string() + ".json";
    Json file = parse_json(read_text(tokenizer_fixtures() / name), name);
    file.set("post_processor", *row.find("config"));
    Tokenizer tokenizer = Tokenizer::from_json(dump_json(file));
    EXPECT_EQ(*parse_json(tokenizer.to_json(), "").find("post_processor"), *row.find("config"));
    const Json& max_length = *row.find("max_length");
    if (!max_length.is_null()) {
      tokenizer.set_truncation(Truncation{.max_length = static_cast<std::size_t>(max_length.integer())});
    }
    const Json& pair = *row.find("pair");
    const TextInput input{row.find("text")->string(),
                          pair.is_null() ? std::nullopt : std::optional<std::string_view>(pair.string())};
    ::onnxport::testing::expect_fields(
        row, tokenizer.encode(input, {.add_special_tokens = row.find("add_special_tokens")->boolean()}));
  }
}

TEST(Components, Decoders) {
  const std::vector<Json> rows = rows_of("decoders.jsonl");
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    const Json& config = *row.find("config");
    const Decoder decoder = read_decoder(JsonField(config, "row"));
    EXPECT_EQ(to_json(decoder), config);
    std::string text;
    for (const std::string& part : decode(decoder, ::onnxport::testing::strings_of(*row.find("tokens")))) text += part;
    EXPECT_EQ(text, row.find("decoded")->string());
  }
}

}  // namespace
}  // namespace onnxport::tokenizers
