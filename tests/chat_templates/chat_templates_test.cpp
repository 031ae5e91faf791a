// What templates give, against what transformers gave: README.md tells of the cases.
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "onnxport/chat_template.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "support/paths.h"

namespace onnxport::testing {
namespace {

namespace fs = std::filesystem;

fs::path directory() { return source_directory() / "tests" / "chat_templates"; }

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

Json parse_row(const std::string& line, const std::string& origin) {
  return parse_json(line, origin, LargeIntegers::AsDouble);
}

const Json& member(const Json& row, std::string_view name) {
  static const Json null;
  const Json* found = row.find(name);
  return found == nullptr ? null : *found;
}

/// The variables of a row, in this project's form or in that of a chat with its members beside each other.
Json variables_of(const Json& row, const Json& context) {
  if (row.find("messages") == nullptr) return row.find("variables") == nullptr ? context : member(row, "variables");
  Json variables = member(row, "variables").is_object() ? member(row, "variables") : Json(Json::Object{});
  for (const char* name : {"messages", "tools", "documents", "add_generation_prompt"})
    variables.set(name, member(row, name));
  return variables;
}

void check_row(const Json& row, const Json& context) {
  const std::string source = row.find("file") != nullptr
                                 ? read_file(directory() / "templates" / row.find("file")->string())
                                 : member(row, "template").string();
  SCOPED_TRACE(member(row, "name").string() + "\n" + source);
  std::string output;
  try {
    output = ChatTemplate(source).render(variables_of(row, context));
  } catch (const Error& error) {
    EXPECT_EQ(row.find("expected"), nullptr) << error.what();
    EXPECT_TRUE(error.kind() == ErrorKind::InvalidTokenizer || error.kind() == ErrorKind::InvalidArgument);
    EXPECT_EQ(std::string(error.what()).rfind("chat_template:", 0), 0U) << error.what();
    const std::string raised = row.find("expected_error") == nullptr ? "" : row.find("expected_error")->string();
    EXPECT_NE(std::string(error.what()).find(raised), std::string::npos) << error.what();
    return;
  }
  ASSERT_NE(row.find("expected"), nullptr) << "no error; expected: " << member(row, "error").is_string() << "\n"
                                           << output;
  EXPECT_EQ(output, row.find("expected")->string());
}

/// Every row of a file of JSON lines, or of one array.
void check_file(const fs::path& path) {
  const Json context = parse_row(read_file(directory() / "context.json"), "context.json");
  const std::string text = read_file(path);
  std::size_t rows = 0;
  if (text.starts_with('[')) {
    const Json array = parse_row(text, path.string());
    for (const Json& row : array.array()) {
      check_row(row, context);
      ++rows;
    }
  } else {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line); ++rows)
      check_row(parse_row(line, path.string() + " row " + std::to_string(rows + 1)), context);
  }
  EXPECT_GT(rows, 0U) << path;
}

TEST(ChatTemplates, Conversations) { check_file(directory() / "cases.jsonl"); }
TEST(ChatTemplates, Expressions) { check_file(directory() / "expressions.jsonl"); }
TEST(ChatTemplates, RandomTemplates) { check_file(directory() / "random.jsonl"); }

/// More rows from anywhere: ONNXPORT_CHAT_TEMPLATE_CASES=file[:file...]
TEST(ChatTemplates, OtherCases) {
  const char* files = std::getenv("ONNXPORT_CHAT_TEMPLATE_CASES");
  std::istringstream list(files == nullptr ? "" : files);
  for (std::string file; std::getline(list, file, ':');) check_file(file);
}

TEST(ChatTemplates, StrftimeNow) {
  const auto year = [] {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    return std::to_string(local.tm_year + 1900);
  };
  const ChatTemplate source("{{ strftime_now('%Y|%f|%Z%z|%%|') }}");
  const std::string before = year();
  const std::string text = source.render(Json::Object{});
  EXPECT_TRUE(text.starts_with(before) || text.starts_with(year())) << text;
  EXPECT_EQ(text.size(), std::string("2025|123456||%|").size()) << text;
  EXPECT_EQ(ChatTemplate("{{ strftime_now('') }}").render({}), "");
}

TEST(ChatTemplates, VariablesComeBeforeGlobals) {
  EXPECT_EQ(ChatTemplate("{{ range }}{{ x }}").render(Json::Object{{"range", "mine"}}), "mine");
}

TEST(ChatTemplates, OneTemplateRendersManyTimes) {
  const ChatTemplate source(
      "{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}");
  const ChatTemplate copy = source;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(copy.render(Json::Object{{"l", Json::Array{1, 2, i}}}), std::to_string(3 + i));
}

TEST(ChatTemplates, InvalidTextBecomesReplacementCharacters) {
  EXPECT_EQ(ChatTemplate("{{ s }}|{{ s|length }}").render(Json::Object{{"s", "a\xff\xe2\x82z"}}), "a\ufffd\ufffdz|4");
  EXPECT_EQ(ChatTemplate("{{ s|tojson }}").render(Json::Object{{"s", std::string("\0", 1)}}), R"("\u0000")");
}

}  // namespace
}  // namespace onnxport::testing
