#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizers/chat_template/value.h"

/// The functions that templates can call by name.
namespace onnxport::jinja {

/// nullptr if there is none of this name.
const NamedFunction* find_filter(std::string_view name);
const NamedFunction* find_test(std::string_view name);
const NamedFunction* find_global(std::string_view name);
/// Methods of strings, lists, tuples, dicts, numbers, cyclers. One that would change its receiver is not among them.
const NamedFunction* find_method(const Value& receiver, std::string_view name);
/// Would Python find this attribute, only to be refused it by the sandbox?
bool is_refused_attribute(const Value& receiver, std::string_view name);

std::vector<std::string> filter_names();
std::vector<std::string> test_names();

/// A call's arguments by the parameters' names.
class Parameters {
 public:
  /// `names` in their order; "" for one that is only given by position. Throws for too many arguments and for unknown
  /// keywords.
  Parameters(Runtime& runtime, std::string_view function, Arguments& arguments,
             std::initializer_list<std::string_view> names);

  /// nullptr if it is not given.
  const Value* find(std::size_t index) const { return values_[index]; }
  /// Throws if it is not given.
  const Value& required(std::size_t index) const;

  std::int64_t integer(std::size_t index, std::int64_t default_value) const;
  std::int64_t required_integer(std::size_t index) const;
  bool boolean(std::size_t index, bool default_value) const;
  /// The argument, which must be a string.
  const std::string& text(std::size_t index) const;
  std::optional<std::string_view> optional_text(std::size_t index) const;

 private:
  Runtime& runtime_;
  std::string_view function_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

/// Throws unless the value is an int.
std::int64_t to_integer(Runtime& runtime, const Value& value, std::string_view what);

/// json.dumps(value, ...) as the filter tojson of transformers calls it.
Value to_json(Runtime& runtime, const Value& value, Arguments& arguments);

// ---- Formatting -----------------------------------------------------------------------------------------------------

/// text % values
Value format_percent(Runtime& runtime, const Value& text, const Value& values);
/// text.format(*positional, **keywords)
Value format_braces(Runtime& runtime, const Value& text, const Arguments& arguments);
/// datetime.now().strftime(format)
Value format_now(Runtime& runtime, std::string_view format);
/// Replaces & < > ' " by what HTML writes for them.
std::string escape_html(std::string_view text);

}  // namespace onnxport::jinja
