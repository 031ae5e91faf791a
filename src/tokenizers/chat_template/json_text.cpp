// json.dumps: what the filter tojson writes.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "onnxport/json.h"
#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/text.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {
namespace {

struct JsonStyle {
  bool is_ascii = false;
  bool sorts_keys = false;
  bool breaks_lines = false;
  std::string indent{};
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

class JsonText {
 public:
  JsonText(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  std::string write(const Value& value) {
    append(value, 0);
    return std::move(out_);
  }

 private:
  void append(const Value& value, int level) {
    runtime_.step();
    runtime_.check_size(out_.size());
    switch (value.kind()) {
      case Kind::None:
        out_ += "null";
        break;
      case Kind::Boolean:
        out_ += value.boolean() ? "true" : "false";
        break;
      case Kind::Integer:
        out_ += std::to_string(value.integer());
        break;
      case Kind::Float:
        append_float(value.number());
        break;
      case Kind::String:
        append_string(value.text());
        break;
      case Kind::List:
      case Kind::Tuple:
        append_list(value.items(), level);
        break;
      case Kind::Dict:
        append_dict(value.as<DictObject>().dict, level);
        break;
      case Kind::Undefined:
        runtime_.fail("tojson of an undefined value: " + value.as<UndefinedObject>().hint);
      default:
        runtime_.fail(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }

  void append_float(double value) {
    if (std::isnan(value)) {
      out_ += "NaN";
    } else if (std::isinf(value)) {
      out_ += value < 0 ? "-Infinity" : "Infinity";
    } else {
      out_ += float_repr(value);
    }
  }

  void append_string(std::string_view text) {
    runtime_.work(text.size());
    const std::string quoted = quote_json(text);
    if (!style_.is_ascii) {
      out_ += quoted;
      return;
    }
    for (std::size_t position = 0; position < quoted.size();) {
      const char32_t code_point = next_character(quoted, position);
      if (code_point < 0x7f) {
        out_ += static_cast<char>(code_point);
      } else if (code_point < 0x10000) {
        out_ += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(code_point));
      } else {
        const std::uint32_t offset = static_cast<std::uint32_t>(code_point) - 0x10000;
        out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (offset >> 10U), 0xdc00 + (offset & 0x3ffU));
      }
    }
  }

  void append_list(const std::vector<Value>& items, int level) {
    out_ += '[';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      append_line_break(level + 1);
      append(items[i], level + 1);
    }
    if (!items.empty()) append_line_break(level);
    out_ += ']';
  }

  std::string key_text(const Value& key) {
    if (key.is_string()) return key.text();
    if (key.is_none()) return "null";
    if (key.is(Kind::Boolean)) return key.boolean() ? "true" : "false";
    if (key.is(Kind::Integer)) return std::to_string(key.integer());
    if (key.is(Kind::Float)) {
      std::string text;
      std::swap(text, out_);
      append_float(key.number());
      std::swap(text, out_);
      return text;
    }
    runtime_.fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
  }

  void append_dict(const Dict& dict, int level) {
    out_ += '{';
    bool is_first = true;
    const auto append_member = [&](const Value& key, const Value& value) {
      if (!is_first) out_ += style_.item_separator;
      is_first = false;
      append_line_break(level + 1);
      append_string(key_text(key));
      out_ += style_.key_separator;
      append(value, level + 1);
    };
    if (style_.sorts_keys) {
      const Value pairs = sorted(dict);
      for (const Value& pair : pairs.items()) append_member(pair.items()[0], pair.items()[1]);
    } else {
      for (const auto& [key, value] : dict.items()) append_member(key, value);
    }
    if (dict.size() > 0) append_line_break(level);
    out_ += '}';
  }

  /// Pairs by Python's order of the keys, which throws where there is none.
  Value sorted(const Dict& dict) {
    Arguments arguments{{Value::boolean(true)}, {}};  // case_sensitive
    return find_filter("dictsort")->function(runtime_, runtime_.dict(dict), arguments);
  }

  void append_line_break(int level) {
    if (!style_.breaks_lines) return;
    out_ += '\n';
    runtime_.work(style_.indent.size() * static_cast<std::size_t>(level));
    for (int i = 0; i < level; ++i) out_ += style_.indent;
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

Value to_json(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters parameters(runtime, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{.is_ascii = parameters.boolean(0, false), .sorts_keys = parameters.boolean(3, false)};
  if (const Value* indent = parameters.find(1); indent != nullptr && !indent->is_none()) {
    style.breaks_lines = true;
    style.item_separator = ",";
    if (indent->is_string()) {
      style.indent = indent->text();
    } else {
      const std::int64_t width = std::max<std::int64_t>(to_integer(runtime, *indent, "indent"), 0);
      runtime.check_size(static_cast<std::size_t>(width));
      style.indent.assign(static_cast<std::size_t>(width), ' ');
    }
  }
  if (const Value* separators = parameters.find(2); separators != nullptr && !separators->is_none()) {
    const std::vector<Value> parts = to_vector(runtime, *separators);
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string())
      runtime.fail("separators of tojson are two strings");
    style.item_separator = parts[0].text();
    style.key_separator = parts[1].text();
  }
  return runtime.string(JsonText(runtime, style).write(value));
}

}  // namespace onnxport::jinja
