#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "onnxport/error.h"
#include "support/paths.h"
#include "tokenizers/model.h"
#include "tokenizers/models/utf8.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

struct Row {
  std::size_t line;
  Json json;
};

std::vector<Row> rows() {
  std::ifstream file(testing::source_directory() / "tests/tokenizer_models/fixtures/models.jsonl");
  std::vector<Row> result;
  for (std::string line; std::getline(file, line);) {
    result.push_back({result.size() + 1, parse_json(line, "models.jsonl:" + std::to_string(result.size() + 1))});
  }
  return result;
}

void PrintTo(const Row& row, std::ostream* out) {
  *out << "line " << row.line << ", " << row.json.find("model")->find("type")->string();
}

/// Bytes as the code points that they touch.
std::pair<std::int64_t, std::int64_t> code_points(const Token& token, std::string_view piece) {
  const auto starts_before = [&](std::size_t end) {
    return static_cast<std::int64_t>(count_characters(piece.substr(0, end)));
  };
  const std::int64_t begin = token.begin < piece.size() && is_utf8_continuation(piece[token.begin])
                                 ? starts_before(token.begin) - 1
                                 : starts_before(token.begin);
  return {begin, starts_before(token.end)};
}

class ModelTest : public ::testing::TestWithParam<Row> {};

TEST_P(ModelTest, GivesTheTokensOfTheRealLibrary) {
  const auto model = make_model(*GetParam().json.find("model"), "tokenizer.json");
  for (const Json& item : GetParam().json.find("cases")->array()) {
    const Json::Array& values = item.array();
    const std::string& piece = values[0].string();
    std::vector<Token> tokens;
    if (values[1].is_null()) {
      EXPECT_THROW(model->tokenize(piece, tokens), Error) << piece;
      continue;
    }
    model->tokenize(piece, tokens);
    Json::Array ids;
    Json::Array texts;
    Json::Array offsets;
    for (const Token& token : tokens) {
      ids.push_back(std::int64_t{token.id});
      texts.push_back(model->token_text(token, piece));
      const auto [begin, end] = code_points(token, piece);
      offsets.push_back(Json::Array{begin, end});
    }
    EXPECT_EQ(dump_json(ids), dump_json(values[1])) << piece;
    EXPECT_EQ(dump_json(texts), dump_json(values[2])) << piece;
    if (!values[3].is_null()) {
      EXPECT_EQ(dump_json(offsets), dump_json(values[3])) << piece;
    }
  }
}

TEST_P(ModelTest, IsWrittenAsItWasRead) {
  const Json& json = *GetParam().json.find("model");
  const Json written = make_model(json, "tokenizer.json")->to_json();
  EXPECT_EQ(dump_json(make_model(written, "tokenizer.json")->to_json()), dump_json(written));
  // Merges may have been read from strings.
  for (const auto& [name, value] : json.object()) {
    if (name == "merges" && !value.array().empty() && value.array()[0].is_string()) continue;
    ASSERT_NE(written.find(name), nullptr) << name;
    EXPECT_EQ(dump_json(*written.find(name)), dump_json(value)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ModelTest, ::testing::ValuesIn(rows()));

// ---- Files that are wrong -------------------------------------------------------------------------------------------

struct WrongModel {
  std::string json;
  std::string message;
};

void PrintTo(const WrongModel& model, std::ostream* out) { *out << model.message; }

class WrongModelTest : public ::testing::TestWithParam<WrongModel> {};

TEST_P(WrongModelTest, IsRefusedWithTheEntryNamed) {
  try {
    make_model(parse_json(GetParam().json, "file"), "dir/tokenizer.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidTokenizer);
    const std::string message = error.what();
    EXPECT_TRUE(message.starts_with("dir/tokenizer.json: model")) << message;
    EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
    return;
  }
  ADD_FAILURE() << "accepted: " << GetParam().json;
}

std::string bpe(const std::string& vocab, const std::string& merges, const std::string& more = "") {
  return R"({"type": "BPE", )" + more + R"("vocab": )" + vocab + R"(, "merges": )" + merges + "}";
}

std::string unigram(const std::string& vocab, const std::string& more = "") {
  return R"({"type": "Unigram", )" + more + R"("vocab": )" + vocab + "}";
}

std::string word_piece(const std::string& longest, const std::string& prefix = R"("##")") {
  return R"({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": )" + prefix +
         R"(, "max_input_chars_per_word": )" + longest + R"(, "vocab": {"[UNK]": 0}})";
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongModelTest,
    ::testing::Values(
        WrongModel{"[]", "expected an object"}, WrongModel{R"({"type": 1})", "model.type: expected a string"},
        WrongModel{R"({"type": "Bpe"})", R"(model.type: "Bpe" is no model)"},
        WrongModel{R"({"vocab": {"a": 0}})", "model.type: missing"},
        WrongModel{R"({"type": "BPE", "merges": []})", "model.vocab: missing"},
        WrongModel{R"({"type": "BPE", "vocab": {}})", "model.merges: missing"},
        WrongModel{bpe("[]", "[]"), "model.vocab: expected an object"},
        WrongModel{bpe(R"({"a": -1})", "[]"), R"(the id of "a" is -1)"},
        WrongModel{bpe(R"({"a": 1.5})", "[]"), R"(the id of "a" is 1.5)"},
        WrongModel{bpe(R"({"a": "1"})", "[]"), R"(the id of "a" is "1")"},
        WrongModel{bpe(R"({"a": 4294967296})", "[]"), R"(the id of "a" is 4294967296, the largest possible)"},
        WrongModel{bpe(R"({"a": 16777216})", "[]"), R"(the id of "a" is 16777216, the largest possible)"},
        WrongModel{bpe(R"({"a": 3, "b": 3})", "[]"), R"(the id 3 belongs to both "a" and "b")"},
        WrongModel{bpe(R"({"a": 0})", "{}"), "model.merges: expected an array"},
        WrongModel{bpe(R"({"a": 0, "ab": 1})", R"(["a b"])"), R"(model.merges[0]: the token "b" is not)"},
        WrongModel{bpe(R"({"a": 0, "b": 1})", R"([["a", "b"]])"), R"(model.merges[0]: the token "ab" is not)"},
        WrongModel{bpe(R"({"a": 0, "aa": 1})", R"([["a", "a"], ["a"]])"), "model.merges[1]: expected two tokens"},
        WrongModel{bpe(R"({"a": 0, "aa": 1})", R"(["a a", "a  a"])"), "model.merges[1]: expected two tokens"},
        WrongModel{bpe(R"({"a": 0, "aa": 1})", R"(["a a", ["a", "a"]])"), "model.merges[1]: strings and pairs"},
        WrongModel{bpe(R"({"a": 0, "aa": 1})", R"([7])"), "model.merges[0]: expected two tokens"},
        WrongModel{bpe(R"({"a": 0})", R"([["a", "a"]])", R"("continuing_subword_prefix": "##", )"),
                   R"("a" is shorter than continuing_subword_prefix)"},
        WrongModel{bpe("{}", "[]", R"("dropout": 0.1, )"), "model.dropout: 0.1"},
        WrongModel{bpe("{}", "[]", R"("dropout": "0", )"), R"(model.dropout: "0")"},
        WrongModel{bpe("{}", "[]", R"("unk_token": 0, )"), "model.unk_token: expected a string or null"},
        WrongModel{bpe("{}", "[]", R"("fuse_unk": 0, )"), "model.fuse_unk: expected true or false"},
        WrongModel{word_piece("-1"), "model.max_input_chars_per_word: expected a number"},
        WrongModel{word_piece("\"1\""), "model.max_input_chars_per_word: expected a number"},
        WrongModel{word_piece("1", "null"), "model.continuing_subword_prefix: expected a string"},
        WrongModel{R"({"type": "WordLevel", "vocab": {}})", "model.unk_token: missing"},
        WrongModel{unigram("{}"), "model.vocab: expected an array"},
        WrongModel{unigram(R"([["a", 0], ["b"]])"), "model.vocab[1]: expected a piece and its score"},
        WrongModel{unigram(R"([["a", "0"]])"), "model.vocab[0]: expected a piece and its score"},
        WrongModel{unigram(R"([["a", NaN]])"), "model.vocab[0]: expected a piece and its score"},
        WrongModel{unigram(R"([["a", 0]])", R"("unk_id": 1, )"), "model.unk_id: 1 is beyond the vocabulary of 1"},
        WrongModel{unigram("[]", R"("unk_id": 0, )"), "model.unk_id: 0 is beyond the vocabulary of 0"},
        WrongModel{unigram(R"([["a", 0]])", R"("unk_id": -1, )"), "model.unk_id: expected a number"}));

TEST(ModelTypeTest, IsGuessedInOldFiles) {
  const auto type_of = [](std::string_view json) {
    return make_model(parse_json(json, "file"), "file")->to_json().find("type")->string();
  };
  EXPECT_EQ(type_of(R"({"vocab": {"a": 0}, "merges": []})"), "BPE");
  EXPECT_EQ(type_of(R"({"vocab": {"a": 0}, "unk_token": "a"})"), "WordLevel");
  EXPECT_EQ(type_of(R"({"vocab": {"a": 0}, "unk_token": "a", "continuing_subword_prefix": "##",
                        "max_input_chars_per_word": 100})"),
            "WordPiece");
  EXPECT_EQ(type_of(R"({"vocab": [["a", 0]]})"), "Unigram");
}

TEST(ModelTest, MissingUnknownTokenIsNamedWhenItIsNeeded) {
  const auto expect_error = [](std::string_view json, std::string_view part) {
    const auto model = make_model(parse_json(json, "file"), "file");
    std::vector<Token> tokens;
    model->tokenize("a", tokens);
    EXPECT_EQ(tokens.size(), 1U);
    try {
      model->tokenize("ax", tokens);
      ADD_FAILURE() << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidTokenizer);
      EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
    }
  };
  expect_error(R"({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"})", R"(unk_token, "?")");
  expect_error(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "?"})", R"(unk_token, "?")");
  expect_error(R"({"type": "Unigram", "vocab": [["a", 0]]})", "no unk_id");
  expect_error(R"({"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "?", "continuing_subword_prefix": "##",
                   "max_input_chars_per_word": 100})",
               R"(unk_token, "?")");
}

// ---- Long words -----------------------------------------------------------------------------------------------------

TEST(ModelTest, AMegabyteOfOneLetterIsNoProblem) {
  // Powers of two merge: as many rounds of merging as a word can need.
  std::string vocab = R"({"a": 0)";
  std::string merges;
  for (int i = 0; i < 16; ++i) {
    vocab += ", \"" + std::string(std::size_t{2} << i, 'a') + "\": " + std::to_string(i + 1);
    const std::string half(std::size_t{1} << i, 'a');
    merges += (i == 0 ? "" : ", ") + std::string("[\"") + half + "\", \"" + half + "\"]";
  }
  const auto model = make_model(parse_json(bpe(vocab + "}", "[" + merges + "]"), "file"), "file");
  std::vector<Token> tokens;
  model->tokenize(std::string(std::size_t{1} << 20, 'a'), tokens);
  EXPECT_EQ(tokens.size(), 16U);
  EXPECT_EQ(tokens.back(), (Token{16, 15U << 16, 1U << 20}));
}

TEST(ModelTest, AMegabyteOfUnknownPiecesIsOneToken) {
  const auto model =
      make_model(parse_json(R"({"type": "Unigram", "unk_id": 0, "vocab": [["?", 0], ["aaaa", -1]]})", "file"), "file");
  std::vector<Token> tokens;
  model->tokenize(std::string(1U << 20, 'x'), tokens);
  EXPECT_EQ(tokens, (std::vector<Token>{{0, 0, 1U << 20}}));
}

}  // namespace
}  // namespace onnxport::tokenizers
