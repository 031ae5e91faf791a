// onnxport tokenize, on the tokenizers of tests/tokenizers/fixtures, whose cases the real library made.
#include <sstream>

#include "cli_test.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInputMembers[] = {"text", "pair", "add_special_tokens", "truncation", "padding"};

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) rows.push_back(parse_json(line, "line", LargeIntegers::AsDouble));
  return rows;
}

class CliTokenize : public CliTest {
 protected:
  static fs::path fixture(std::string_view name) { return source_directory() / "tests/tokenizers/fixtures" / name; }

  /// `onnxport tokenize ARGUMENTS` with this on standard input.
  ProcessResult tokenize(std::vector<std::string> arguments, std::string_view input = "") const {
    arguments.insert(arguments.begin(), "tokenize");
    write_file(path("input"), input);
    return run(arguments, {.input_file = path("input")});
  }

  /// A directory with minilm's tokenizer and a chat template.
  std::string chat_directory() const {
    fs::create_directory(path("chat"));
    fs::copy_file(fixture("minilm") / "tokenizer.json", path("chat") / "tokenizer.json");
    write_file(path("chat/tokenizer_config.json"), R"({"tokenizer_class": "BertTokenizer"})");
    write_file(path("chat/chat_template.jinja"),
               "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
               "{% if tools %}{{ tools|tojson }}{% endif %}{{ mood }}{% if add_generation_prompt %}<ai>{% endif %}");
    return path("chat").string();
  }
};

/// The members that the expected row has; of overflowing windows, those of each.
void expect_members(const Json& expected, const Json& actual) {
  for (const auto& [name, value] : expected.object()) {
    if (name == "overflowing") {
      const Json::Array& windows = at(actual, "overflowing").array();
      ASSERT_LE(value.array().size(), windows.size());
      for (std::size_t i = 0; i < value.array().size(); ++i) expect_members(value.array()[i], windows[i]);
    } else if (name == "error") {
      EXPECT_TRUE(at(actual, "error").is_string());
    } else {
      EXPECT_EQ(dump_json(at(actual, name)), dump_json(value)) << name;
    }
  }
}

TEST_F(CliTokenize, ObjectsAsTheRealLibraryGivesThem) {
  for (const char* name : {"minilm", "gpt2", "t5_unigram"}) {
    SCOPED_TRACE(name);
    const std::vector<Json> cases = json_lines(read_file(fixture(name) / "cases.jsonl"));
    ASSERT_FALSE(cases.empty());
    std::string input;
    for (const Json& row : cases) {
      Json object;
      for (const char* member : kInputMembers) object.set(member, at(row, member));
      object.set("mine", 1);
      input += dump_json(object) + "\n";
    }
    const ProcessResult result = tokenize({fixture(name).string(), "--jsonl"}, input);
    ASSERT_TRUE(succeeded(result));
    const std::vector<Json> rows = json_lines(result.output);
    ASSERT_EQ(rows.size(), cases.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      SCOPED_TRACE(dump_json(at(cases[i], "text")));
      expect_members(cases[i], rows[i]);
      EXPECT_EQ(at(rows[i], "mine").integer(), 1) << "what else an object holds is kept";
    }
  }
}

TEST_F(CliTokenize, AbsentMembersMeanWhatTheFileStores) {
  const std::string model = fixture("minilm").string();
  const auto size = [&](std::string_view line) {
    const std::vector<Json> rows = json_lines(tokenize({model, "--jsonl"}, line).output);
    EXPECT_EQ(rows.size(), 1U);
    return rows.empty() ? 0 : at(rows.front(), "ids").array().size();
  };
  EXPECT_EQ(size(R"({"text": "hello"})"), 128U) << "its file pads";
  EXPECT_EQ(size(R"({"text": "hello", "padding": null})"), 3U);
  EXPECT_EQ(size(R"({"text": "hello", "padding": null, "add_special_tokens": false})"), 1U);
  EXPECT_EQ(size(R"({"text": "hello", "padding": {"strategy": {"Fixed": 7}}})"), 7U);
}

TEST_F(CliTokenize, OrderIsKeptOverManyBlocks) {
  std::string input;
  for (int i = 0; i < 5000; ++i) {
    const std::string number = std::to_string(i);
    input += "{\"text\": \"" + number + " x" + std::string(i % 50, 'y') + "\", \"padding\": null, \"row\": " + number +
             "}\n";
  }
  const ProcessResult result = tokenize({fixture("minilm").string(), "--jsonl"}, input);
  ASSERT_TRUE(succeeded(result));
  const std::vector<Json> rows = json_lines(result.output);
  ASSERT_EQ(rows.size(), 5000U);
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(at(rows[static_cast<std::size_t>(i)], "row").integer(), i);
}

TEST_F(CliTokenize, MemoryDoesNotGrowWithTheStream) {
  const auto peak = [&](int lines) {
    std::string input;
    for (int i = 0; i < lines; ++i) input += "{\"text\": \"" + std::string(500, 'a') + " b c d\", \"padding\": null}\n";
    write_file(path("input"), input);
    const ProcessResult result = run({"tokenize", fixture("minilm").string(), "--jsonl"},
                                     {.input_file = path("input"), .output_file = "/dev/null"});
    EXPECT_TRUE(succeeded(result));
    return result.peak_memory_bytes;
  };
  EXPECT_LT(peak(40000), peak(8000) + (16U << 20));
}

TEST_F(CliTokenize, TextsForAReader) {
  const ProcessResult result = tokenize({fixture("minilm").string(), "Héllo  world", "again"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_EQ(result.output,
            "Héllo  world\n"
            "  token    id  offsets  word  text\n"
            "  [CLS]   101\n"
            "  hello  7592  0..5     0     \"Héllo\"\n"
            "  world  2088  7..12    1     \"world\"\n"
            "  [SEP]   102\n"
            "\n"
            "again\n"
            "  token    id  offsets  word  text\n"
            "  [CLS]   101\n"
            "  again  2153  0..5     0     \"again\"\n"
            "  [SEP]   102\n");
  const ProcessResult lines = tokenize({fixture("minilm").string()}, "Héllo  world\nagain\n");
  EXPECT_EQ(lines.output, result.output);
}

TEST_F(CliTokenize, PairsAndSpecialTokens) {
  const ProcessResult pair = tokenize({fixture("minilm").string(), "--pair", "you", "hello"});
  ASSERT_TRUE(succeeded(pair));
  EXPECT_TRUE(contains(pair.output, "  you    2017  0..3     0     \"you\"")) << pair.output;
  const ProcessResult plain = tokenize({fixture("minilm").string(), "--no-special-tokens", "hello"});
  EXPECT_FALSE(contains(plain.output, "[CLS]")) << plain.output;
}

TEST_F(CliTokenize, ColoursOnATerminalOnly) {
  const ProcessResult result = run({"tokenize", fixture("minilm").string(), "hello"}, {.terminal_columns = 80});
  EXPECT_TRUE(contains(result.output, "\x1b[30;43mhello\x1b[0m")) << result.output;
  const ProcessResult plain = run({"tokenize", fixture("minilm").string(), "hello"},
                                  {.environment = {{"NO_COLOR", "1"}}, .terminal_columns = 80});
  EXPECT_FALSE(contains(plain.output, "\x1b[")) << plain.output;
}

TEST_F(CliTokenize, TokensDoNotDrawOnTheTerminal) {
  const ProcessResult result = tokenize({fixture("gpt2").string(), "a\x1b[31mb"});
  ASSERT_TRUE(succeeded(result));
  EXPECT_FALSE(contains(result.output, "\x1b")) << result.output;
}

TEST_F(CliTokenize, Decodes) {
  const std::string model = fixture("minilm").string();
  EXPECT_EQ(tokenize({model, "--decode", "101", "7592", "2088", "102"}).output, "[CLS] hello world [SEP]\n");
  EXPECT_EQ(tokenize({model, "--decode", "--no-special-tokens", "101,7592,102"}).output, "hello\n");
  EXPECT_EQ(tokenize({model, "--decode"}, "[7592]\n2088\n").output, "hello\nworld\n");
  const std::vector<Json> cases = json_lines(read_file(fixture("minilm") / "decode.jsonl"));
  std::string input;
  for (const Json& row : cases) input += dump_json(Json::Object{{"ids", at(row, "ids")}}) + "\n";
  const ProcessResult result = tokenize({model, "--decode", "--jsonl"}, input);
  ASSERT_TRUE(succeeded(result));
  const std::vector<Json> rows = json_lines(result.output);
  ASSERT_EQ(rows.size(), cases.size());
  for (std::size_t i = 0; i < rows.size(); ++i) expect_members(cases[i], rows[i]);
}

TEST_F(CliTokenize, ChatsToPrompts) {
  const std::string model = chat_directory();
  const std::string messages = R"([{"role": "user", "content": "Hi"}])";
  EXPECT_EQ(tokenize({model, "--chat"}, messages).output, "<user>Hi\n");
  EXPECT_EQ(tokenize({model, "--chat", "--add-generation-prompt"}, messages).output, "<user>Hi\n<ai>");
  const std::string chat =
      R"({"messages": )" + messages + R"(, "tools": [{"name": "f"}], "mood": "!", "add_generation_prompt": true})";
  EXPECT_EQ(tokenize({model, "--chat"}, chat).output, "<user>Hi\n[{\"name\": \"f\"}]!<ai>");
  EXPECT_EQ(tokenize({model, "--chat", "--jsonl"}, messages + "\n\n" + chat + "\n").output,
            "{\"prompt\": \"<user>Hi\\n\"}\n{\"prompt\": \"<user>Hi\\n[{\\\"name\\\": \\\"f\\\"}]!<ai>\"}\n");
  EXPECT_TRUE(failed(tokenize({model, "--chat"}, "{}"), 1, {"\"messages\""}));
  EXPECT_TRUE(failed(tokenize({model, "--chat"}, "[1"), 1, {"chat:1:", "invalid JSON"}));
}

TEST_F(CliTokenize, WrongLinesAreNamed) {
  const std::string model = fixture("minilm").string();
  const ProcessResult result = tokenize({model, "--jsonl"}, "{\"text\": \"a\"}\n\n{\"text\": \"b\"");
  EXPECT_TRUE(failed(result, 1, {"line 3 of standard input", "invalid JSON"}));
  EXPECT_EQ(json_lines(result.output).size(), 1U) << "the lines before it are printed";
  for (const auto& [line, message] :
       {std::pair{"[1]", "must be a JSON object"}, std::pair{"{}", "\"text\" must be a string"},
        std::pair{R"({"text": null})", "\"text\" must be a string"},
        std::pair{R"({"text": "a", "pair": 1})", "\"pair\" must be a string"},
        std::pair{R"({"text": "a", "add_special_tokens": 1})", "true or false"},
        std::pair{R"({"text": "a", "truncation": 5})", "\"truncation\" must be an object"},
        std::pair{R"({"text": "a", "truncation": {"length": 5}})", "no member \"length\""},
        std::pair{R"({"text": "a", "truncation": {"strategy": "x"}})", "LongestFirst"},
        std::pair{R"({"text": "a", "truncation": {"max_length": -1}})", "0 or more"},
        std::pair{R"({"text": "a", "padding": {"strategy": "x"}})", "BatchLongest"},
        std::pair{R"({"text": "a", "padding": {"pad_id": 5000000000}})", "32 bits"}})
    EXPECT_TRUE(
        failed(tokenize({model, "--jsonl"}, std::string(line) + "\n"), 1, {"line 1 of standard input", message}));
  EXPECT_TRUE(failed(tokenize({model, "--decode", "--jsonl"}, "{\"ids\": 5}\n"), 1, {"line 1", "\"ids\""}));
  EXPECT_TRUE(failed(tokenize({model, "--decode"}, "1\nx\n"), 1, {"line 2", "\"x\" is not the id"}));
  EXPECT_TRUE(failed(tokenize({model, "--decode", "99999999999"}), 1, {"99999999999"}));
}

TEST_F(CliTokenize, WhatCannotBeTruncatedSaysSo) {
  const ProcessResult result = tokenize({fixture("minilm").string(), "--jsonl"},
                                        "{\"text\": \"a b c d\", \"truncation\": {\"max_length\": 3, \"strategy\": "
                                        "\"OnlySecond\"}}\n{\"text\": \"a\"}\n");
  ASSERT_TRUE(succeeded(result));
  const std::vector<Json> rows = json_lines(result.output);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_TRUE(at(rows[0], "error").is_string());
  EXPECT_EQ(rows[0].find("ids"), nullptr);
  EXPECT_EQ(rows[1].find("error"), nullptr);
}

TEST_F(CliTokenize, WrongUse) {
  const std::string model = fixture("minilm").string();
  EXPECT_EQ(tokenize({}).exit_status, 2);
  EXPECT_EQ(tokenize({model, "--jsonl", "x"}).exit_status, 2);
  EXPECT_EQ(tokenize({model, "--chat", "--decode"}).exit_status, 2);
  EXPECT_EQ(tokenize({model, "--file", "f", "x"}).exit_status, 2);
  EXPECT_EQ(tokenize({model, "--decode", "--pair", "x", "1"}).exit_status, 2);
  EXPECT_TRUE(failed(tokenize({"nowhere", "x"}), 1, {"nowhere"}));
  EXPECT_TRUE(failed(tokenize({model, "--file", "nofile"}), 1, {"nofile"}));
  fs::create_directory(path("empty"));
  EXPECT_TRUE(failed(tokenize({"empty", "x"}), 1, {"empty"}));
}

TEST_F(CliTokenize, FullDisk) {
  write_file(path("input"), "{\"text\": \"a\"}\n");
  EXPECT_TRUE(failed(run({"tokenize", fixture("minilm").string(), "--jsonl"},
                         {.input_file = path("input"), .output_file = "/dev/full"}),
                     1, {"standard output"}));
}

}  // namespace
}  // namespace onnxport::testing
