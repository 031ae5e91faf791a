#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "onnxport/error.h"
#include "onnxport/tokenizer.h"
#include "tokenizers/tokenizer_fixtures.h"
#include "tokenizers/unicode.h"

/// Texts that are unusual: no UTF-8, with NUL, or very long.
namespace onnxport {
namespace {

using testing::fixtures_with;
using testing::tokenizer_fixtures;

Tokenizer tokenizer_of(const std::string& name) {
  return Tokenizer::from_file(tokenizer_fixtures() / name / "tokenizer.json");
}

TEST(Text, InvalidUtf8) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"a\xff"
       "b",
       "a\uFFFDb"},
      {"\x80\x80", "\uFFFD\uFFFD"},
      {"\xe2\x82", "\uFFFD"},  // a character that is cut off is one
      {"\xe2\x82z", "\uFFFDz"},
      {"\xf0\x9f\x98", "\uFFFD"},
      {"\xc0\xaf", "\uFFFD\uFFFD"},  // longer than need be
      {"\xe0\x80\xaf", "\uFFFD\uFFFD\uFFFD"},
      {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},            // a surrogate
      {"\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // beyond U+10FFFF
      {"\xf0\x90\xe9", "\uFFFD\uFFFD"},
      {"é\xc3", "é\uFFFD"},
  };
  const Tokenizer tokenizer = tokenizer_of("gpt2");
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(tokenizers::to_valid_utf8(bytes), text);
    for (const EncodingFields fields : {EncodingFields::Ids, EncodingFields::Offsets, EncodingFields::All}) {
      const Encoding encoding = tokenizer.encode(bytes, {.fields = fields});
      const Encoding expected = tokenizer.encode(text, {.fields = fields});
      EXPECT_EQ(encoding.ids, expected.ids);
      EXPECT_EQ(encoding.offsets, expected.offsets);
    }
  }
}

TEST(Text, Nul) {
  const std::string text("a\0b \0", 5);
  const Tokenizer gpt2 = tokenizer_of("gpt2");
  const Encoding encoding = gpt2.encode(text);
  EXPECT_EQ(gpt2.decode(encoding.ids), text);
  EXPECT_EQ(encoding.offsets.back(), (Offset{4, 5}));
  // BertNormalizer removes it.
  EXPECT_EQ(tokenizer_of("minilm").encode(text).tokens, tokenizer_of("minilm").encode("ab ").tokens);
}

TEST(Text, UnknownIdsAreLeftOut) {
  const Tokenizer tokenizer = tokenizer_of("gpt2");
  EXPECT_EQ(tokenizer.decode(std::vector<std::uint32_t>{15496, 4000000000, 995}), "Hello world");
  EXPECT_EQ(tokenizer.id_to_token(4000000000), std::nullopt);
  EXPECT_EQ(tokenizer.decode({}), "");
}

TEST(Text, Empty) {
  for (const std::string& name : fixtures_with("cases.jsonl")) {
    Tokenizer tokenizer = tokenizer_of(name);
    tokenizer.set_padding({});
    EXPECT_TRUE(tokenizer.encode("", {.add_special_tokens = false}).ids.empty()) << name;
    EXPECT_TRUE(tokenizer.encode_batch(std::vector<std::string>{}).empty());
    EXPECT_TRUE(tokenizer.encode(WordsInput{}, {.add_special_tokens = false}).ids.empty());
  }
}

void expect_linear(const Tokenizer& tokenizer, std::string_view unit, std::size_t bytes, EncodingFields fields) {
  const auto seconds_for = [&](std::size_t size) {
    std::string text;
    while (text.size() < size) text += unit;
    const std::clock_t begin = std::clock();
    tokenizer.encode(text, {.add_special_tokens = false, .fields = fields});
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  const double once = seconds_for(bytes);
  const double eight_times = seconds_for(8 * bytes);
  // Memory of another order of size makes it slower, too.
  EXPECT_LT(eight_times, 30 * once + 0.05) << "eight times the text: " << eight_times << " s, once: " << once << " s";
}

class LongText : public ::testing::TestWithParam<std::string> {};

TEST_P(LongText, TakesLinearTime) {
  const Tokenizer tokenizer = tokenizer_of(GetParam());
  for (const std::string_view unit : {" ", "a", "ab ", "\n", "1", "é", "中", "!", "<", "a\u0301\u0316", "\u0301"}) {
    for (const EncodingFields fields : {EncodingFields::Ids, EncodingFields::All}) {
      SCOPED_TRACE(std::string("of \"") + std::string(unit) + "\"");
      expect_linear(tokenizer, unit, 1 << 13, fields);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, LongText, ::testing::ValuesIn(fixtures_with("cases.jsonl")),
                         [](const auto& parameter) { return parameter.param; });

TEST(Text, MillionsOfBytes) {
  Tokenizer tokenizer = tokenizer_of("minilm");
  tokenizer.set_truncation({});
  tokenizer.set_padding({});
  EXPECT_TRUE(tokenizer.encode(std::string(1'000'000, ' '), {.add_special_tokens = false}).ids.empty());
  // One word beyond max_input_chars_per_word.
  EXPECT_EQ(tokenizer.encode(std::string(1'000'000, 'a')).tokens,
            (std::vector<std::string>{"[CLS]", "[UNK]", "[SEP]"}));
}

TEST(Text, SharedByThreads) {
  for (const std::string name : {"gpt2", "bloom_split", "t5_unigram", "mistral_v1_legacy", "minilm"}) {
    const Tokenizer tokenizer = tokenizer_of(name);
    const std::vector<Json> rows = testing::read_rows(tokenizer_fixtures() / name / "cases.jsonl");
    std::vector<std::string> texts;
    for (const Json& row : rows) texts.push_back(row.find("text")->string());
    std::vector<std::vector<std::uint32_t>> expected;
    for (const std::string& text : texts) expected.push_back(tokenizer.encode(text).ids);
    std::vector<int> wrong(4, 0);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < wrong.size(); ++thread) {
      threads.emplace_back([&, thread] {
        for (std::size_t i = 0; i < texts.size(); ++i) {
          const EncodingFields fields = static_cast<EncodingFields>((i + thread) % 3);
          if (tokenizer.encode(texts[i], {.fields = fields}).ids != expected[i]) ++wrong[thread];
          if (tokenizer.decode(expected[i]) != tokenizer.decode(expected[i])) ++wrong[thread];
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<int>(4, 0)) << name;
  }
}

}  // namespace
}  // namespace onnxport
