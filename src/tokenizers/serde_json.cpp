#include "tokenizers/serde_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

#include "onnxport/error.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

// ---- Reader ---------------------------------------------------------------------------------------------------------

constexpr std::size_t kMaximumDepth = 128;
/// Objects up to this size are checked for duplicate keys: each key with each.
constexpr std::size_t kCheckedObject = 64;

/// 10 to the power of 0 to 308.
const std::array<double, 309>& powers_of_ten() {
  static const std::array<double, 309> powers = [] {
    std::array<double, 309> result{};
    for (std::size_t i = 0; i < result.size(); ++i) {
      const std::string text = "1e" + std::to_string(i);
      std::from_chars(text.data(), text.data() + text.size(), result[i]);
    }
    return result;
  }();
  return powers;
}

class Reader {
 public:
  Reader(std::string_view text, std::string_view origin) : text_(text), origin_(origin), position_(text.data()) {}

  Json read() {
    require_utf8();
    Json value = read_value(0);
    skip_spaces();
    if (position_ != end()) fail("text behind the end of the value");
    return value;
  }

 private:
  const char* end() const { return text_.data() + text_.size(); }
  bool at_end() const { return position_ == end(); }

  [[noreturn]] void fail(const std::string& reason) const {
    const auto offset = static_cast<std::size_t>(position_ - text_.data());
    const std::string_view before = text_.substr(0, offset);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
    throw Error(ErrorKind::InvalidTokenizer, std::string(origin_) + ":" + std::to_string(line) + ":" +
                                                 std::to_string(offset - line_begin + 1) + ": invalid JSON: " + reason);
  }

  void require_utf8() {
    std::size_t position = 0;
    if (is_valid_utf8(text_, position)) return;
    position_ = text_.data() + position;
    fail("no UTF-8");
  }

  void skip_spaces() {
    while (!at_end() && (*position_ == ' ' || *position_ == '\n' || *position_ == '\r' || *position_ == '\t'))
      ++position_;
  }

  /// The next character that is no space, which is left where it is.
  char peek() {
    skip_spaces();
    if (at_end()) fail("the text ends too early");
    return *position_;
  }

  void expect(char wanted) {
    if (peek() != wanted) fail(std::string("expected ") + wanted);
    ++position_;
  }

  /// Whether another element follows in an array or object that `close` ends; takes the comma or `close`.
  bool has_next(char close) {
    const char c = peek();
    if (c != ',' && c != close) fail(std::string("expected , or ") + close);
    ++position_;
    return c == ',';
  }

  Json read_value(std::size_t depth) {
    switch (peek()) {
      case '{':
        return read_object(depth + 1);
      case '[':
        return read_array(depth + 1);
      case '"':
        return read_string();
      case 't':
        return read_literal("true", true);
      case 'f':
        return read_literal("false", false);
      case 'n':
        return read_literal("null", nullptr);
      default:
        return read_number();
    }
  }

  Json read_literal(std::string_view literal, Json value) {
    if (!text_.substr(static_cast<std::size_t>(position_ - text_.data())).starts_with(literal)) fail("unknown value");
    position_ += literal.size();
    return value;
  }

  void enter(std::size_t depth) {
    if (depth > kMaximumDepth) fail("nested deeper than " + std::to_string(kMaximumDepth) + " levels");
    ++position_;
  }

  Json read_array(std::size_t depth) {
    enter(depth);
    Json::Array array;
    if (peek() == ']') {
      ++position_;
      return array;
    }
    do array.push_back(read_value(depth));
    while (has_next(']'));
    return array;
  }

  Json read_object(std::size_t depth) {
    enter(depth);
    Json::Object object;
    if (peek() == '}') {
      ++position_;
      return object;
    }
    do {
      if (peek() != '"') fail("expected a key");
      std::string key = read_string();
      const bool is_known =
          object.size() < kCheckedObject &&
          std::any_of(object.begin(), object.end(), [&](const auto& member) { return member.first == key; });
      if (is_known) fail("a second member " + quote_json(key));
      expect(':');
      object.emplace_back(std::move(key), Json());
      object.back().second = read_value(depth);
    } while (has_next('}'));
    return object;
  }

  std::string read_string() {
    const char* begin = ++position_;
    const auto is_plain = [](char c) { return c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20; };
    while (!at_end() && is_plain(*position_)) ++position_;
    if (!at_end() && *position_ == '"') return {begin, position_++};
    std::string value(begin, position_);
    while (true) {
      if (at_end()) fail("a string does not end");
      const char c = *position_;
      if (c == '"') break;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      ++position_;
      if (c == '\\') {
        read_escape(value);
      } else {
        value += c;
      }
    }
    ++position_;
    return value;
  }

  void read_escape(std::string& value) {
    constexpr std::string_view kEscapes = "\"\\/bfnrt";
    constexpr std::string_view kCharacters = "\"\\/\b\f\n\r\t";
    if (at_end()) fail("a string does not end");
    const char c = *position_++;
    if (c == 'u') {
      char32_t code = read_hex();
      if (code >= 0xDC00 && code < 0xE000) fail("half of a surrogate pair");
      if (code >= 0xD800 && code < 0xDC00) {
        if (end() - position_ < 2 || position_[0] != '\\' || position_[1] != 'u') fail("half of a surrogate pair");
        position_ += 2;
        const char32_t low = read_hex();
        if (low < 0xDC00 || low >= 0xE000) fail("half of a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      append_utf8(value, code);
      return;
    }
    const std::size_t number = kEscapes.find(c);
    if (number == std::string_view::npos) fail("an unknown escape in a string");
    value += kCharacters[number];
  }

  char32_t read_hex() {
    std::uint32_t code = 0;
    if (end() - position_ < 4) fail("a string does not end");
    const auto [stop, error] = std::from_chars(position_, position_ + 4, code, 16);
    if (error != std::errc{} || stop != position_ + 4) fail("expected four hexadecimal digits");
    position_ += 4;
    return code;
  }

  bool at_digit() const { return !at_end() && *position_ >= '0' && *position_ <= '9'; }

  Json read_number() {
    const char* const begin = position_;
    const bool is_negative = *position_ == '-';
    if (is_negative) ++position_;
    if (!at_digit()) fail("unknown value");
    // As many digits as fit count; the others only move the point.
    constexpr std::uint64_t kMaximum = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t significand = 0;
    std::int64_t exponent = 0;
    bool fits = true;
    const auto add_digit = [&] {
      const auto digit = static_cast<std::uint64_t>(*position_++ - '0');
      fits = fits && significand <= (kMaximum - digit) / 10;
      if (fits) significand = significand * 10 + digit;
      return fits;
    };
    if (*position_ == '0') {
      ++position_;
      if (at_digit()) fail("a number that begins with 0");
    }
    while (at_digit()) exponent += add_digit() ? 0 : 1;
    if (at_end() || (*position_ != '.' && *position_ != 'e' && *position_ != 'E')) {
      std::int64_t integer = 0;
      if (std::from_chars(begin, position_, integer).ec != std::errc{}) fail("the integer does not fit into 64 bits");
      return integer;
    }
    if (*position_ == '.') {
      ++position_;
      if (!at_digit()) fail("expected a digit behind the point");
      while (at_digit()) exponent -= add_digit() ? 1 : 0;
    }
    if (!at_end() && (*position_ == 'e' || *position_ == 'E')) {
      ++position_;
      const bool is_small = !at_end() && *position_ == '-';
      if (!at_end() && (*position_ == '-' || *position_ == '+')) ++position_;
      if (!at_digit()) fail("expected a digit in the exponent");
      std::int64_t value = 0;
      while (at_digit()) value = std::min<std::int64_t>(value * 10 + (*position_++ - '0'), 1'000'000);
      exponent += is_small ? -value : value;
    }
    const double number = scale(significand, exponent);
    return is_negative ? -number : number;
  }

  double scale(std::uint64_t significand, std::int64_t exponent) const {
    auto number = static_cast<double>(significand);
    const std::array<double, 309>& powers = powers_of_ten();
    const auto last = static_cast<std::int64_t>(powers.size()) - 1;
    while (exponent < -last && number != 0) {
      number /= 1e308;
      exponent += last;
    }
    if (number == 0) return 0;
    if (exponent > last) fail("the number is too large");
    number = exponent >= 0 ? number * powers[static_cast<std::size_t>(exponent)]
                           : number / powers[static_cast<std::size_t>(-exponent)];
    if (std::isinf(number)) fail("the number is too large");
    return number;
  }

  std::string_view text_;
  std::string_view origin_;
  const char* position_;
};

// ---- Writer ---------------------------------------------------------------------------------------------------------

/// The fewest digits that read back as the same number, with an exponent below 1e-5 and from 1e16.
void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> buffer;
  const auto result =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::fabs(value), std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(result.ptr - buffer.data()));
  const std::size_t mark = text.find('e');
  std::string digits;
  for (const char c : text.substr(0, mark)) {
    if (c != '.') digits += c;
  }
  int exponent = 0;
  std::from_chars(text.data() + mark + (text[mark + 1] == '+' ? 2 : 1), result.ptr, exponent);

  if (std::signbit(value)) out += '-';
  const auto size = static_cast<int>(digits.size());
  if (exponent < -5 || exponent >= 16) {
    out += digits[0];
    if (size > 1) out += "." + digits.substr(1);
    out += "e" + std::to_string(exponent);
  } else if (exponent < 0) {
    out += "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  } else if (size <= exponent + 1) {
    out += digits + std::string(static_cast<std::size_t>(exponent + 1 - size), '0') + ".0";
  } else {
    out += digits.substr(0, static_cast<std::size_t>(exponent + 1)) + "." +
           digits.substr(static_cast<std::size_t>(exponent + 1));
  }
}

class Writer {
 public:
  explicit Writer(bool pretty) : pretty_(pretty) {}

  std::string write(const Json& value) {
    append(value, 0);
    return std::move(out_);
  }

 private:
  void append(const Json& value, std::size_t level) {
    if (value.is_null()) {
      out_ += "null";
    } else if (value.is_boolean()) {
      out_ += value.boolean() ? "true" : "false";
    } else if (value.is_integer()) {
      out_ += std::to_string(value.integer());
    } else if (value.is_number()) {
      append_double(out_, value.number());
    } else if (value.is_string()) {
      out_ += quote_json(value.string());
    } else if (value.is_array()) {
      append_items(value.array(), "[]", level, [&](const Json& item) { append(item, level + 1); });
    } else {
      append_items(value.object(), "{}", level, [&](const Json::Member& member) {
        out_ += quote_json(member.first);
        out_ += pretty_ ? ": " : ":";
        append(member.second, level + 1);
      });
    }
  }

  template <typename Items, typename AppendItem>
  void append_items(const Items& items, std::string_view brackets, std::size_t level, AppendItem append_item) {
    out_ += brackets[0];
    bool is_first = true;
    for (const auto& item : items) {
      if (!is_first) out_ += ',';
      is_first = false;
      append_line_break(level + 1);
      append_item(item);
    }
    if (!items.empty()) append_line_break(level);
    out_ += brackets[1];
  }

  void append_line_break(std::size_t level) {
    if (!pretty_) return;
    out_ += '\n';
    out_.append(2 * level, ' ');
  }

  bool pretty_;
  std::string out_;
};

}  // namespace

Json read_serde_json(std::string_view text, std::string_view origin) { return Reader(text, origin).read(); }

std::string write_serde_json(const Json& value, bool pretty) { return Writer(pretty).write(value); }

}  // namespace onnxport::tokenizers
