// Text from values by a pattern: the operator %, str.format() and strftime().
#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include <fmt/format.h>

#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/text.h"
#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {
namespace {

// ---- Numbers --------------------------------------------------------------------------------------------------------

/// printf's own result for one float; `conversion` is one of e, f, g in either case.
std::string print_float(Runtime& runtime, double value, char conversion, std::int64_t precision, bool is_alternate) {
  constexpr std::int64_t kMaximumPrecision = 100'000;
  if (precision > kMaximumPrecision) runtime.fail(fmt::format("the precision {} is too big", precision));
  const std::string pattern = fmt::format("%{}.*{}", is_alternate ? "#" : "", conversion);
  const int size = std::snprintf(nullptr, 0, pattern.c_str(), static_cast<int>(precision), value);
  std::string text(static_cast<std::size_t>(size) + 1, '\0');
  std::snprintf(text.data(), text.size(), pattern.c_str(), static_cast<int>(precision), value);
  text.pop_back();
  return text;
}

/// The magnitude of an integer in another base, without a prefix.
std::string print_integer(std::int64_t value, char type) {
  const std::uint64_t magnitude = value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  switch (type) {
    case 'x':
      return fmt::format("{:x}", magnitude);
    case 'X':
      return fmt::format("{:X}", magnitude);
    case 'o':
      return fmt::format("{:o}", magnitude);
    case 'b':
      return fmt::format("{:b}", magnitude);
    default:
      return fmt::format("{}", magnitude);
  }
}

/// int(value) of a number.
std::int64_t truncated(Runtime& runtime, const Value& value) {
  if (value.is_integral()) return value.integer();
  constexpr double kTwoTo63 = 9223372036854775808.0;
  const double whole = std::trunc(value.number());
  if (!(whole >= -kTwoTo63 && whole < kTwoTo63)) runtime.fail("cannot convert a float this large to an integer");
  return static_cast<std::int64_t>(whole);
}

/// Text holds no halves of surrogate pairs here, though in Python it can.
void check_character(Runtime& runtime, std::int64_t value) {
  if (value < 0 || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
    runtime.fail(fmt::format("there is no character {}", value));
}

std::string ascii_repr(Runtime& runtime, const Value& value) {
  std::string ascii;
  const std::string text = repr(runtime, value);
  for (std::size_t position = 0; position < text.size();) {
    const char32_t code_point = next_character(text, position);
    if (code_point < 0x80) {
      ascii += static_cast<char>(code_point);
    } else {
      ascii += code_point < 0x100     ? fmt::format("\\x{:02x}", static_cast<std::uint32_t>(code_point))
               : code_point < 0x10000 ? fmt::format("\\u{:04x}", static_cast<std::uint32_t>(code_point))
                                      : fmt::format("\\U{:08x}", static_cast<std::uint32_t>(code_point));
    }
  }
  return ascii;
}

/// The first `count` characters.
std::string_view first_characters(std::string_view text, std::int64_t count) {
  return text.substr(0, byte_offset(text, static_cast<std::size_t>(count)));
}

std::size_t missing_width(Runtime& runtime, std::string_view text, std::int64_t width) {
  const std::size_t length = count_characters(text);
  if (width <= 0 || static_cast<std::size_t>(width) <= length) return 0;
  runtime.check_size(static_cast<std::size_t>(width), 4);
  runtime.work(static_cast<std::size_t>(width));
  return static_cast<std::size_t>(width) - length;
}

// ---- text % values --------------------------------------------------------------------------------------------------

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), format_(format), text_(format.text()), values_(values) {}

  Value run() {
    while (position_ < text_.size()) {
      runtime_.step();
      if (text_[position_] != '%') {
        const std::size_t end = std::min(text_.find('%', position_), text_.size());
        out_ += text_.substr(position_, end - position_);
        position_ = end;
        continue;
      }
      ++position_;
      convert();
      runtime_.check_size(out_.size());
    }
    const bool may_be_left = !values_.is(Kind::Tuple) && !values_.is_string() && is_mapping();
    const std::size_t given = values_.is(Kind::Tuple) ? values_.items().size() : 1;
    if (!may_be_left && next_ < given) runtime_.fail("not all arguments converted during string formatting");
    return runtime_.string(std::move(out_), format_.as<StringObject>().is_markup);
  }

 private:
  struct Conversion {
    bool is_left = false;
    bool is_alternate = false;
    bool is_zero = false;
    char sign = 0;  ///< '+', ' ' or none
    std::int64_t width = 0;
    std::int64_t precision = -1;
  };

  /// What PyMapping_Check says: has a []
  bool is_mapping() const {
    switch (values_.kind()) {
      case Kind::Dict:
      case Kind::List:
      case Kind::Range:
      case Kind::Undefined:
        return true;
      default:
        return false;
    }
  }

  char current() {
    if (position_ >= text_.size()) runtime_.fail("incomplete format");
    return text_[position_];
  }

  const Value& next_value() {
    if (keyed_) return *keyed_;
    if (values_.is(Kind::Tuple)) {
      if (next_ >= values_.items().size()) runtime_.fail("not enough arguments for format string");
      return values_.items()[next_++];
    }
    if (next_++ > 0) runtime_.fail("not enough arguments for format string");
    return values_;
  }

  std::int64_t read_number() {
    if (current() == '*') {
      ++position_;
      return to_integer(runtime_, next_value(), "* of a format");
    }
    std::int64_t number = 0;
    while (position_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[position_])) != 0) {
      number = number * 10 + (text_[position_++] - '0');
      if (number > 1'000'000'000) runtime_.fail("the width or precision of a format is too big");
    }
    return number;
  }

  void read_key() {
    keyed_.reset();
    if (current() != '(') return;
    if (!values_.is(Kind::Dict)) runtime_.fail("format requires a mapping");
    int depth = 1;
    const std::size_t begin = ++position_;
    for (; depth > 0; ++position_) depth += current() == '(' ? 1 : current() == ')' ? -1 : 0;
    const std::string_view key = std::string_view(text_).substr(begin, position_ - begin - 1);
    const Value* found = values_.as<DictObject>().dict.find(runtime_, key);
    if (found == nullptr) runtime_.fail(fmt::format("the format's key '{}' is not in the dict", key));
    keyed_ = *found;
  }

  void convert() {
    read_key();
    Conversion conversion;
    for (bool is_flag = true; is_flag;) {
      switch (current()) {
        case '-':
          conversion.is_left = true;
          break;
        case '+':
          conversion.sign = '+';
          break;
        case ' ':
          if (conversion.sign == 0) conversion.sign = ' ';
          break;
        case '#':
          conversion.is_alternate = true;
          break;
        case '0':
          conversion.is_zero = true;
          break;
        default:
          is_flag = false;
          continue;
      }
      ++position_;
    }
    conversion.width = read_number();
    if (conversion.width < 0) {
      conversion.is_left = true;
      conversion.width = -std::max(conversion.width, std::int64_t{-1'000'000'000});
    }
    if (current() == '.') {
      ++position_;
      conversion.precision = position_ < text_.size() ? std::max<std::int64_t>(read_number(), 0) : 0;
    }
    while (current() == 'l' || current() == 'h' || current() == 'L') ++position_;
    const char type = current();
    ++position_;
    if (type == '%') {
      out_ += '%';
      return;
    }
    append(conversion, type);
  }

  void append(const Conversion& conversion, char type) {
    std::string sign;
    std::string body;
    switch (type) {
      case 's':
      case 'r':
      case 'a': {
        const Value& value = next_value();
        body = type == 's'   ? to_text(runtime_, value)
               : type == 'r' ? repr(runtime_, value)
                             : ascii_repr(runtime_, value);
        if (format_.as<StringObject>().is_markup && !(value.is_string() && value.as<StringObject>().is_markup))
          body = escape_html(body);
        if (conversion.precision >= 0) body = first_characters(body, conversion.precision);
        break;
      }
      case 'c':
        body = character(next_value());
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        append_integer(conversion, type, next_value(), sign, body);
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        append_float(conversion, type, next_value(), sign, body);
        break;
      default:
        runtime_.fail(fmt::format("unsupported format character '{}'", std::string_view(&type, 1)));
    }
    const bool is_number = type != 's' && type != 'r' && type != 'a' && type != 'c';
    const std::size_t padding = missing_width(runtime_, sign + body, conversion.width);
    if (conversion.is_left) {
      out_ += sign + body + std::string(padding, ' ');
    } else if (conversion.is_zero && is_number) {
      out_ += sign + std::string(padding, '0') + body;
    } else {
      out_ += std::string(padding, ' ') + sign + body;
    }
  }

  std::string character(const Value& value) {
    std::string result;
    if (value.is_integral()) {
      check_character(runtime_, value.integer());
      append_utf8(result, static_cast<char32_t>(value.integer()));
      return result;
    }
    if (!value.is_string() || value.as<StringObject>().length != 1) runtime_.fail("%c requires int or char");
    return value.text();
  }

  void append_integer(const Conversion& conversion, char type, const Value& value, std::string& sign,
                      std::string& body) {
    const bool is_decimal = type == 'd' || type == 'i' || type == 'u';
    if (is_decimal ? !value.is_number() : !value.is_integral())
      runtime_.fail(fmt::format("%{} format: a{} is required, not {}", type, is_decimal ? " real number" : "n integer",
                                type_name(value)));
    const std::int64_t number = truncated(runtime_, value);
    body = print_integer(number, type);
    if (conversion.precision > static_cast<std::int64_t>(body.size())) {
      runtime_.check_size(static_cast<std::size_t>(conversion.precision));
      body.insert(0, static_cast<std::size_t>(conversion.precision) - body.size(), '0');
    }
    if (number < 0) {
      sign = "-";
    } else if (conversion.sign != 0) {
      sign = conversion.sign;
    }
    if (conversion.is_alternate && !is_decimal) sign += {'0', type};
  }

  void append_float(const Conversion& conversion, char type, const Value& value, std::string& sign, std::string& body) {
    if (!value.is_number()) runtime_.fail(fmt::format("must be real number, not {}", type_name(value)));
    const double number = value.number();
    body = print_float(runtime_, std::fabs(number), type, conversion.precision < 0 ? 6 : conversion.precision,
                       conversion.is_alternate);
    if (std::signbit(number) && !std::isnan(number)) {
      sign = "-";
    } else if (conversion.sign != 0) {
      sign = conversion.sign;
    }
  }

  Runtime& runtime_;
  const Value& format_;
  const std::string& text_;
  const Value& values_;
  std::size_t position_ = 0;
  std::size_t next_ = 0;
  std::optional<Value> keyed_;
  std::string out_;
};

// ---- text.format(...) -----------------------------------------------------------------------------------------------

/// "[[fill]align][sign][z][#][0][width][grouping][.precision][type]"
struct FormatSpecification {
  std::string fill = " ";
  char align = 0;
  char sign = '-';
  bool is_alternate = false;
  std::int64_t width = 0;
  char grouping = 0;
  std::int64_t precision = -1;
  char type = 0;
};

bool is_align(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

FormatSpecification parse_specification(Runtime& runtime, std::string_view text) {
  FormatSpecification specification;
  std::size_t position = 0;
  const auto is_at = [&](char c) { return position < text.size() && text[position] == c; };
  const auto read_number = [&] {
    std::int64_t number = 0;
    while (position < text.size() && std::isdigit(static_cast<unsigned char>(text[position])) != 0) {
      number = number * 10 + (text[position++] - '0');
      if (number > 1'000'000'000) runtime.fail("the width or precision of a format is too big");
    }
    return number;
  };
  if (!text.empty()) {
    std::size_t after = 0;
    next_character(text, after);
    if (after < text.size() && is_align(text[after])) {
      specification.fill = text.substr(0, after);
      specification.align = text[after];
      position = after + 1;
    } else if (is_align(text[0])) {
      specification.align = text[0];
      position = 1;
    }
  }
  if (is_at('+') || is_at('-') || is_at(' ')) specification.sign = text[position++];
  if (is_at('#')) {
    specification.is_alternate = true;
    ++position;
  }
  if (is_at('0')) {
    if (specification.align == 0) {
      specification.fill = "0";
      specification.align = '=';
    }
    ++position;
  }
  specification.width = read_number();
  if (is_at(',') || is_at('_')) specification.grouping = text[position++];
  if (is_at('.')) {
    ++position;
    if (position >= text.size() || std::isdigit(static_cast<unsigned char>(text[position])) == 0)
      runtime.fail("Format specifier missing precision");
    specification.precision = read_number();
  }
  if (position < text.size()) specification.type = text[position++];
  if (position < text.size()) runtime.fail(fmt::format("invalid format specifier '{}'", text));
  return specification;
}

/// Digits with a separator after every `group` of them.
std::string grouped(std::string digits, char separator, std::size_t group) {
  for (std::size_t at = digits.size(); at > group; at -= group) digits.insert(at - group, 1, separator);
  return digits;
}

std::string pad(Runtime& runtime, const FormatSpecification& specification, const std::string& sign,
                const std::string& body, char default_align) {
  const std::size_t padding = missing_width(runtime, sign + body, specification.width);
  const auto fill = [&](std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += specification.fill;
    return text;
  };
  switch (specification.align != 0 ? specification.align : default_align) {
    case '<':
      return sign + body + fill(padding);
    case '^':
      return fill(padding / 2) + sign + body + fill(padding - padding / 2);
    case '=':
      return sign + fill(padding) + body;
    default:
      return fill(padding) + sign + body;
  }
}

/// A number of a whole part, to be grouped, and what stands behind it.
std::string pad_number(Runtime& runtime, const FormatSpecification& specification, std::string sign, std::string whole,
                       const std::string& rest) {
  if (specification.grouping != 0) {
    const bool is_binary = specification.type == 'b' || specification.type == 'o' || specification.type == 'x' ||
                           specification.type == 'X';
    const std::size_t group = is_binary ? 4 : 3;
    const bool is_zero_filled = specification.align == '=' && specification.fill == "0";
    std::string digits = whole;
    if (is_zero_filled) {
      // Zeros are grouped as digits are.
      runtime.check_size(static_cast<std::size_t>(specification.width));
      const auto room = specification.width - static_cast<std::int64_t>(sign.size() + rest.size());
      const auto grouped_size = [&](std::size_t count) {
        return static_cast<std::int64_t>(count + (count - 1) / group);
      };
      std::size_t count = std::max<std::size_t>(digits.size(), 1);
      while (grouped_size(count) < room) ++count;
      digits.insert(0, count - digits.size(), '0');
    }
    whole = grouped(std::move(digits), specification.grouping, group);
  }
  return pad(runtime, specification, sign, whole + rest, '>');
}

std::string sign_of(bool is_negative, const FormatSpecification& specification) {
  if (is_negative) return "-";
  return specification.sign == '-' ? "" : std::string(1, specification.sign);
}

/// A float without a type but with a precision: as g, but always recognizable as a float.
std::string general_float(Runtime& runtime, double value, std::int64_t precision) {
  const std::int64_t digits = std::max<std::int64_t>(precision, 1);
  std::string scientific = print_float(runtime, value, 'e', digits - 1, false);
  const std::size_t mark = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(mark + 1));
  const auto without_zeros = [](std::string text) {
    if (text.find('.') != std::string::npos) {
      text.erase(text.find_last_not_of('0') + 1);
      if (text.ends_with('.')) text.pop_back();
    }
    return text;
  };
  if (exponent + 1 <= -4 || exponent + 1 > digits - 1)
    return without_zeros(scientific.substr(0, mark)) + scientific.substr(mark);
  std::string fixed =
      without_zeros(print_float(runtime, value, 'f', std::max<std::int64_t>(digits - 1 - exponent, 0), false));
  return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}

std::string format_float_value(Runtime& runtime, double value, const FormatSpecification& specification) {
  const double magnitude = std::fabs(value);
  const bool is_negative = std::signbit(value) && !std::isnan(value);
  std::string text;
  const std::int64_t precision = specification.precision < 0 ? 6 : specification.precision;
  if (!std::isfinite(value)) {
    text = std::isnan(value) ? "nan" : "inf";
    if (std::isupper(static_cast<unsigned char>(specification.type)) != 0) text = to_upper(text);
    if (specification.type == '%') text += '%';
    return pad(runtime, specification, sign_of(is_negative, specification), text, '>');
  }
  switch (specification.type) {
    case 0:
      text = specification.precision < 0 ? float_repr(magnitude) : general_float(runtime, magnitude, precision);
      break;
    case 'n':
      text = print_float(runtime, magnitude, 'g', precision, specification.is_alternate);
      break;
    case '%':
      text = print_float(runtime, magnitude * 100, 'f', precision, specification.is_alternate) + "%";
      break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      text = print_float(runtime, magnitude, specification.type, precision, specification.is_alternate);
      break;
    default:
      runtime.fail(
          fmt::format("Unknown format code '{}' for object of type 'float'", std::string_view(&specification.type, 1)));
  }
  const std::size_t whole = std::min(text.find_first_not_of("0123456789"), text.size());
  return pad_number(runtime, specification, sign_of(is_negative, specification), text.substr(0, whole),
                    text.substr(whole));
}

std::string format_integer_value(Runtime& runtime, std::int64_t value, const FormatSpecification& specification) {
  switch (specification.type) {
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case '%':
      return format_float_value(runtime, static_cast<double>(value), specification);
    case 0:
    case 'd':
    case 'n':
    case 'x':
    case 'X':
    case 'o':
    case 'b':
    case 'c':
      break;
    default:
      runtime.fail(
          fmt::format("Unknown format code '{}' for object of type 'int'", std::string_view(&specification.type, 1)));
  }
  if (specification.precision >= 0) runtime.fail("Precision not allowed in integer format specifier");
  if (specification.type == 'c') {
    check_character(runtime, value);
    std::string character;
    append_utf8(character, static_cast<char32_t>(value));
    return pad(runtime, specification, "", character, '<');
  }
  std::string sign = sign_of(value < 0, specification);
  const bool has_prefix = specification.is_alternate && std::string_view("xXob").find(specification.type) < 4;
  if (has_prefix) sign += {'0', specification.type};
  return pad_number(runtime, specification, std::move(sign), print_integer(value, specification.type), "");
}

/// format(value, specification)
std::string format_value(Runtime& runtime, const Value& value, std::string_view text) {
  if (text.empty()) return to_text(runtime, value);
  const FormatSpecification specification = parse_specification(runtime, text);
  if (value.is_integral()) return format_integer_value(runtime, value.integer(), specification);
  if (value.is(Kind::Float)) return format_float_value(runtime, value.number(), specification);
  if (!value.is_string())
    runtime.fail(fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
  if (specification.type != 0 && specification.type != 's')
    runtime.fail(
        fmt::format("Unknown format code '{}' for object of type 'str'", std::string_view(&specification.type, 1)));
  if (specification.align == '=' && specification.fill != "0")
    runtime.fail("'=' alignment not allowed in string format specifier");
  if (specification.sign != '-' || specification.grouping != 0 || specification.is_alternate)
    runtime.fail("sign, grouping and alternate form are not allowed in string format specifier");
  std::string_view body = value.text();
  if (specification.precision >= 0) body = first_characters(body, specification.precision);
  FormatSpecification adjusted = specification;
  if (adjusted.align == '=') adjusted.align = '<';  // a leading 0 of the width only fills
  return pad(runtime, adjusted, "", std::string(body), '<');
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments, bool is_markup)
      : runtime_(runtime), arguments_(arguments), is_markup_(is_markup) {}

  std::string run(std::string_view text, int depth = 2) {
    if (depth < 0) runtime_.fail("Max string recursion exceeded");
    std::string out;
    for (std::size_t position = 0; position < text.size();) {
      runtime_.step();
      const char c = text[position];
      if (c == '}') {
        if (position + 1 >= text.size() || text[position + 1] != '}')
          runtime_.fail("Single '}' encountered in format string");
        out += '}';
        position += 2;
      } else if (c == '{' && position + 1 < text.size() && text[position + 1] == '{') {
        out += '{';
        position += 2;
      } else if (c == '{') {
        const std::size_t end = find_end(text, position + 1);
        out += field(text.substr(position + 1, end - position - 1), depth);
        position = end + 1;
      } else {
        const std::size_t end = std::min(text.find_first_of("{}", position), text.size());
        out += text.substr(position, end - position);
        position = end;
      }
      runtime_.check_size(out.size());
    }
    return out;
  }

 private:
  std::size_t find_end(std::string_view text, std::size_t position) {
    int depth = 1;
    for (; position < text.size(); ++position) {
      depth += text[position] == '{' ? 1 : text[position] == '}' ? -1 : 0;
      if (depth == 0) return position;
    }
    runtime_.fail("expected '}' before end of string");
  }

  std::string field(std::string_view text, int depth) {
    std::size_t end = 0;
    for (int brackets = 0; end < text.size(); ++end) {
      if (text[end] == '[') ++brackets;
      if (text[end] == ']') --brackets;
      if (brackets <= 0 && (text[end] == '!' || text[end] == ':')) break;
    }
    Value value = look_up(text.substr(0, end));
    text.remove_prefix(end);
    if (text.starts_with('!')) {
      if (text.size() < 2) runtime_.fail("end of string while looking for conversion specifier");
      value = runtime_.string(convert(value, text[1]));
      text.remove_prefix(2);
      if (!text.empty() && text.front() != ':') runtime_.fail("expected ':' after conversion specifier");
    }
    const std::string specification = text.empty() ? "" : run(text.substr(1), depth - 1);
    std::string result = format_value(runtime_, value, specification);
    const bool is_safe = value.is_string() && value.as<StringObject>().is_markup;
    return is_markup_ && !is_safe ? escape_html(result) : result;
  }

  std::string convert(const Value& value, char conversion) {
    switch (conversion) {
      case 's':
        return to_text(runtime_, value);
      case 'r':
        return repr(runtime_, value);
      case 'a':
        return ascii_repr(runtime_, value);
      default:
        runtime_.fail(fmt::format("Unknown conversion specifier '{}'", std::string_view(&conversion, 1)));
    }
  }

  Value look_up(std::string_view name) {
    const std::size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = first(name.substr(0, end));
    for (name.remove_prefix(end); !name.empty();) {
      if (name.front() == '.') {
        name.remove_prefix(1);
        const std::size_t size = std::min(name.find_first_of(".["), name.size());
        if (size == 0) runtime_.fail("Empty attribute in format string");
        value = get_attribute(runtime_, value, runtime_.string(std::string(name.substr(0, size))));
        name.remove_prefix(size);
      } else if (name.front() == '[') {
        const std::size_t close = name.find(']');
        if (close == std::string_view::npos) runtime_.fail("Missing ']' in format string");
        const std::string_view key = name.substr(1, close - 1);
        if (key.empty()) runtime_.fail("Empty attribute in format string");
        const std::optional<std::int64_t> index = as_index(key);
        value = get_item(runtime_, value, index ? Value::integer(*index) : runtime_.string(std::string(key)));
        name.remove_prefix(close + 1);
      } else {
        runtime_.fail("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  static std::optional<std::int64_t> as_index(std::string_view text) {
    if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
    bool is_too_large = false;
    return parse_integer(text, 10, is_too_large);
  }

  Value first(std::string_view name) {
    std::optional<std::int64_t> index = as_index(name);
    if (name.empty()) {
      if (is_manual_) runtime_.fail("cannot switch from manual field specification to automatic field numbering");
      is_automatic_ = true;
      index = static_cast<std::int64_t>(next_++);
    } else if (index) {
      if (is_automatic_) runtime_.fail("cannot switch from manual field specification to automatic field numbering");
      is_manual_ = true;
    }
    if (index) {
      if (static_cast<std::size_t>(*index) >= arguments_.positional.size())
        runtime_.fail(fmt::format("Replacement index {} out of range for positional args tuple", *index));
      return arguments_.positional[static_cast<std::size_t>(*index)];
    }
    for (const auto& [keyword, value] : arguments_.keywords)
      if (keyword == name) return value;
    runtime_.fail(fmt::format("the format's key '{}' is not among the arguments", name));
  }

  Runtime& runtime_;
  const Arguments& arguments_;
  bool is_markup_;
  std::size_t next_ = 0;
  bool is_automatic_ = false;
  bool is_manual_ = false;
};

}  // namespace

Value format_percent(Runtime& runtime, const Value& text, const Value& values) {
  return PercentFormatter(runtime, text, values).run();
}

Value format_braces(Runtime& runtime, const Value& text, const Arguments& arguments) {
  const bool is_markup = text.as<StringObject>().is_markup;
  return runtime.string(BraceFormatter(runtime, arguments, is_markup).run(text.text()), is_markup);
}

Value format_now(Runtime& runtime, std::string_view format) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now - std::chrono::system_clock::from_time_t(seconds))
          .count();
  std::tm local{};
  localtime_r(&seconds, &local);
  // What datetime adds to the C library: microseconds, and no time zone for a time that has none.
  std::string pattern;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] == '\0') runtime.fail("embedded null character in the format of strftime_now");
    if (format[i] != '%' || i + 1 == format.size()) {
      pattern += format[i];
      continue;
    }
    const char next = format[++i];
    if (next == 'f') {
      pattern += fmt::format("{:06}", micros);
    } else if (next != 'z' && next != 'Z') {
      pattern += {'%', next};
    }
  }
  if (pattern.empty()) return runtime.string("");
  // strftime does not tell a short buffer from an empty result: a mark behind the text makes it never empty.
  pattern += '.';
  constexpr std::size_t kLongest = 1 << 16;
  for (std::size_t size = 256; size <= kLongest; size *= 4) {
    std::string text(size, '\0');
    const std::size_t written = std::strftime(text.data(), text.size(), pattern.c_str(), &local);
    if (written == 0) continue;
    text.resize(written - 1);
    return runtime.string(std::move(text));
  }
  runtime.fail("the format of strftime_now gives too much text");
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace onnxport::jinja
