#include "onnxport/error.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/temporary_directory.h"
#include "onnxport/auto_tokenizer.h"
#include "support/paths.h"
#include "tokenizers/sentencepiece_model.h"

/// What AutoTokenizer says about directories that are wrong, and tokenizers about calls that are.
namespace onnxport {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = testing::source_directory() / "tests/auto_tokenizer/fixtures";

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class AutoTokenizerError : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }

  void copy(const std::string& fixture, const std::string& name) {
    fs::copy_file(kFixtures / fixture / name, directory_ / name, fs::copy_options::overwrite_existing);
  }

  /// The message that loading the directory fails with; fails the test if it does not or if the kind is another.
  std::string message() {
    try {
      AutoTokenizer::from_pretrained(directory_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidTokenizer) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
  }

  void expect_message(const std::vector<std::string>& parts) {
    const std::string text = message();
    for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }

  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

TEST_F(AutoTokenizerError, NoDirectory) {
  try {
    AutoTokenizer::from_pretrained(directory_ / "absent");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidCheckpoint);
    EXPECT_NE(std::string(error.what()).find("absent\" is not a directory"), std::string::npos) << error.what();
  }
}

TEST_F(AutoTokenizerError, EmptyDirectory) { expect_message({"has no tokenizer", "tokenizer.json", "config.json"}); }

TEST_F(AutoTokenizerError, FilesOfTheClassAreMissing) {
  write("tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  expect_message({"BertTokenizer", "tokenizer.json", "vocab.txt"});
  write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
  expect_message({"GPT2Tokenizer", "vocab.json", "merges.txt"});
  write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  expect_message({"tokenizer.json"});
}

TEST_F(AutoTokenizerError, UnknownClassNamesNearOnes) {
  write("tokenizer_config.json", R"({"tokenizer_class": "BretTokenizer"})");
  expect_message({"\"BretTokenizer\"", "nearest", "BertTokenizer"});
}

TEST_F(AutoTokenizerError, ClassesWithoutAFastVersion) {
  write("tokenizer_config.json", R"({"tokenizer_class": "XLMTokenizer"})");
  expect_message({"XLMTokenizer", "no fast version"});
}

TEST_F(AutoTokenizerError, MarianWantsTwoUnigramModelsAndAVocabulary) {
  write("tokenizer_config.json", R"({"tokenizer_class": "MarianTokenizer"})");
  expect_message({"vocab.json"});
  copy("marian", "vocab.json");
  expect_message({"source.spm"});
  copy("marian", "source.spm");
  expect_message({"target.spm"});
  fs::copy_file(kFixtures / "nllb/sentencepiece.bpe.model", directory_ / "target.spm");
  expect_message({"target.spm", "Unigram"});
  copy("marian", "target.spm");
  EXPECT_NO_THROW(AutoTokenizer::from_pretrained(directory_));
  write("vocab.json", R"({"</s>": 0, "<pad>": 1})");
  expect_message({"vocab.json", "<unk>"});
  write("vocab.json", R"({"<unk>": 0, "<pad>": 1})");
  expect_message({"</s>"});
  write("vocab.json", R"({"<unk>": 0, "<pad>": 1, "</s>": -2})");
  expect_message({"</s>"});
  write("vocab.json", R"({"<unk>": 0, "<pad>": 1, "</s>": 2, "a": 2})");
  expect_message({"vocab"});
  write("vocab.json", "[");
  expect_message({"vocab.json"});
  copy("marian", "vocab.json");
  write("source.spm", "no model");
  expect_message({"source.spm"});
}

TEST_F(AutoTokenizerError, EsmWantsItsWordsOnce) {
  write("tokenizer_config.json", R"({"tokenizer_class": "EsmTokenizer"})");
  expect_message({"vocab.txt"});
  write("vocab.txt", "<cls>\n<pad>\n<eos>\n<unk>\nL\nL\n");
  expect_message({"vocab.txt", "\"L\" is there twice"});
}

TEST_F(AutoTokenizerError, ClassesThatNeedASegmenter) {
  write("config.json", R"({"model_type": "roformer"})");
  expect_message({"RoFormerTokenizer", "jieba"});
}

TEST_F(AutoTokenizerError, CodeOfTheModelsOwnIsNotRun) {
  write("tokenizer_config.json",
        R"({"tokenizer_class": "MyTokenizer", "auto_map": {"AutoTokenizer": ["my_tokenizer.MyTokenizer", null]}})");
  expect_message({"MyTokenizer"});
}

TEST_F(AutoTokenizerError, WrongTypesInTheConfig) {
  copy("bert", "vocab.txt");
  const std::map<std::string, std::string> configs = {
      {R"([1])", "must be a JSON object"},
      {R"({"tokenizer_class": 3})", "tokenizer_class"},
      {R"({"tokenizer_class": "BertTokenizer", "model_max_length": "x"})", "model_max_length"},
      {R"({"tokenizer_class": "BertTokenizer", "cls_token": 5})", "cls_token"},
      {R"({"tokenizer_class": "BertTokenizer", "do_lower_case": "yes"})", "do_lower_case"},
      {R"({"tokenizer_class": "BertTokenizer", "padding_side": "top"})", "padding_side"},
      {R"({"tokenizer_class": "BertTokenizer", "chat_template": [{"name": "a"}]})", "chat_template"},
      {R"({"tokenizer_class": "BertTokenizer", "additional_special_tokens": "a"})", "additional_special_tokens"},
      {R"({"tokenizer_class": "BertTokenizer", "model_input_names": [1]})", "model_input_names"},
      {R"({"tokenizer_class": "BertTokenizer", "added_tokens_decoder": {"-1": {"content": "a"}}})", "-1"},
      {R"({"tokenizer_class": "BertTokenizer", "added_tokens_decoder": {"1": {"content": 1}}})", "content"},
      {R"({"tokenizer_class")", "tokenizer_config.json"},
  };
  for (const auto& [config, part] : configs) {
    SCOPED_TRACE(config);
    write("tokenizer_config.json", config);
    expect_message({part});
  }
}

TEST_F(AutoTokenizerError, AddedTokensFile) {
  copy("bert", "vocab.txt");
  write("tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  write("added_tokens.json", R"({"<x>": 99999999999})");
  expect_message({"added_tokens.json", "<x>"});
}

TEST_F(AutoTokenizerError, VocabTxt) {
  write("tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  write("vocab.txt", "[UNK]\n[CLS]\n\xff\n");
  expect_message({"vocab.txt:3", "UTF-8"});
}

TEST_F(AutoTokenizerError, VocabularyWithoutTheSpecialTokens) {
  write("tokenizer_config.json", R"({"tokenizer_class": "SplinterTokenizer", "unk_token": null})");
  write("vocab.txt", "a\nb\n");
  expect_message({"unk_token"});
}

TEST_F(AutoTokenizerError, VocabJsonAndMerges) {
  write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
  copy("gpt2", "merges.txt");
  write("vocab.json", "[]");
  expect_message({"vocab.json", "object"});
  write("vocab.json", R"({"a": -1})");
  expect_message({"vocab.json", "\"a\""});
  write("vocab.json", R"({"a": 0)");
  expect_message({"vocab.json"});
  copy("gpt2", "vocab.json");
  write("merges.txt", "#version: 0.2\na b c\n");
  expect_message({"merges.txt:2", "two tokens"});
  write("merges.txt", "#version: 0.2\nno such\n");
  expect_message({"no"});
}

TEST_F(AutoTokenizerError, DamagedSentencepieceModels) {
  write("tokenizer_config.json", R"({"tokenizer_class": "XLMRobertaTokenizer"})");
  const std::string model = read_file(kFixtures / "xlm_roberta" / "sentencepiece.bpe.model");
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{7}, model.size() / 2}) {
    SCOPED_TRACE(size);
    write("sentencepiece.bpe.model", model.substr(0, size));
    expect_message({"sentencepiece.bpe.model"});
  }
  write("sentencepiece.bpe.model", "not a model, but some text");
  expect_message({"sentencepiece.bpe.model"});
}

TEST_F(AutoTokenizerError, AskedForAnotherTokenizerThanTheFileHas) {
  // add_prefix_space makes transformers convert the sentencepiece model again, which is not there.
  AutoTokenizer::from_pretrained(kFixtures / "llama").save_pretrained(directory_);
  fs::remove(directory_ / "tokenizer.model");
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": false})");
  expect_message({"tokenizer.model", "add_prefix_space"});
}

// ---- sentencepiece
// ----------------------------------------------------------------------------------------------------

std::string field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + bytes;
}

std::string piece(const std::string& text, int type) {
  return field(1, field(1, text) + std::string(1, 3 << 3) + static_cast<char>(type));
}

void expect_refused(const std::string& bytes, const std::string& part) {
  try {
    tokenizers::read_sentencepiece_model(bytes, "x.model");
    ADD_FAILURE() << "nothing was thrown: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidTokenizer);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_TRUE(std::string(error.what()).starts_with("x.model: ")) << error.what();
  }
}

TEST(SentencePieceModel, Reads) {
  const auto model = tokenizers::read_sentencepiece_model(piece("<unk>", 2) + piece("a", 1), "x.model");
  ASSERT_EQ(model.pieces.size(), 2U);
  EXPECT_EQ(model.pieces[1].piece, "a");
  EXPECT_EQ(model.pieces[0].type, tokenizers::PieceType::Unknown);
}

TEST(SentencePieceModel, RefusesWhatSentencepieceWouldNotLoad) {
  const std::string unknown = piece("<unk>", 2);
  expect_refused("", "no pieces");
  expect_refused(piece("a", 1), "UNKNOWN");
  expect_refused(unknown + piece("b", 2), "UNKNOWN");
  expect_refused(unknown + piece("a", 1) + piece("a", 1), "two pieces");
  expect_refused(unknown + piece("", 1), "empty");
  expect_refused(unknown + piece("a", 9), "type");
  expect_refused(unknown + piece("\xc3", 1), "UTF-8");
  expect_refused(unknown + field(1, field(1, "a") + std::string("\x15\x00\x00\xc0\x7f", 5)), "finite");
  expect_refused(unknown + field(2, std::string("\xc0\x02\x05", 3)), "unk_id");
  expect_refused(unknown + field(2, std::string("\x18\x09", 2)), "model_type");
  expect_refused(unknown + "\x0a\x7f", "damaged");
}

// ---- Calls
// ------------------------------------------------------------------------------------------------------------

template <typename Function>
std::string argument_error(Function function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(TokenizerCall, PaddingWithoutAPaddingToken) {
  const auto tokenizer = AutoTokenizer::from_pretrained(kFixtures / "gpt2");
  const std::string message = argument_error([&] { tokenizer("a", {.padding = PaddingStrategy::Longest}); });
  EXPECT_NE(message.find("pad_token"), std::string::npos) << message;
}

TEST(TokenizerCall, TensorsNeedRowsOfOneLength) {
  const auto tokenizer = AutoTokenizer::from_pretrained(kFixtures / "bert");
  const std::vector<std::string> texts = {"a", "the quick brown fox"};
  const BatchEncoding batch = tokenizer(texts);
  EXPECT_NE(argument_error([&] { batch.tensor("input_ids"); }).find("padding"), std::string::npos);
  EXPECT_NE(argument_error([&] { batch.tensor("no_such"); }).find("attention_mask"), std::string::npos);

  const BatchEncoding padded = tokenizer(texts, {.padding = PaddingStrategy::Longest, .return_offsets_mapping = true});
  const NamedArrays arrays = padded.tensors();
  ASSERT_EQ(arrays.size(), 4U);
  const auto width = static_cast<std::int64_t>(padded.encodings()[0].size());
  EXPECT_EQ(arrays[0].first, "input_ids");
  EXPECT_EQ(arrays[0].second.data_type(), DataType::Int64);
  EXPECT_EQ(arrays[0].second.shape(), (std::vector<std::int64_t>{2, width}));
  EXPECT_EQ(arrays[3].first, "offset_mapping");
  EXPECT_EQ(arrays[3].second.shape(), (std::vector<std::int64_t>{2, width, 2}));
  for (std::size_t row = 0; row < 2; ++row) {
    for (std::size_t i = 0; i < padded.encodings()[row].size(); ++i) {
      const std::size_t at = row * static_cast<std::size_t>(width) + i;
      EXPECT_EQ(arrays[0].second.values<std::int64_t>()[at], padded.encodings()[row].ids[i]);
      EXPECT_EQ(arrays[3].second.values<std::int64_t>()[2 * at + 1], padded.encodings()[row].offsets[i].end);
    }
  }
}

TEST(TokenizerCall, EmptyBatch) {
  const auto tokenizer = AutoTokenizer::from_pretrained(kFixtures / "bert");
  const BatchEncoding batch = tokenizer(std::span<const std::string>(), {.padding = PaddingStrategy::Longest});
  EXPECT_EQ(batch.size(), 0U);
  EXPECT_EQ(batch.input_ids().shape(), (std::vector<std::int64_t>{0, 0}));
}

TEST(TokenizerCall, InfillingIsRefused) {
  const auto tokenizer = AutoTokenizer::from_pretrained(kFixtures / "code_llama");
  argument_error([&] { tokenizer("def f():", "return"); });
  argument_error([&] { tokenizer("def f(): <FILL_ME>"); });
  EXPECT_EQ(tokenizer("def f():").size(), 1U);
}

TEST(TokenizerCall, BoxesAreRefused) {
  const auto tokenizer = AutoTokenizer::from_pretrained(kFixtures / "layoutlmv3");
  argument_error([&] { tokenizer("a"); });
  EXPECT_FALSE(tokenizer.backend_tokenizer().encode("a").ids.empty());
}

TEST(PreTrainedTokenizer, CopiesAreSetApart) {
  const auto tokenizer = AutoTokenizer::from_pretrained(kFixtures / "bert");
  PreTrainedTokenizer copy = tokenizer;
  copy.set_padding_side(Direction::Left);
  copy.set_truncation_side(Direction::Left);
  copy.set_model_max_length(5);
  EXPECT_EQ(tokenizer.padding_side(), Direction::Right);
  EXPECT_EQ(tokenizer.truncation_side(), Direction::Right);
  EXPECT_EQ(tokenizer.model_max_length(), 32U);
  const auto ids = [](const PreTrainedTokenizer& one) {
    return one("the quick brown fox jumps", {.truncation = TruncationStrategy::LongestFirst}).encodings()[0].ids;
  };
  EXPECT_EQ(ids(copy).size(), 5U);
  EXPECT_GT(ids(tokenizer).size(), 5U);
  EXPECT_EQ(ids(copy)[3], ids(tokenizer)[ids(tokenizer).size() - 2]);
}

TEST(PreTrainedTokenizer, ChatTemplatesByName) {
  const fs::path directory = fs::path(::testing::TempDir()) / "onnxport_named_templates";
  fs::remove_all(directory);
  AutoTokenizer::from_pretrained(kFixtures / "gpt2").save_pretrained(directory);
  fs::create_directories(directory / "additional_chat_templates");
  std::ofstream(directory / "chat_template.jinja") << "default {{ messages[0].content }}";
  std::ofstream(directory / "additional_chat_templates/tool_use.jinja") << "tools {{ tools | length }}";
  std::ofstream(directory / "additional_chat_templates/rag.jinja") << "rag {{ documents[0].title }}";

  const auto tokenizer = AutoTokenizer::from_pretrained(directory);
  const std::vector<ChatMessage> messages = {{"user", "hi"}};
  EXPECT_EQ(tokenizer.apply_chat_template(messages), "default hi");
  const Json tools = Json::Array{Json(Json::Object{{"name", "f"}})};
  EXPECT_EQ(tokenizer.apply_chat_template(messages, {.tools = tools}), "tools 1");
  const Json documents = Json::Array{Json(Json::Object{{"title", "T"}, {"text", "x"}})};
  EXPECT_EQ(tokenizer.apply_chat_template(messages, {.documents = documents, .chat_template = "rag"}), "rag T");
  EXPECT_EQ(tokenizer.apply_chat_template(messages,
                                          {.chat_template = "own {{ x }}", .variables = Json(Json::Object{{"x", 3}})}),
            "own 3");

  const fs::path saved = fs::path(::testing::TempDir()) / "onnxport_named_templates_saved";
  fs::remove_all(saved);
  tokenizer.save_pretrained(saved);
  EXPECT_EQ(read_file(saved / "additional_chat_templates/rag.jinja"), "rag {{ documents[0].title }}");
  fs::remove(directory / "chat_template.jinja");
  const std::string message =
      argument_error([&] { AutoTokenizer::from_pretrained(directory).apply_chat_template(messages); });
  EXPECT_NE(message.find("rag, tool_use"), std::string::npos) << message;
  fs::remove_all(directory);
  fs::remove_all(saved);
}

}  // namespace
}  // namespace onnxport
