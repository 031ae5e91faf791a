#include "onnxport/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "onnxport/error.h"

namespace onnxport {
namespace {

constexpr std::size_t kMaximumDepth = 128;

// ---- NaN, Infinity, -Infinity -------------------------------------------------------------------------------------

/// A literal of Python's that JSON lacks.
struct ExtraLiteral {
  std::string_view text;
  std::string_view stand_in;  ///< a JSON number of the same length, so that positions in messages stay right
  double value;
};

constexpr std::array kExtraLiterals{
    ExtraLiteral{"NaN", "0.0", std::numeric_limits<double>::quiet_NaN()},
    ExtraLiteral{"Infinity", "0.000000", std::numeric_limits<double>::infinity()},
    ExtraLiteral{"-Infinity", "-0.000000", -std::numeric_limits<double>::infinity()},
};

/// The text with numbers in place of Python's literals, and which of its numbers, counted from 0, stand for what.
struct StandardText {
  std::string text;
  std::vector<std::pair<std::size_t, double>> replaced;
};

bool is_separator(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ':' || c == '[' || c == ']' || c == '{' ||
         c == '}';
}

/// The position behind the string that opens at `quote`.
std::size_t skip_string(std::string_view text, std::size_t quote) {
  std::size_t position = quote + 1;
  while (position < text.size() && text[position] != '"') position += text[position] == '\\' ? 2 : 1;
  return std::min(position + 1, text.size());
}

/// Text that is not JSON even then passes through unchanged as far as it is wrong, for the parser to complain about.
StandardText replace_extra_literals(std::string_view text) {
  StandardText result{std::string(text), {}};
  std::size_t numbers = 0;
  std::size_t position = 0;
  while (position < text.size()) {
    if (text[position] == '"') {
      position = skip_string(text, position);
      continue;
    }
    if (is_separator(text[position])) {
      ++position;
      continue;
    }
    std::size_t end = position;
    while (end < text.size() && text[end] != '"' && !is_separator(text[end])) ++end;
    const std::string_view token = text.substr(position, end - position);
    for (const ExtraLiteral& literal : kExtraLiterals) {
      if (token != literal.text) continue;
      result.text.replace(position, token.size(), literal.stand_in);
      result.replaced.emplace_back(numbers, literal.value);
    }
    if (token != "true" && token != "false" && token != "null") ++numbers;
    position = end;
  }
  return result;
}

// ---- Parser -------------------------------------------------------------------------------------------------------

/// Reads characters for the parser and tells a shared variable how far it came, which the parser's events do not.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* position, const char** furthest) : position_(position), furthest_(furthest) {}
  reference operator*() const { return *position_; }
  CountingIterator& operator++() {
    *furthest_ = ++position_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return position_ == other.position_; }

 private:
  const char* position_;
  const char** furthest_;
};

/// Builds a Json from the parser's events. Returns only if the text is right: every fault is thrown.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view text, std::string_view origin, LargeIntegers large_integers,
          std::vector<std::pair<std::size_t, double>> replaced)
      : text_(text),
        origin_(origin),
        large_integers_(large_integers),
        replaced_(std::move(replaced)),
        furthest_(text.data()) {}

  Json parse() {
    const char* begin = text_.data();
    const char* end = begin + text_.size();
    nlohmann::json::sax_parse(CountingIterator(begin, &furthest_), CountingIterator(end, &furthest_), this);
    return std::move(root_);
  }

  bool null() override { return add(Json()); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(std::int64_t value) override { return add_number(Json(value)); }

  bool number_unsigned(std::uint64_t value) override {
    if (value <= std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
      return add_number(Json(static_cast<std::int64_t>(value)));
    }
    return add_large_integer(static_cast<double>(value), std::to_string(value));
  }

  bool number_float(double value, const std::string& text) override {
    // The parser gives integers beyond 64 bits as floating point numbers.
    if (text.find_first_of(".eE") == std::string::npos) return add_large_integer(value, text);
    return add_number(Json(value));
  }

  bool string(std::string& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }  // never in JSON text

  bool start_object(std::size_t) override { return open(Json(Json::Object{})); }
  bool start_array(std::size_t) override { return open(Json(Json::Array{})); }
  bool end_array() override { return close(); }
  bool end_object() override {
    refuse_duplicate_keys(open_.back().value.object());
    return close();
  }

  bool key(std::string& value) override {
    open_.back().key = std::move(value);
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& exception) override {
    fail(reason_of(exception.what()));
  }

 private:
  struct Open {
    Json value;
    std::string key;  ///< of the member that comes next, in an object
  };

  [[noreturn]] void fail(const std::string& reason) const {
    std::string_view before = text_.substr(0, static_cast<std::size_t>(furthest_ - text_.data()));
    // The end of a number is only known at the character behind it: do not point to the next line.
    if (before.ends_with('\n')) before.remove_suffix(1);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
    const std::size_t column = std::max<std::size_t>(before.size() - line_begin, 1);
    throw Error(ErrorKind::InvalidCheckpoint,
                origin_ + ":" + std::to_string(line) + ":" + std::to_string(column) + ": invalid JSON: " + reason);
  }

  /// The library's message without its number and position.
  static std::string reason_of(std::string_view message) {
    const std::size_t prefix = message.find("] ");
    if (prefix != std::string_view::npos) message.remove_prefix(prefix + 2);
    if (message.starts_with("parse error")) {
      const std::size_t colon = message.find(": ");
      if (colon != std::string_view::npos) message.remove_prefix(colon + 2);
    }
    return std::string(message);
  }

  bool add(Json&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Open& parent = open_.back(); parent.value.is_object()) {
      parent.value.object().emplace_back(std::move(parent.key), std::move(value));
    } else {
      parent.value.array().push_back(std::move(value));
    }
    return true;
  }

  bool add_number(Json value) {
    if (next_replaced_ < replaced_.size() && replaced_[next_replaced_].first == numbers_) {
      value = Json(replaced_[next_replaced_].second);
      ++next_replaced_;
    }
    ++numbers_;
    return add(std::move(value));
  }

  bool add_large_integer(double value, const std::string& text) {
    if (large_integers_ == LargeIntegers::Reject) fail("the integer " + text + " does not fit into 64 bits");
    return add_number(Json(value));
  }

  bool open(Json value) {
    if (open_.size() == kMaximumDepth) {
      fail("nested deeper than " + std::to_string(kMaximumDepth) + " levels");
    }
    open_.push_back({std::move(value), {}});
    return true;
  }

  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(value));
  }

  void refuse_duplicate_keys(const Json::Object& members) const {
    std::unordered_set<std::string_view> keys;
    keys.reserve(members.size());
    for (const auto& [key, value] : members) {
      if (!keys.insert(key).second) fail("the object that ends here has two members " + quote_json(key));
    }
  }

  std::string_view text_;
  std::string origin_;
  LargeIntegers large_integers_;
  std::vector<std::pair<std::size_t, double>> replaced_;
  std::size_t next_replaced_ = 0;
  std::size_t numbers_ = 0;
  const char* furthest_;
  std::vector<Open> open_;
  Json root_;
};

// ---- Writer -------------------------------------------------------------------------------------------------------

void append_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (const auto code = static_cast<unsigned char>(c); code < 0x20) {
          out += "\\u00";
          out += kHexDigits[code >> 4];
          out += kHexDigits[code & 15U];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

/// As Python's repr: the fewest digits that read back as the same number, with an exponent below 1e-4 and from 1e16.
void append_double(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
    return;
  }
  if (std::signbit(value)) out += '-';
  value = std::fabs(value);
  if (std::isinf(value)) {
    out += "Infinity";
    return;
  }

  std::array<char, 32> buffer;
  const char* end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific).ptr;
  const std::string_view scientific(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t mark = scientific.find('e');
  int exponent = 0;
  // from_chars takes no plus sign.
  std::from_chars(scientific.data() + mark + (scientific[mark + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) {
    out += scientific;  // to_chars gives the exponent a sign and two digits, as Python does
    return;
  }

  std::string digits;
  for (const char c : scientific.substr(0, mark)) {
    if (c != '.') digits += c;
  }
  if (exponent < 0) {
    out += "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    return;
  }
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) digits.append(whole + 1 - digits.size(), '0');
  out += digits.substr(0, whole) + "." + digits.substr(whole);
}

class Writer {
 public:
  explicit Writer(int indent) : indent_(indent) {}

  std::string write(const Json& value) {
    append(value, 0);
    return std::move(out_);
  }

 private:
  void append(const Json& value, int level) {
    if (value.is_null()) {
      out_ += "null";
    } else if (value.is_boolean()) {
      out_ += value.boolean() ? "true" : "false";
    } else if (value.is_integer()) {
      out_ += std::to_string(value.integer());
    } else if (value.is_number()) {
      append_double(out_, value.number());
    } else if (value.is_string()) {
      append_string(out_, value.string());
    } else if (value.is_array()) {
      append_items(value.array(), "[]", level, [&](const Json& item) { append(item, level + 1); });
    } else {
      append_items(value.object(), "{}", level, [&](const Json::Member& member) {
        append_string(out_, member.first);
        out_ += ": ";
        append(member.second, level + 1);
      });
    }
  }

  template <typename Items, typename AppendItem>
  void append_items(const Items& items, std::string_view brackets, int level, AppendItem append_item) {
    out_ += brackets[0];
    bool first = true;
    for (const auto& item : items) {
      if (!first) out_ += indent_ < 0 ? ", " : ",";
      first = false;
      append_line_break(level + 1);
      append_item(item);
    }
    if (!items.empty()) append_line_break(level);
    out_ += brackets[1];
  }

  void append_line_break(int level) {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(indent_) * static_cast<std::size_t>(level), ' ');
  }

  int indent_;
  std::string out_;
};

}  // namespace

double Json::number() const { return is_integer() ? static_cast<double>(integer()) : std::get<double>(value_); }

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : object()) {
    if (name == key) return &value;
  }
  return nullptr;
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  for (auto& [name, present] : object()) {
    if (name == key) return present = std::move(value);
  }
  return object().emplace_back(std::string(key), std::move(value)).second;
}

void Json::erase(std::string_view key) {
  if (!is_object()) return;
  std::erase_if(object(), [&](const Member& member) { return member.first == key; });
}

Json parse_json(std::string_view text, std::string_view origin, LargeIntegers large_integers) {
  // Rare enough to leave the common case without a copy of the text.
  if (text.find("NaN") == std::string_view::npos && text.find("Infinity") == std::string_view::npos) {
    return Builder(text, origin, large_integers, {}).parse();
  }
  StandardText standard = replace_extra_literals(text);
  return Builder(standard.text, origin, large_integers, std::move(standard.replaced)).parse();
}

std::string dump_json(const Json& value, int indent) { return Writer(indent).write(value); }

std::string quote_json(std::string_view text) {
  std::string quoted;
  append_string(quoted, text);
  return quoted;
}

}  // namespace onnxport
