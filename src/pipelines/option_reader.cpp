#include "pipelines/option_reader.h"

#include <algorithm>

#include "core/nearest.h"
#include "onnxport/error.h"

namespace onnxport::pipelines {
namespace {

[[noreturn]] void fail(std::string_view name, const std::string& wanted, const Json& value) {
  std::string text = dump_json(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  throw Error(ErrorKind::InvalidArgument, std::string(name) + " " + wanted + ", not " + text);
}

}  // namespace

OptionReader::OptionReader(const Json& options) : options_(options) {
  if (!options.is_null() && !options.is_object())
    throw Error(ErrorKind::InvalidArgument, "the options of a pipeline are an object, not " + dump_json(options));
}

const Json* OptionReader::find(std::string_view name) {
  names_.emplace_back(name);
  return options_.find(name);
}

const Json* OptionReader::find_value(std::string_view name) {
  const Json* value = find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool OptionReader::boolean(std::string_view name, bool default_value) {
  const Json* value = find_value(name);
  if (value == nullptr) return default_value;
  if (!value->is_boolean()) fail(name, "is true or false", *value);
  return value->boolean();
}

std::optional<std::size_t> OptionReader::size(std::string_view name, std::size_t least) {
  const Json* value = find_value(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_integer() || value->integer() < static_cast<std::int64_t>(least))
    fail(name, "must be an integer of at least " + std::to_string(least), *value);
  return static_cast<std::size_t>(value->integer());
}

std::optional<std::string> OptionReader::text(std::string_view name) {
  const Json* value = find_value(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail(name, "is a text", *value);
  return value->string();
}

std::optional<std::vector<std::string>> OptionReader::texts(std::string_view name) {
  const Json* value = find_value(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::vector{value->string()};
  if (!value->is_array()) fail(name, "is a list of texts", *value);
  std::vector<std::string> texts;
  for (const Json& text : value->array()) {
    if (!text.is_string()) fail(name, "is a list of texts", *value);
    texts.push_back(text.string());
  }
  return texts;
}

std::optional<TruncationStrategy> OptionReader::truncation() {
  const Json* value = find_value("truncation");
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->boolean() ? std::optional(TruncationStrategy::LongestFirst) : std::nullopt;
  if (value->is_string()) {
    const std::string& name = value->string();
    if (name == "longest_first") return TruncationStrategy::LongestFirst;
    if (name == "only_first") return TruncationStrategy::OnlyFirst;
    if (name == "only_second") return TruncationStrategy::OnlySecond;
    if (name == "do_not_truncate") return std::nullopt;
  }
  fail("truncation", "is true, false, longest_first, only_first, only_second or do_not_truncate", *value);
}

void OptionReader::finish(std::string_view task) const {
  if (options_.is_null()) return;
  for (const auto& [name, value] : options_.object()) {
    if (std::find(names_.begin(), names_.end(), name) != names_.end()) continue;
    std::string list;
    for (const std::string& known : names_) list += (list.empty() ? "" : ", ") + known;
    throw Error(ErrorKind::InvalidArgument, std::string(task) + " has no option " + quote_json(name) +
                                                describe_nearest(name, names_) + "; its options are " + list);
  }
}

}  // namespace onnxport::pipelines
