#include "tokenizers/convert.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "core/mapped_file.h"
#include "onnxport/error.h"
#include "tokenizers/convert_internal.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::array<std::string_view, 7> kSpecialTokenArguments = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                                    "pad_token", "cls_token", "mask_token"};

void append_string(std::string& text, std::string_view string) { text += quote_json(string); }

/// How a tokenizer.json's reader computes a fraction, as the real library does: not always the nearest double.
bool is_read_as(double value, std::uint64_t significand, int exponent) {
  const double power = std::pow(10.0, std::abs(exponent));
  const auto number = static_cast<double>(significand);
  return (exponent < 0 ? number / power : number * power) == value;
}

/// Digits that are read back as exactly this number. Conversion has scores as they are in the model, not as a file of
/// the shortest digits would give them.
std::string exact_number(double value) {
  const double magnitude = std::fabs(value);
  std::array<char, 32> buffer;
  const char* end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t mark = shortest.find('e');
  std::uint64_t significand = 0;
  int exponent = 0;
  std::from_chars(shortest.data() + mark + (shortest[mark + 1] == '+' ? 2 : 1), end, exponent);
  for (const char c : shortest.substr(0, mark)) {
    if (c != '.') significand = significand * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (mark > 1) exponent -= static_cast<int>(mark) - 2;
  std::string plain = dump_json(Json(value));
  if (is_read_as(magnitude, significand, exponent)) return plain;

  // More digits, of which the reader keeps 53 bits: among the neighbours of these one divides to the number wanted.
  constexpr long double largest = 1.8e19L;
  constexpr long double least = 9007199254740992.0L;  // 2^53
  for (int digits = 1; digits <= 40; ++digits) {
    const long double scaled = static_cast<long double>(magnitude) * std::pow(10.0L, static_cast<long double>(digits));
    if (scaled < least || digits > 22) continue;  // beyond 10^22 powers are not exact
    if (scaled > largest) break;
    const auto middle = static_cast<std::uint64_t>(scaled);
    const auto step = static_cast<std::uint64_t>(std::ldexp(1.0, std::ilogb(static_cast<double>(middle)) - 52));
    for (int neighbour = -3; neighbour <= 3; ++neighbour) {
      const std::uint64_t candidate = neighbour < 0 ? middle - step * static_cast<std::uint64_t>(-neighbour)
                                                    : middle + step * static_cast<std::uint64_t>(neighbour);
      if (is_read_as(magnitude, candidate, -digits)) {
        return (value < 0 ? "-" : "") + std::to_string(candidate) + "e-" + std::to_string(digits);
      }
    }
  }
  return plain;
}

}  // namespace

std::optional<std::string> token_content(const Json& value) {
  if (value.is_string()) return value.string();
  if (const Json* content = value.find("content"); content != nullptr && content->is_string()) {
    return content->string();
  }
  return std::nullopt;
}

std::string SlowTokenizer::token(std::string_view argument) const {
  if (const Json* value = arguments.find(argument)) {
    if (auto content = token_content(*value)) return *content;
  }
  throw Error(ErrorKind::InvalidTokenizer,
              vocab_file.parent_path().string() + ": " + class_name + " needs \"" + std::string(argument) + "\"");
}

bool SlowTokenizer::flag(std::string_view argument, bool fallback) const {
  const Json* value = arguments.find(argument);
  return value != nullptr && value->is_boolean() ? value->boolean() : fallback;
}

std::string ConvertedTokenizer::to_json() const {
  std::string text = R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": )";
  text += dump_json(normalizer);
  text += R"(, "pre_tokenizer": )" + dump_json(pre_tokenizer);
  text += R"(, "post_processor": )" + dump_json(post_processor);
  text += R"(, "decoder": )" + dump_json(decoder);
  text += R"(, "model": )" + model + "}";
  return text;
}

SlowVocabulary::SlowVocabulary(const SlowTokenizer& slow) : slow_(slow) {
  for (const auto& [id, content] : slow.added_tokens) added_ids_[content] = id;
}

void SlowVocabulary::add(std::string_view token, std::uint32_t id) {
  ids_[std::string(token)] = id;
  next_id_ = std::max<std::size_t>(next_id_, std::size_t{id} + 1);
}

void SlowVocabulary::append_special_tokens() {
  std::size_t next = ids_.size();
  for (const auto& [content, unused] : added_ids_) next += ids_.contains(content) ? 0 : 1;
  const auto append_missing = [&](const Json& value) {
    const auto content = token_content(value);
    if (!content || content->empty() || find(*content)) return;
    added_ids_[*content] = static_cast<std::uint32_t>(next++);
  };
  for (const std::string_view argument : kSpecialTokenArguments) {
    if (const Json* value = slow_.arguments.find(argument)) append_missing(*value);
  }
  if (const Json* values = slow_.arguments.find("additional_special_tokens"); values != nullptr && values->is_array()) {
    for (const Json& value : values->array()) append_missing(value);
  }
}

std::optional<std::uint32_t> SlowVocabulary::find(std::string_view token) const {
  const std::string key(token);
  if (const auto found = added_ids_.find(key); found != added_ids_.end()) return found->second;
  if (const auto found = ids_.find(key); found != ids_.end()) return found->second;
  return std::nullopt;
}

std::uint32_t SlowVocabulary::id(std::string_view token) const {
  if (const auto found = find(token)) return *found;
  if (const auto unknown = find(slow_.token("unk_token"))) return *unknown;
  throw Error(ErrorKind::InvalidTokenizer,
              slow_.vocab_file.string() + " has no " + quote_json(token) + ", which " + slow_.class_name + " needs");
}

std::string SlowVocabulary::token(std::uint32_t id) const {
  for (const auto* map : {&added_ids_, &ids_}) {
    for (const auto& [content, its_id] : *map) {
      if (its_id == id) return content;
    }
  }
  return slow_.token("unk_token");
}

std::pair<std::string, std::uint32_t> SlowVocabulary::special(std::string_view argument) const {
  std::string content = slow_.token(argument);
  const std::uint32_t its_id = id(content);
  return {std::move(content), its_id};
}

std::string read_slow_file(const std::filesystem::path& file) {
  try {
    const auto mapped = MappedFile::open(file);
    return {reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()};
  } catch (const Error& error) {
    throw Error(ErrorKind::InvalidTokenizer, error.what());
  }
}

ModelText::ModelText(const Json& head) {
  text_ = dump_json(head);
  text_.pop_back();  // the brace
}

void ModelText::begin(std::string_view member, char opening) {
  text_ += ", ";
  append_string(text_, member);
  text_ += ": ";
  text_ += opening;
  closing_ = opening == '{' ? '}' : ']';
  first_ = true;
}

void ModelText::separate() {
  if (!first_) text_ += ',';
  first_ = false;
}

void ModelText::token(std::string_view content, std::uint32_t id) {
  separate();
  append_string(text_, content);
  text_ += ':';
  text_ += std::to_string(id);
}

void ModelText::merge(std::string_view left, std::string_view right) {
  separate();
  text_ += '[';
  append_string(text_, left);
  text_ += ',';
  append_string(text_, right);
  text_ += ']';
}

void ModelText::scored(std::string_view content, double score) {
  separate();
  text_ += '[';
  append_string(text_, content);
  text_ += ',';
  text_ += exact_number(score);
  text_ += ']';
}

std::string ModelText::finish(std::string_view last_member) {
  if (!last_member.empty()) text_ += ", ";
  text_ += last_member;
  text_ += '}';
  return std::move(text_);
}

ConvertedTokenizer convert_slow_tokenizer(const SlowTokenizer& slow) {
  if (is_wordpiece_class(slow.class_name)) return convert_wordpiece(slow);
  if (is_bpe_class(slow.class_name)) return convert_bpe(slow);
  if (is_sentencepiece_class(slow.class_name)) return convert_sentencepiece(slow);
  throw Error(ErrorKind::InvalidTokenizer, slow.vocab_file.parent_path().string() + ": " + slow.class_name +
                                               " can be read from a tokenizer.json only, and there is none");
}

}  // namespace onnxport::tokenizers
