#include <algorithm>

#include <fmt/format.h>

#include "tokenizers/chat_template/builtins.h"

namespace onnxport::jinja {

Parameters::Parameters(Runtime& runtime, std::string_view function, Arguments& arguments,
                       std::initializer_list<std::string_view> names)
    : runtime_(runtime), function_(function), names_(names), values_(names.size(), nullptr) {
  if (arguments.positional.size() > names_.size())
    runtime.fail(fmt::format("{}() takes at most {} argument{} ({} given)", function, names_.size(),
                             names_.size() == 1 ? "" : "s", arguments.positional.size()));
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [keyword, value] : arguments.keywords) {
    const auto found = std::find(names_.begin(), names_.end(), keyword);
    if (found == names_.end() || keyword.empty())
      runtime.fail(fmt::format("{}() got an unexpected keyword argument '{}'", function, keyword));
    const Value*& slot = values_[static_cast<std::size_t>(found - names_.begin())];
    if (slot != nullptr) runtime.fail(fmt::format("{}() got multiple values for argument '{}'", function, keyword));
    slot = &value;
  }
}

const Value& Parameters::required(std::size_t index) const {
  if (values_[index] == nullptr) {
    const std::string_view name = names_[index];
    runtime_.fail(name.empty() ? fmt::format("{}() misses an argument", function_)
                               : fmt::format("{}() misses its argument '{}'", function_, name));
  }
  return *values_[index];
}

std::int64_t Parameters::integer(std::size_t index, std::int64_t default_value) const {
  return values_[index] == nullptr ? default_value : required_integer(index);
}

std::int64_t Parameters::required_integer(std::size_t index) const {
  return to_integer(runtime_, required(index), function_);
}

bool Parameters::boolean(std::size_t index, bool default_value) const {
  return values_[index] == nullptr ? default_value : is_true(runtime_, *values_[index]);
}

const std::string& Parameters::text(std::size_t index) const {
  const Value& value = required(index);
  if (value.is_undefined()) runtime_.fail(value.as<UndefinedObject>().hint);
  if (!value.is_string()) runtime_.fail(fmt::format("{}() needs a str, not {}", function_, type_name(value)));
  return value.text();
}

std::optional<std::string_view> Parameters::optional_text(std::size_t index) const {
  if (values_[index] == nullptr || values_[index]->is_none()) return std::nullopt;
  return text(index);
}

std::int64_t to_integer(Runtime& runtime, const Value& value, std::string_view what) {
  if (value.is_undefined()) runtime.fail(value.as<UndefinedObject>().hint);
  if (!value.is_integral()) runtime.fail(fmt::format("{}: an int is needed, not {}", what, type_name(value)));
  return value.integer();
}

}  // namespace onnxport::jinja
