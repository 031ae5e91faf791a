#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "onnxport/error.h"
#include "onnxport/tokenizer.h"
#include "tokenizers/tokenizer_fixtures.h"

namespace onnxport {
namespace {

using testing::expect_fields;
using testing::fixtures_with;
using testing::ids_of;
using testing::read_rows;
using testing::strings_of;
using testing::tokenizer_fixtures;

/// Each test runs all rows of one file of one fixture.
class TokenizerCases : public ::testing::TestWithParam<std::string> {
 protected:
  Tokenizer tokenizer() const { return Tokenizer::from_file(tokenizer_fixtures() / GetParam() / "tokenizer.json"); }
  std::vector<Json> rows(std::string_view file) const { return read_rows(tokenizer_fixtures() / GetParam() / file); }
};

class Encode : public TokenizerCases {};
class FileDefaults : public TokenizerCases {};
class Decode : public TokenizerCases {};
class Stream : public TokenizerCases {};
class Batch : public TokenizerCases {};
class PreTokenized : public TokenizerCases {};
class Save : public TokenizerCases {};

// A directory named in the environment may lack some kinds of rows.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Encode);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FileDefaults);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Decode);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Stream);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Batch);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PreTokenized);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Save);

std::string name_of(const ::testing::TestParamInfo<std::string>& parameter) { return parameter.param; }

std::optional<std::string> text_of(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.string());
}

void expect_case(const Tokenizer& tokenizer, const Json& row) {
  const std::string& text = row.find("text")->string();
  const std::optional<std::string> pair = text_of(*row.find("pair"));
  const TextInput input{text, pair ? std::optional<std::string_view>(*pair) : std::nullopt};
  EncodeOptions options{.add_special_tokens = row.find("add_special_tokens")->boolean()};
  if (row.find("error") != nullptr) {
    EXPECT_THROW(tokenizer.encode(input, options), Error);
    return;
  }
  const Encoding encoding = tokenizer.encode(input, options);
  expect_fields(row, encoding);
  if (const Json* decoded = row.find("decoded_skip")) {
    EXPECT_EQ(tokenizer.decode(encoding.ids, true), decoded->string()) << "decoded_skip";
  }
  if (const Json* decoded = row.find("decoded_keep")) {
    EXPECT_EQ(tokenizer.decode(encoding.ids, false), decoded->string()) << "decoded_keep";
  }
  // What was not asked for is not there, and makes no difference to the rest.
  options.fields = EncodingFields::Offsets;
  const Encoding with_offsets = tokenizer.encode(input, options);
  EXPECT_EQ(with_offsets.ids, encoding.ids);
  EXPECT_EQ(with_offsets.offsets, encoding.offsets);
  EXPECT_EQ(with_offsets.word_ids, encoding.word_ids);
  EXPECT_EQ(with_offsets.sequence_ids, encoding.sequence_ids);
  EXPECT_TRUE(with_offsets.tokens.empty());
  options.fields = EncodingFields::Ids;
  const Encoding with_ids = tokenizer.encode(input, options);
  EXPECT_EQ(with_ids.ids, encoding.ids);
  EXPECT_EQ(with_ids.type_ids, encoding.type_ids);
  EXPECT_EQ(with_ids.attention_mask, encoding.attention_mask);
  EXPECT_EQ(with_ids.special_tokens_mask, encoding.special_tokens_mask);
  EXPECT_TRUE(with_ids.offsets.empty() && with_ids.word_ids.empty() && with_ids.sequence_ids.empty());
  ASSERT_EQ(with_ids.overflowing.size(), encoding.overflowing.size());
  for (std::size_t i = 0; i < encoding.overflowing.size(); ++i) {
    EXPECT_EQ(with_ids.overflowing[i].ids, encoding.overflowing[i].ids);
  }
}

TEST_P(Encode, EqualsTheRealLibrary) {
  Tokenizer tokenizer = this->tokenizer();
  for (const Json& row : rows("cases.jsonl")) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    testing::set_truncation_and_padding(tokenizer, row);
    expect_case(tokenizer, row);
  }
}

TEST_P(FileDefaults, AreInForce) {
  const Tokenizer tokenizer = this->tokenizer();
  for (const Json& row : rows("file_defaults.jsonl")) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    expect_case(tokenizer, row);
  }
}

TEST_P(Decode, EqualsTheRealLibrary) {
  const Tokenizer tokenizer = this->tokenizer();
  for (const Json& row : rows("decode.jsonl")) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    const std::vector<std::uint32_t> ids = ids_of(*row.find("ids"));
    EXPECT_EQ(tokenizer.decode(ids, true), row.find("decoded_skip")->string());
    EXPECT_EQ(tokenizer.decode(ids, false), row.find("decoded_keep")->string());
  }
}

TEST_P(Stream, EqualsTheRealLibrary) {
  const Tokenizer tokenizer = this->tokenizer();
  for (const Json& row : rows("stream.jsonl")) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    DecodeStream stream(tokenizer, row.find("skip_special_tokens")->boolean());
    const Json::Array& chunks = row.find("chunks")->array();
    const std::vector<std::uint32_t> ids = ids_of(*row.find("ids"));
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      EXPECT_EQ(stream.step(ids[i]), text_of(chunks[i])) << "step " << i;
    }
    if (row.find("error") != nullptr) {
      EXPECT_THROW(stream.step(ids[chunks.size()]), Error);
    } else {
      EXPECT_EQ(chunks.size(), ids.size());
    }
  }
}

TEST_P(Batch, EqualsTheRealLibrary) {
  Tokenizer tokenizer = this->tokenizer();
  for (const Json& row : rows("batch.jsonl")) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    testing::set_truncation_and_padding(tokenizer, row);
    std::vector<TextInput> inputs;
    for (const Json& input : row.find("inputs")->array()) {
      if (input.is_array()) {
        inputs.push_back({input.array()[0].string(), input.array()[1].string()});
      } else {
        inputs.push_back({input.string()});
      }
    }
    const Json::Array& expected = row.find("encodings")->array();
    for (const int threads : {0, 1, 2}) {
      const std::vector<Encoding> encodings = tokenizer.encode_batch(
          inputs, {.add_special_tokens = row.find("add_special_tokens")->boolean(), .threads = threads});
      ASSERT_EQ(encodings.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        SCOPED_TRACE("input " + std::to_string(i));
        expect_fields(expected[i], encodings[i]);
      }
    }
  }
}

TEST_P(PreTokenized, EqualsTheRealLibrary) {
  Tokenizer tokenizer = this->tokenizer();
  for (const Json& row : rows("pretokenized.jsonl")) {
    SCOPED_TRACE(dump_json(row).substr(0, 300));
    testing::set_truncation_and_padding(tokenizer, row);
    const std::vector<std::string> words = strings_of(*row.find("words"));
    std::vector<std::string> pair_words;
    WordsInput input{words};
    if (!row.find("pair_words")->is_null()) {
      pair_words = strings_of(*row.find("pair_words"));
      input.pair = pair_words;
    }
    const EncodeOptions options{.add_special_tokens = row.find("add_special_tokens")->boolean()};
    expect_fields(row, tokenizer.encode(input, options));
    const std::vector<Encoding> batch = tokenizer.encode_batch(std::vector{input, input}, options);
    ASSERT_EQ(batch.size(), 2U);
    expect_fields(row, batch[1]);
  }
}

/// FNV-1a, as make_cases.py computes it.
std::string digest_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return std::to_string(hash);
}

TEST_P(Save, WritesWhatTheRealLibraryWrites) {
  const Json row = rows("saved.jsonl").at(0);
  const Tokenizer tokenizer = this->tokenizer();
  for (const bool pretty : {false, true}) {
    SCOPED_TRACE(pretty ? "pretty" : "compact");
    const Json& expected = *row.find(pretty ? "pretty" : "compact");
    const std::string text = tokenizer.to_json(pretty);
    EXPECT_EQ(static_cast<std::int64_t>(text.size()), expected.find("bytes")->integer());
    EXPECT_EQ(digest_of(text), expected.find("fnv1a")->string());
    // And what was written is read as the same.
    EXPECT_EQ(digest_of(Tokenizer::from_json(text).to_json(pretty)), expected.find("fnv1a")->string());
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Encode, ::testing::ValuesIn(fixtures_with("cases.jsonl")), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, FileDefaults, ::testing::ValuesIn(fixtures_with("file_defaults.jsonl")), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, Decode, ::testing::ValuesIn(fixtures_with("decode.jsonl")), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, Stream, ::testing::ValuesIn(fixtures_with("stream.jsonl")), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, Batch, ::testing::ValuesIn(fixtures_with("batch.jsonl")), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, PreTokenized, ::testing::ValuesIn(fixtures_with("pretokenized.jsonl")), name_of);
INSTANTIATE_TEST_SUITE_P(Fixtures, Save, ::testing::ValuesIn(fixtures_with("saved.jsonl")), name_of);

}  // namespace
}  // namespace onnxport
