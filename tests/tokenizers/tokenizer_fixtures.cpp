#include "tokenizers/tokenizer_fixtures.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <gtest/gtest.h>

#include "support/paths.h"

namespace onnxport::testing {

std::filesystem::path tokenizer_fixtures() {
  const char* const elsewhere = std::getenv("ONNXPORT_TOKENIZER_FIXTURES");
  if (elsewhere != nullptr) return elsewhere;
  return source_directory() / "tests/tokenizers/fixtures";
}

std::vector<std::string> fixtures_with(std::string_view file) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(tokenizer_fixtures())) {
    if (std::filesystem::exists(entry.path() / file)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::vector<Json> read_rows(const std::filesystem::path& file) {
  const std::string text = read_text(file);
  std::vector<Json> rows;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    rows.push_back(parse_json(std::string_view(text).substr(begin, end - begin), file.string()));
    begin = end + 1;
  }
  return rows;
}

namespace {

template <typename Values, typename ToJson>
Json array_of(const Values& values, ToJson to_json) {
  Json::Array array;
  for (const auto& value : values) array.push_back(to_json(value));
  return array;
}

Json index_json(std::int32_t index) { return index == no_index ? Json() : Json(index); }

}  // namespace

Json field_of(const Encoding& encoding, std::string_view name) {
  const auto number = [](std::uint32_t value) { return Json(std::int64_t{value}); };
  if (name == "ids") return array_of(encoding.ids, number);
  if (name == "type_ids") return array_of(encoding.type_ids, number);
  if (name == "attention_mask") return array_of(encoding.attention_mask, number);
  if (name == "special_tokens_mask") return array_of(encoding.special_tokens_mask, number);
  if (name == "offsets") {
    return array_of(encoding.offsets, [&](const Offset& offset) {
      return Json::Array{number(offset.begin), number(offset.end)};
    });
  }
  if (name == "word_ids") return array_of(encoding.word_ids, index_json);
  if (name == "sequence_ids") return array_of(encoding.sequence_ids, index_json);
  if (name == "tokens") return array_of(encoding.tokens, [](const std::string& token) { return Json(token); });
  throw std::logic_error("no such field: " + std::string(name));
}

void expect_fields(const Json& row, const Encoding& encoding) {
  for (const std::string_view name :
       {"ids", "type_ids", "attention_mask", "special_tokens_mask", "offsets", "tokens", "word_ids", "sequence_ids"}) {
    const Json* const expected = row.find(name);
    if (expected == nullptr) continue;
    const Json actual = field_of(encoding, name);
    if (actual != *expected) {
      ADD_FAILURE() << name << "\n  expected " << dump_json(*expected) << "\n  actual   " << dump_json(actual);
    }
  }
  if (const Json* count = row.find("n_overflowing")) {
    EXPECT_EQ(static_cast<std::int64_t>(encoding.overflowing.size()), count->integer()) << "n_overflowing";
  }
  if (const Json* windows = row.find("overflowing")) {
    ASSERT_LE(windows->array().size(), encoding.overflowing.size()) << "overflowing";
    for (std::size_t i = 0; i < windows->array().size(); ++i) {
      SCOPED_TRACE("overflowing " + std::to_string(i));
      expect_fields(windows->array()[i], encoding.overflowing[i]);
    }
  }
}

std::vector<std::string> strings_of(const Json& array) {
  std::vector<std::string> strings;
  for (const Json& element : array.array()) strings.push_back(element.string());
  return strings;
}

std::vector<std::uint32_t> ids_of(const Json& array) {
  std::vector<std::uint32_t> ids;
  for (const Json& element : array.array()) ids.push_back(static_cast<std::uint32_t>(element.integer()));
  return ids;
}

void set_truncation_and_padding(Tokenizer& tokenizer, const Json& row) {
  const auto direction = [](const Json& setting) {
    return setting.find("direction")->string() == "Left" ? Direction::Left : Direction::Right;
  };
  const auto number = [](const Json& setting, std::string_view name) {
    return static_cast<std::size_t>(setting.find(name)->integer());
  };

  const Json* const truncation = row.find("truncation");
  if (truncation == nullptr || truncation->is_null()) {
    tokenizer.set_truncation({});
  } else {
    const std::string& strategy = truncation->find("strategy")->string();
    tokenizer.set_truncation(Truncation{.max_length = number(*truncation, "max_length"),
                                        .stride = number(*truncation, "stride"),
                                        .strategy = strategy == "OnlyFirst"    ? TruncationStrategy::OnlyFirst
                                                    : strategy == "OnlySecond" ? TruncationStrategy::OnlySecond
                                                                               : TruncationStrategy::LongestFirst,
                                        .direction = direction(*truncation)});
  }

  const Json* const padding = row.find("padding");
  if (padding == nullptr || padding->is_null()) {
    tokenizer.set_padding({});
    return;
  }
  Padding setting{.direction = direction(*padding),
                  .pad_id = static_cast<std::uint32_t>(number(*padding, "pad_id")),
                  .pad_type_id = static_cast<std::uint32_t>(number(*padding, "pad_type_id")),
                  .pad_token = padding->find("pad_token")->string()};
  if (padding->find("strategy")->is_object()) setting.length = number(*padding->find("strategy"), "Fixed");
  if (!padding->find("pad_to_multiple_of")->is_null())
    setting.pad_to_multiple_of = number(*padding, "pad_to_multiple_of");
  tokenizer.set_padding(setting);
}

}  // namespace onnxport::testing
