#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "onnxport/auto_tokenizer.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "support/paths.h"

/// Every directory of fixtures/, compared with what transformers made of it. README.md gives the format.
namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// What a developer can point elsewhere by an environment variable.
fs::path folder(const char* variable, std::string_view usual) {
  const char* value = std::getenv(variable);
  return value != nullptr ? fs::path(value) : testing::source_directory() / usual;
}

const fs::path kFixtures = folder("ONNXPORT_AUTO_TOKENIZER_FIXTURES", "tests/auto_tokenizer/fixtures");
const fs::path kTokenizerFixtures = folder("ONNXPORT_TOKENIZER_FIXTURES", "tests/tokenizers/fixtures");

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

Json read_json(const fs::path& path) { return parse_json(read_file(path), path.string(), LargeIntegers::AsDouble); }

std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFixtures)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

/// Those of classes that are not in Python alone.
std::vector<std::string> names_with_document() {
  std::vector<std::string> names = fixture_names();
  std::erase_if(names, [](const std::string& name) {
    return read_json(kFixtures / (name + ".json")).find("tokenizer_json") == nullptr;
  });
  return names;
}

/// Members in the order of their names at every level, and 1.0 as 1: what Python's == compares.
Json canonical(const Json& value) {
  if (value.is_array()) {
    Json::Array items;
    for (const Json& item : value.array()) items.push_back(canonical(item));
    return items;
  }
  if (value.is_object()) {
    Json::Object members;
    for (const auto& [name, member] : value.object()) members.emplace_back(name, canonical(member));
    std::ranges::sort(members, {}, &Json::Member::first);
    return members;
  }
  if (value.is_number()) return Json(value.number());
  return value;
}

/// Where two values differ, for messages that can be read; empty if they do not.
std::string difference(const Json& actual, const Json& expected, const std::string& path = "") {
  if (actual.is_object() && expected.is_object()) {
    for (const auto& [name, value] : expected.object()) {
      const Json* other = actual.find(name);
      if (other == nullptr) return path + "." + name + " is missing, should be " + dump_json(value).substr(0, 200);
      if (std::string found = difference(*other, value, path + "." + name); !found.empty()) return found;
    }
    for (const auto& [name, value] : actual.object()) {
      if (expected.find(name) == nullptr) {
        return path + "." + name + " should not be there, is " + dump_json(value).substr(0, 200);
      }
    }
    return {};
  }
  if (actual.is_array() && expected.is_array() && actual.array().size() == expected.array().size()) {
    for (std::size_t i = 0; i < actual.array().size(); ++i) {
      std::string found = difference(actual.array()[i], expected.array()[i], path + "[" + std::to_string(i) + "]");
      if (!found.empty()) return found;
    }
    return {};
  }
  if (canonical(actual) == canonical(expected)) return {};
  return path + " is " + dump_json(actual).substr(0, 300) + ", should be " + dump_json(expected).substr(0, 300);
}

std::vector<std::string> strings_of(const Json& array) {
  std::vector<std::string> strings;
  for (const Json& item : array.array()) strings.push_back(item.string());
  return strings;
}

Json json_of(const std::vector<std::string>& strings) { return Json::Array(strings.begin(), strings.end()); }

TokenizerCallOptions options_of(const Json& json) {
  TokenizerCallOptions options;
  for (const auto& [name, value] : json.object()) {
    if (name == "padding") {
      options.padding = value.string() == "longest" ? PaddingStrategy::Longest : PaddingStrategy::MaxLength;
    } else if (name == "truncation") {
      options.truncation = value.string() == "longest_first" ? TruncationStrategy::LongestFirst
                           : value.string() == "only_first"  ? TruncationStrategy::OnlyFirst
                                                             : TruncationStrategy::OnlySecond;
    } else if (name == "padding_side") {
      options.padding_side = value.string() == "left" ? Direction::Left : Direction::Right;
    } else if (name == "max_length") {
      options.max_length = static_cast<std::size_t>(value.integer());
    } else if (name == "stride") {
      options.stride = static_cast<std::size_t>(value.integer());
    } else if (name == "pad_to_multiple_of") {
      options.pad_to_multiple_of = static_cast<std::size_t>(value.integer());
    } else if (name == "add_special_tokens") {
      options.add_special_tokens = value.boolean();
    } else if (name == "return_offsets_mapping") {
      options.return_offsets_mapping = value.boolean();
    } else if (name == "return_special_tokens_mask") {
      options.return_special_tokens_mask = value.boolean();
    } else if (name == "return_overflowing_tokens") {
      options.return_overflowing_tokens = value.boolean();
    } else if (name == "return_token_type_ids") {
      options.return_token_type_ids = value.boolean();
    } else if (name == "split_special_tokens") {
      options.split_special_tokens = value.boolean();
    } else if (name == "as_target") {
      options.as_target = value.boolean();
    } else if (name == "return_attention_mask") {
      options.return_attention_mask = value.boolean();
    } else {
      ADD_FAILURE() << "unknown option " << name;
    }
  }
  return options;
}

BatchEncoding call(const PreTrainedTokenizer& tokenizer, const Json& test_case) {
  const TokenizerCallOptions options = options_of(*test_case.find("options"));
  if (const Json* text = test_case.find("text")) {
    const Json* pair = test_case.find("pair");
    return pair != nullptr ? tokenizer(text->string(), pair->string(), options) : tokenizer(text->string(), options);
  }
  if (const Json* texts = test_case.find("texts")) {
    const std::vector<std::string> strings = strings_of(*texts);
    return tokenizer(strings, options);
  }
  if (const Json* pairs = test_case.find("pairs")) {
    std::vector<TextInput> inputs;
    for (const Json& pair : pairs->array()) inputs.push_back({pair.array()[0].string(), pair.array()[1].string()});
    return tokenizer(std::span<const TextInput>(inputs), options);
  }
  std::vector<std::vector<std::string>> words;
  for (const Json& row : test_case.find("words")->array()) words.push_back(strings_of(row));
  std::vector<std::vector<std::string>> pairs;
  if (const Json* rows = test_case.find("word_pairs")) {
    for (const Json& row : rows->array()) pairs.push_back(strings_of(row));
  }
  std::vector<WordsInput> inputs;
  for (std::size_t i = 0; i < words.size(); ++i) {
    inputs.push_back({words[i]});
    if (!pairs.empty()) inputs.back().pair = pairs[i];
  }
  return tokenizer(std::span<const WordsInput>(inputs), options);
}

Json json_of(const BatchEncoding& batch, bool with_mapping) {
  Json result = Json::Object{};
  for (const std::string& name : batch.names()) {
    Json::Array rows;
    for (const Encoding& encoding : batch.encodings()) {
      Json::Array row;
      if (name == "offset_mapping") {
        for (const Offset& offset : encoding.offsets) {
          row.emplace_back(Json::Array{Json(std::int64_t{offset.begin}), Json(std::int64_t{offset.end})});
        }
      } else {
        const auto& values = name == "input_ids"        ? encoding.ids
                             : name == "token_type_ids" ? encoding.type_ids
                             : name == "attention_mask" ? encoding.attention_mask
                                                        : encoding.special_tokens_mask;
        for (const std::uint32_t value : values) row.emplace_back(std::int64_t{value});
      }
      rows.emplace_back(std::move(row));
    }
    result.set(name, std::move(rows));
  }
  if (with_mapping) {
    Json::Array samples;
    for (const std::size_t sample : batch.overflow_to_sample_mapping()) {
      samples.emplace_back(static_cast<std::int64_t>(sample));
    }
    result.set("overflow_to_sample_mapping", std::move(samples));
  }
  return result;
}

class AutoTokenizerFixture : public ::testing::TestWithParam<std::string> {
 protected:
  AutoTokenizerFixture() : expected_(read_json(kFixtures / (GetParam() + ".json"))) {
    const Json* existing = expected_.find("directory");
    directory_ = existing != nullptr ? kTokenizerFixtures / existing->string() : kFixtures / GetParam();
  }

  const Json& expected(std::string_view name) const { return *expected_.find(name); }

  /// Without the model and with charsmaps' lengths instead of them, if the expectation leaves them out.
  Json without_model(Json document) const {
    if (expected("tokenizer_json").find("model") != nullptr) return document;
    document.erase("model");
    return with_short_charsmaps(std::move(document));
  }

  static Json with_short_charsmaps(Json value) {
    if (value.is_array()) {
      for (Json& item : value.array()) item = with_short_charsmaps(std::move(item));
    } else if (value.is_object()) {
      for (auto& [name, member] : value.object()) {
        member = name == "precompiled_charsmap" ? Json(static_cast<std::int64_t>(member.string().size()))
                                                : with_short_charsmaps(std::move(member));
      }
    }
    return value;
  }

  void check_calls(const PreTrainedTokenizer& tokenizer) const {
    for (const Json& test_case : expected("calls").array()) {
      Json input = test_case;
      input.erase("expected");
      SCOPED_TRACE(dump_json(input).substr(0, 400));
      const Json& result = *test_case.find("expected");
      const bool with_mapping = test_case.find("options")->find("return_overflowing_tokens") != nullptr;
      if (result.find("error") != nullptr) {
        EXPECT_THROW(call(tokenizer, test_case), Error) << dump_json(result);
      } else {
        EXPECT_EQ(difference(json_of(call(tokenizer, test_case), with_mapping), result), "");
      }
    }
  }

  Json expected_;
  fs::path directory_;
};

class AutoTokenizerDocument : public AutoTokenizerFixture {};

TEST_P(AutoTokenizerDocument, IsTheOneThatTransformersMakes) {
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(directory_);
  const Json document = parse_json(tokenizer.backend_tokenizer().to_json(), "to_json");
  Json expected_document = expected("tokenizer_json");
  // The backend is the tokenizer without truncation and padding; what its file says of them comes back when saved.
  expected_document.set("truncation", Json());
  expected_document.set("padding", Json());
  EXPECT_EQ(difference(without_model(document), expected_document), "");
}

TEST_P(AutoTokenizerFixture, Attributes) {
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(directory_);
  const Json& attributes = expected("attributes");
  EXPECT_EQ(tokenizer.tokenizer_class(), attributes.find("class")->string());
  const double length = attributes.find("model_max_length")->number();
  EXPECT_EQ(tokenizer.model_max_length(), length > 1e20 ? SIZE_MAX : static_cast<std::size_t>(length));
  EXPECT_EQ(json_of(tokenizer.model_input_names()), *attributes.find("model_input_names"));
  EXPECT_EQ(tokenizer.padding_side() == Direction::Left, attributes.find("padding_side")->string() == "left");
  EXPECT_EQ(tokenizer.truncation_side() == Direction::Left, attributes.find("truncation_side")->string() == "left");
  for (const auto& [name, token] : attributes.find("special_tokens")->object()) {
    const auto actual = tokenizer.special_token(name);
    EXPECT_EQ(actual ? Json(*actual) : Json(), token) << name;
  }
  for (const auto& [name, id] : attributes.find("special_token_ids")->object()) {
    const auto actual = tokenizer.special_token_id(name);
    EXPECT_EQ(actual ? Json(std::int64_t{*actual}) : Json(), id) << name;
  }
  EXPECT_EQ(json_of(tokenizer.all_special_tokens()), *attributes.find("all_special_tokens"));
  Json::Array ids;
  for (const std::uint32_t id : tokenizer.all_special_ids()) ids.emplace_back(std::int64_t{id});
  Json::Array expected_ids;  // Python has None where a token has no id
  for (const Json& id : attributes.find("all_special_ids")->array()) {
    if (!id.is_null()) expected_ids.push_back(id);
  }
  EXPECT_EQ(ids, expected_ids);
  const auto unknown = tokenizer.convert_tokens_to_ids("no such token");
  EXPECT_EQ(unknown ? Json(std::int64_t{*unknown}) : Json(), *attributes.find("unknown_id"));
  EXPECT_EQ(static_cast<std::int64_t>(tokenizer.backend_tokenizer().vocabulary_size()),
            attributes.find("length")->integer());
}

TEST_P(AutoTokenizerFixture, Calls) { check_calls(AutoTokenizer::from_pretrained(directory_)); }

TEST_P(AutoTokenizerFixture, Decode) {
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(directory_);
  for (const Json& test_case : expected("decodes").array()) {
    SCOPED_TRACE(dump_json(test_case));
    std::vector<std::uint32_t> ids;
    for (const Json& id : test_case.find("ids")->array()) ids.push_back(static_cast<std::uint32_t>(id.integer()));
    const Json& clean = *test_case.find("clean_up_tokenization_spaces");
    EXPECT_EQ(tokenizer.decode(ids, test_case.find("skip_special_tokens")->boolean(),
                               clean.is_null() ? std::nullopt : std::optional<bool>(clean.boolean())),
              test_case.find("text")->string());
  }
}

TEST_P(AutoTokenizerFixture, ChatTemplates) {
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(directory_);
  for (const Json& test_case : expected("chats").array()) {
    SCOPED_TRACE(dump_json(test_case));
    ChatTemplateOptions options;
    for (const auto& [name, value] : test_case.find("options")->object()) {
      if (name == "add_generation_prompt") options.add_generation_prompt = value.boolean();
      if (name == "continue_final_message") options.continue_final_message = value.boolean();
      if (name == "chat_template") options.chat_template = value.string();
      if (name == "tools") options.tools = value;
      if (name == "documents") options.documents = value;
    }
    const Json& messages = *test_case.find("messages");
    if (test_case.find("error") != nullptr) {
      EXPECT_THROW(tokenizer.apply_chat_template(messages, options), Error);
    } else {
      EXPECT_EQ(tokenizer.apply_chat_template(messages, options), test_case.find("prompt")->string());
    }
  }
}

TEST_P(AutoTokenizerFixture, SavesWhatTransformersSaves) {
  const PreTrainedTokenizer tokenizer = AutoTokenizer::from_pretrained(directory_);
  const fs::path output = fs::path(::testing::TempDir()) / ("onnxport_save_" + GetParam());
  fs::remove_all(output);
  std::vector<std::string> returned;
  for (const fs::path& file : tokenizer.save_pretrained(output)) {
    returned.push_back(file.lexically_relative(output).string());
  }
  EXPECT_EQ(json_of(returned), *expected("saved").find("returned"));

  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(output)) {
    if (entry.is_regular_file()) names.insert(entry.path().lexically_relative(output).string());
  }
  std::set<std::string> expected_names;
  for (const auto& [name, content] : expected("saved").find("files")->object()) {
    expected_names.insert(name);
    if (content.is_null() || !names.contains(name)) continue;
    SCOPED_TRACE(name);
    const std::string text = read_file(output / name);
    if (name.ends_with("vocab.json")) {
      EXPECT_EQ(difference(parse_json(text, name), parse_json(content.string(), name)), "");
    } else {
      EXPECT_EQ(text, content.string());
    }
  }
  EXPECT_EQ(names, expected_names);

  // What was saved is the same tokenizer, but for what Python does not read again either, and but for the last bits of
  // scores, which a tokenizer.json's reader computes coarsely.
  Json document = parse_json(tokenizer.backend_tokenizer().to_json(), "to_json");
  if (expected_names.contains("tokenizer.json")) {
    document = parse_json(Tokenizer::from_json(tokenizer.backend_tokenizer().to_json()).to_json(), "to_json");
  }
  const Json& reloaded_tokens = *expected("saved").find("reloaded_added_tokens");
  if (!reloaded_tokens.is_null()) document.set("added_tokens", reloaded_tokens);
  const PreTrainedTokenizer reloaded = AutoTokenizer::from_pretrained(output);
  EXPECT_EQ(difference(parse_json(reloaded.backend_tokenizer().to_json(), "to_json"), document), "");
  fs::remove_all(output);
}

INSTANTIATE_TEST_SUITE_P(All, AutoTokenizerDocument, ::testing::ValuesIn(names_with_document()),
                         [](const auto& parameter) { return parameter.param; });
INSTANTIATE_TEST_SUITE_P(All, AutoTokenizerFixture, ::testing::ValuesIn(fixture_names()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace onnxport
