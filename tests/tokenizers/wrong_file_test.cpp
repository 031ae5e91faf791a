#include <chrono>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "onnxport/error.h"
#include "onnxport/json.h"
#include "onnxport/tokenizer.h"

/// Tokenizer files that are wrong, by accident or on purpose: one clear error each, soon.
namespace onnxport {
namespace {

/// A small tokenizer of words.
Json word_tokenizer() {
  return parse_json(R"({
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "b": 2}, "unk_token": "[UNK]"}
  })",
                    "test");
}

Json with(std::string_view member, std::string_view value) {
  Json file = word_tokenizer();
  file.set(member, parse_json(value, "test"));
  return file;
}

/// The error that reading this text gives, "" if there is none.
std::string error_of(const std::string& text) {
  try {
    Tokenizer::from_json(text, "file.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidTokenizer) << error.what();
    return error.what();
  }
  return "";
}

void expect_error(const Json& file, const std::string& message) { EXPECT_EQ(error_of(dump_json(file)), message); }

double seconds_of(const std::function<void()>& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST(WrongFile, Missing) {
  try {
    Tokenizer::from_file("/nonexistent/tokenizer.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidTokenizer);
    EXPECT_NE(std::string(error.what()).find("/nonexistent/tokenizer.json"), std::string::npos);
  }
}

TEST(WrongFile, Truncated) {
  const std::string text = dump_json(word_tokenizer(), 2);
  ASSERT_EQ(error_of(text), "");
  for (std::size_t size = 0; size + 1 < text.size(); ++size) {
    const std::string error = error_of(text.substr(0, size));
    EXPECT_TRUE(error.starts_with("file.json:")) << size << ": " << error;
  }
  EXPECT_EQ(error_of("{\"version\": \"1.0\",\n  \"model\""), "file.json:2:10: invalid JSON: the text ends too early");
  EXPECT_EQ(error_of(""), "file.json:1:1: invalid JSON: the text ends too early");
}

TEST(WrongFile, NoJson) {
  EXPECT_EQ(error_of("[1, 2]"), "file.json: expected an object, as in a tokenizer.json");
  EXPECT_EQ(error_of("{} {}"), "file.json:1:4: invalid JSON: text behind the end of the value");
  EXPECT_EQ(error_of("{\"a\": nul}"), "file.json:1:7: invalid JSON: unknown value");
  EXPECT_EQ(error_of("{\"a\": 01}"), "file.json:1:8: invalid JSON: a number that begins with 0");
  EXPECT_EQ(error_of("{\"a\": 1e999}"), "file.json:1:12: invalid JSON: the number is too large");
  EXPECT_EQ(error_of("{\"a\": 1, \"a\": 2}"), "file.json:1:13: invalid JSON: a second member \"a\"");
  EXPECT_EQ(error_of("{\"a\": \"\\ud800\"}"), "file.json:1:14: invalid JSON: half of a surrogate pair");
  EXPECT_EQ(error_of("{\"a\": \"\\x\"}"), "file.json:1:10: invalid JSON: an unknown escape in a string");
  EXPECT_EQ(error_of("{\"a\": \"\xff\"}"), "file.json:1:8: invalid JSON: no UTF-8");
  EXPECT_EQ(error_of("{\"a\": \"\n\"}"), "file.json:1:8: invalid JSON: a control character in a string");
  EXPECT_EQ(error_of("{\"a\": 99999999999999999999}"),
            "file.json:1:27: invalid JSON: the integer does not fit into 64 bits");
}

TEST(WrongFile, DeeplyNested) {
  EXPECT_EQ(error_of(std::string(1'000'000, '[')), "file.json:1:129: invalid JSON: nested deeper than 128 levels");
  std::string steps;
  for (int i = 0; i < 200; ++i) steps += R"({"type":"Sequence","normalizers":[)";
  EXPECT_NE(error_of("{\"normalizer\":" + steps).find("nested deeper than 128 levels"), std::string::npos);
}

TEST(WrongFile, Version) {
  expect_error(with("version", "\"2.0\""), "file.json: version: unknown version \"2.0\", expected 1.0");
  expect_error(with("version", "1"), "file.json: version: expected a string, found a number");
}

TEST(WrongFile, NoModel) {
  Json file = word_tokenizer();
  file.erase("model");
  expect_error(file, "file.json: the member \"model\" is missing");
  EXPECT_EQ(error_of("{}"), "file.json: the member \"model\" is missing");
  expect_error(with("model", "null"), "file.json: model: expected an object");
}

TEST(WrongFile, UnknownComponents) {
  EXPECT_NE(error_of(dump_json(with("normalizer", R"({"type": "Magic"})")))
                .find("file.json: normalizer.type: unknown normalizer \"Magic\"; known ones: BertNormalizer"),
            std::string::npos);
  EXPECT_NE(error_of(dump_json(with("pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [{"type": "X"}]})")))
                .find("file.json: pre_tokenizer.pretokenizers[0].type: unknown pre-tokenizer \"X\""),
            std::string::npos);
  EXPECT_NE(error_of(dump_json(with("post_processor", R"({"type": "X"})"))).find("unknown post-processor"),
            std::string::npos);
  EXPECT_NE(error_of(dump_json(with("decoder", R"({"type": "X"})"))).find("unknown decoder"), std::string::npos);
  EXPECT_NE(error_of(dump_json(with("model", R"({"type": "X", "vocab": {}})"))).find("file.json: model"),
            std::string::npos);
}

TEST(WrongFile, WrongFields) {
  expect_error(with("normalizer", R"({"type": "Strip", "strip_left": 1, "strip_right": true})"),
               "file.json: normalizer.strip_left: expected true or false, found a number");
  expect_error(with("normalizer", R"({"type": "Strip", "strip_left": true})"),
               "file.json: normalizer: the member \"strip_right\" is missing");
  expect_error(
      with("normalizer", R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})"),
      "file.json: normalizer.pattern.Regex: invalid regular expression: end pattern with unmatched parenthesis");
  expect_error(with("pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})"),
               "file.json: pre_tokenizer.replacement: expected a string of one character, found \"ab\"");
  expect_error(with("pre_tokenizer", R"({"type": "FixedLength", "length": 0})"),
               "file.json: pre_tokenizer.length: must not be 0");
  expect_error(with("pre_tokenizer", R"({"type": "Punctuation", "behavior": "Vanish"})"),
               "file.json: pre_tokenizer.behavior: unknown value \"Vanish\"; known ones: Removed, Isolated, "
               "MergedWithPrevious, MergedWithNext, Contiguous");
  expect_error(with("normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "AAAA"})"),
               "file.json: normalizer.precompiled_charsmap: invalid precompiled_charsmap: it has 3 bytes");
  expect_error(
      with("normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "////fwAA"})"),
      "file.json: normalizer.precompiled_charsmap: invalid precompiled_charsmap: a table of 2147483647 bytes in 6");
  expect_error(with("normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "????"})"),
               "file.json: normalizer.precompiled_charsmap: invalid base64: character \"?\"");
  expect_error(with("truncation", R"({"max_length": -1, "strategy": "LongestFirst", "stride": 0})"),
               "file.json: truncation.max_length: the integer -1 is negative");
  expect_error(
      with("padding", R"({"strategy": {"Fixed": 1000000000000}, "direction": "Right", "pad_to_multiple_of": null,
                                   "pad_id": 0, "pad_type_id": 0, "pad_token": ""})"),
      "file.json: padding.strategy.Fixed: more than 16777216 tokens");
  expect_error(with("post_processor",
                    R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}],
                                          "pair": [], "special_tokens": {}})"),
               "file.json: post_processor.single[0].SpecialToken.id: the token \"[X]\" is not among special_tokens");
  expect_error(
      with("post_processor", R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}],
                                          "pair": [], "special_tokens": {}})"),
      "file.json: post_processor.single[0].Sequence.id: a template for one text has no sequence B");
}

TEST(WrongFile, AddedTokens) {
  expect_error(with("added_tokens", R"([{"id": 4294967296, "content": "x", "single_word": false, "lstrip": false,
                                         "rstrip": false, "normalized": false, "special": false}])"),
               "file.json: added_tokens[0].id: the integer 4294967296 is outside 0 to 4294967295");
  expect_error(with("added_tokens", R"([{"id": 1, "content": "x"}])"),
               "file.json: added_tokens[0]: the member \"single_word\" is missing");
  const std::string token(5000, 'x');
  EXPECT_NE(error_of(dump_json(with("added_tokens", R"([{"id": 9, "content": ")" + token +
                                                        R"(", "single_word": false, "lstrip": false, "rstrip": false,
                                                            "normalized": false, "special": false}])")))
                .find("is longer than 2048 bytes"),
            std::string::npos);
}

TEST(WrongFile, Models) {
  const auto model_error = [](const std::string& model) { return error_of(dump_json(with("model", model))); };
  for (const char* model : {
           R"({"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"})",
           R"({"type": "WordLevel", "vocab": {"a": 4294967295}, "unk_token": "a"})",
           R"({"type": "WordLevel", "vocab": {"a": 1.5}, "unk_token": "a"})",
           R"({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]})",
           R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a x"]})",
           R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]})",
           R"({"type": "BPE", "vocab": {"a": 0}, "merges": 3})",
           R"({"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.5})",
           R"({"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 5})",
           R"({"type": "Unigram", "vocab": [["a"]], "unk_id": 0})",
           R"({"type": "WordPiece", "vocab": [], "unk_token": "x"})",
       }) {
    EXPECT_TRUE(model_error(model).starts_with("file.json: model")) << model << "\n" << model_error(model);
  }
}

TEST(WrongFile, ExplodingExpressionEndsSoon) {
  const std::string file =
      dump_json(with("pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "(a+)+$|(a|a)*b|(.*)*x"},
                                          "behavior": "Isolated", "invert": false})"));
  const Tokenizer tokenizer = Tokenizer::from_json(file);
  const double seconds = seconds_of([&] {
    try {
      tokenizer.encode(std::string(5000, 'a') + "c");
      FAIL() << "expected an error";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("takes too long"), std::string::npos) << error.what();
    }
  });
  EXPECT_LT(seconds, 60);
}

TEST(WrongFile, NormalizersThatGrowWithoutEnd) {
  std::string steps;
  for (int i = 0; i < 80; ++i) {
    steps += std::string(i > 0 ? "," : "") + R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  }
  const Tokenizer tokenizer =
      Tokenizer::from_json(dump_json(with("normalizer", R"({"type": "Sequence", "normalizers": [)" + steps + "]}")));
  EXPECT_THROW(tokenizer.encode("a"), Error);
  const Tokenizer decoder =
      Tokenizer::from_json(dump_json(with("decoder", R"({"type": "Sequence", "decoders": [)" + steps + "]}")));
  const std::vector<std::uint32_t> ids{1};
  EXPECT_THROW(decoder.decode(ids), Error);
}

TEST(WrongFile, ManyMatchesOfNothing) {
  const Tokenizer tokenizer =
      Tokenizer::from_json(dump_json(with("pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": ""},
                                          "behavior": "Isolated", "invert": false})")));
  EXPECT_EQ(tokenizer.encode("aéb").size(), 3U);
}

}  // namespace
}  // namespace onnxport
