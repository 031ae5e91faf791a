#include "tokenizers/chat_template/lexer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "onnxport/json.h"
#include "tokenizers/chat_template/syntax.h"
#include "tokenizers/chat_template/text.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

/// Line feeds for all kinds of line breaks, without the last one.
std::string normalize_lines(string_view source) {
  std::string result;
  result.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      result += '\n';
    } else {
      result += source[i];
    }
  }
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

bool is_digit_at(string_view text, std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; }

class Lexer {
 public:
  Lexer(std::string source, string_view name) : source_(std::move(source)), text_(source_), name_(name) {}

  std::vector<Token> run() {
    while (position_ < text_.size()) read_root();
    add(TokenKind::End, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { fail_syntax(name_, line_, message); }

  bool is_at(string_view prefix) const { return text_.substr(position_).starts_with(prefix); }

  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text), {}}); }

  /// Moves to `end` and counts the lines.
  void move_to(std::size_t end) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(position_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    position_ = end;
    starts_line_ = end > 0 && text_[end - 1] == '\n';
  }

  std::size_t skip_space(std::size_t position) const {
    while (position < text_.size()) {
      std::size_t next = position;
      if (!is_space(next_character(text_, next))) break;
      position = next;
    }
    return position;
  }

  /// Behind a tag's end sign at `position` (%} or #}), if it stands there: a sign before it, white space or a line feed
  /// behind it. 0 if it does not.
  std::size_t match_end(std::size_t position, string_view sign) const {
    const string_view rest = text_.substr(position);
    if (rest.starts_with('+') && rest.substr(1).starts_with(sign)) return position + 1 + sign.size();
    if (rest.starts_with('-') && rest.substr(1).starts_with(sign)) return skip_space(position + 1 + sign.size());
    if (!rest.starts_with(sign)) return 0;
    const std::size_t end = position + sign.size();
    return end < text_.size() && text_[end] == '\n' ? end + 1 : end;
  }

  /// The text before a tag that opens with this sign, without what the sign or lstrip_blocks strips from it.
  string_view strip_before_tag(string_view data, char sign, bool is_variable) const {
    if (sign == '-') return strip(data, false, true);
    if (sign == '+' || is_variable) return data;
    const std::size_t line_begin = data.rfind('\n') + 1;  // npos + 1 is 0
    if (line_begin == 0 && !starts_line_) return data;
    return strip(data.substr(line_begin), true, true).empty() ? data.substr(0, line_begin) : data;
  }

  void add_data(string_view data) {
    if (!data.empty()) add(TokenKind::Data, std::string(data));
  }

  char sign_at(std::size_t position) const {
    const char c = position < text_.size() ? text_[position] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  /// Behind "{%- raw %}" at `position`, 0 if that does not stand there.
  std::size_t match_raw(std::size_t position) const {
    position += 2;
    if (sign_at(position) != 0) ++position;
    position = skip_space(position);
    if (!text_.substr(position).starts_with("raw")) return 0;
    position = skip_space(position + 3);
    if (text_.substr(position).starts_with("-%}")) return skip_space(position + 3);
    return text_.substr(position).starts_with("%}") ? position + 2 : 0;
  }

  void read_root() {
    std::size_t tag = position_;
    while ((tag = text_.find('{', tag)) != string_view::npos) {
      const char next = tag + 1 < text_.size() ? text_[tag + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    if (tag == string_view::npos) {
      add_data(text_.substr(position_));
      move_to(text_.size());
      return;
    }
    const char type = text_[tag + 1];
    const char sign = sign_at(tag + 2);
    add_data(strip_before_tag(text_.substr(position_, tag - position_), sign, type == '{'));
    move_to(tag);
    if (type == '%') {
      if (const std::size_t end = match_raw(tag); end != 0) {
        move_to(end);
        return read_raw();
      }
    }
    if (type != '#') add(type == '{' ? TokenKind::VariableBegin : TokenKind::BlockBegin, "");
    move_to(tag + 2 + (sign != 0 ? 1 : 0));
    type == '#' ? read_comment() : read_tag(type == '{');
  }

  void read_comment() {
    for (std::size_t at = position_; (at = text_.find('#', at)) != string_view::npos; ++at) {
      if (!text_.substr(at).starts_with("#}")) continue;
      // A sign before the end belongs to it.
      const bool has_sign = at > position_ && sign_at(at - 1) != 0;
      return move_to(match_end(has_sign ? at - 1 : at, "#}"));
    }
    fail("Missing end of comment tag");
  }

  void read_raw() {
    for (std::size_t at = position_; (at = text_.find("{%", at)) != string_view::npos; ++at) {
      const char sign = sign_at(at + 2);
      const std::size_t word = skip_space(at + 2 + (sign != 0 ? 1 : 0));
      if (!text_.substr(word).starts_with("endraw")) continue;
      const std::size_t end = match_end(skip_space(word + 6), "%}");
      if (end == 0) continue;
      add_data(strip_before_tag(text_.substr(position_, at - position_), sign, false));
      return move_to(end);
    }
    fail("Missing end of raw directive");
  }

  /// Tokens up to the end of the tag.
  void read_tag(bool is_variable) {
    std::string open;  // the brackets that must still be closed
    while (position_ < text_.size()) {
      if (open.empty() && read_tag_end(is_variable)) return;
      const std::size_t behind_space = skip_space(position_);
      if (behind_space != position_) {
        move_to(behind_space);
      } else if (!read_number() && !read_name() && !read_string()) {
        read_operator(open);
      }
    }
    // The parser complains about the end of the template.
  }

  bool read_tag_end(bool is_variable) {
    if (is_variable) {
      const bool strips = is_at("-}}");
      if (!strips && !is_at("}}")) return false;
      add(TokenKind::VariableEnd, "");
      move_to(strips ? skip_space(position_ + 3) : position_ + 2);
      return true;
    }
    const std::size_t end = match_end(position_, "%}");
    if (end == 0) return false;
    add(TokenKind::BlockEnd, "");
    move_to(end);
    return true;
  }

  /// Behind digits with single underscores between them.
  template <typename IsDigit>
  std::size_t skip_digits(std::size_t position, const IsDigit& is_such) const {
    const auto is_at_digit = [&](std::size_t at) { return at < text_.size() && is_such(text_[at]); };
    while (is_at_digit(position) || (position < text_.size() && text_[position] == '_' && is_at_digit(position + 1)))
      ++position;
    return position;
  }

  bool read_number() {
    if (!is_digit_at(text_, position_)) return false;
    const auto is_decimal_digit = [](char c) { return c >= '0' && c <= '9'; };
    std::size_t end = skip_digits(position_, is_decimal_digit);
    bool is_float = false;
    if (position_ == 0 || text_[position_ - 1] != '.') {
      if (end < text_.size() && text_[end] == '.' && is_digit_at(text_, end + 1)) {
        end = skip_digits(end + 1, is_decimal_digit);
        is_float = true;
      }
      if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
        const std::size_t exponent = end + 1 + (sign_at(end + 1) != 0 ? 1 : 0);
        if (is_digit_at(text_, exponent)) {
          end = skip_digits(exponent, is_decimal_digit);
          is_float = true;
        }
      }
    }
    if (!is_float) end = integer_end();
    std::string digits(text_.substr(position_, end - position_));
    std::erase(digits, '_');
    Token token{TokenKind::Number, line_, digits, {}};
    if (is_float) {
      token.number = Value::real(parse_float(digits).value_or(0));
    } else {
      bool is_too_large = false;
      const std::optional<std::int64_t> number = parse_integer(digits, 0, is_too_large);
      if (!number) fail(fmt::format("the integer {} is beyond 64 bits", digits));
      token.number = Value::integer(*number);
    }
    tokens_.push_back(std::move(token));
    move_to(end);
    return true;
  }

  std::size_t integer_end() const {
    const string_view rest = text_.substr(position_);
    if (rest[0] != '0') return skip_digits(position_, [](char c) { return c >= '0' && c <= '9'; });
    const char base = rest.size() > 1 ? static_cast<char>(std::tolower(static_cast<unsigned char>(rest[1]))) : '\0';
    const auto with_prefix = [&](const auto& is_such) {
      const std::size_t end = skip_digits(position_ + 2, is_such);
      return end > position_ + 2 ? end : position_ + 1;
    };
    switch (base) {
      case 'b':
        return with_prefix([](char c) { return c == '0' || c == '1'; });
      case 'o':
        return with_prefix([](char c) { return c >= '0' && c <= '7'; });
      case 'x':
        return with_prefix([](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
      default:
        return skip_digits(position_, [](char c) { return c == '0'; });
    }
  }

  bool read_name() {
    std::size_t end = position_;
    while (end < text_.size()) {
      std::size_t next = end;
      const char32_t code_point = next_character(text_, next);
      if (code_point != '_' && !is_word(code_point)) break;
      end = next;
    }
    if (end == position_) return false;
    std::size_t after_first = position_;
    const char32_t first = next_character(text_, after_first);
    if (first != '_' && !is_alphabetic(first)) fail("Invalid character in identifier");
    add(TokenKind::Name, std::string(text_.substr(position_, end - position_)));
    move_to(end);
    return true;
  }

  bool read_string() {
    const char quote = text_[position_];
    if (quote != '"' && quote != '\'') return false;
    std::size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail("a string is not closed");
    add(TokenKind::String, unescape(text_.substr(position_ + 1, end - position_ - 1)));
    move_to(end + 1);
    return true;
  }

  /// The value of `count` hexadecimal digits at `position`, which moves behind them.
  char32_t read_hexadecimal(string_view text, std::size_t& position, std::size_t count) const {
    char32_t value = 0;
    for (std::size_t i = 0; i < count; ++i, ++position) {
      const char c = position < text.size() ? text[position] : '\0';
      if (std::isxdigit(static_cast<unsigned char>(c)) == 0) fail("a string has a truncated \\x, \\u or \\U escape");
      value = value * 16 + static_cast<char32_t>(std::isdigit(static_cast<unsigned char>(c)) != 0
                                                     ? c - '0'
                                                     : std::tolower(static_cast<unsigned char>(c)) - 'a' + 10);
    }
    return value;
  }

  void append_escaped(std::string& out, char32_t code_point) const {
    if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000))
      fail("a string has an escape that is no character");
    append_utf8(out, code_point);
  }

  /// Python's escapes.
  std::string unescape(string_view text) const {
    constexpr string_view kLetters = "\\'\"abfnrtv";
    constexpr string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    std::string out;
    for (std::size_t position = 0; position < text.size();) {
      if (text[position] != '\\') {
        out += text[position++];
        continue;
      }
      const char letter = text[++position];
      if (const std::size_t known = kLetters.find(letter); known != string_view::npos) {
        out += kMeanings[known];
        ++position;
      } else if (letter == '\n') {
        ++position;
      } else if (letter == 'x' || letter == 'u' || letter == 'U') {
        append_escaped(out, read_hexadecimal(text, ++position, letter == 'x' ? 2 : letter == 'u' ? 4 : 8));
      } else if (letter >= '0' && letter <= '7') {
        char32_t value = 0;
        for (int i = 0; i < 3 && position < text.size() && text[position] >= '0' && text[position] <= '7'; ++i)
          value = value * 8 + static_cast<char32_t>(text[position++] - '0');
        append_escaped(out, value);
      } else if (letter == 'N') {
        fail("escapes of characters by name, \\N{...}, are not supported");
      } else if (static_cast<unsigned char>(letter) >= 0x80) {
        // Jinja makes \xe9 of é before it reads the escapes, and so sees an escaped backslash here.
        const char32_t code_point = next_character(text, position);
        const auto number = static_cast<std::uint32_t>(code_point);
        out += number < 0x100     ? fmt::format("\\x{:02x}", number)
               : number < 0x10000 ? fmt::format("\\u{:04x}", number)
                                  : fmt::format("\\U{:08x}", number);
      } else {
        out += '\\';
        out += letter;
        ++position;
      }
    }
    return out;
  }

  void read_operator(std::string& open) {
    static constexpr std::array<string_view, 26> kOperators{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    const auto found =
        std::find_if(kOperators.begin(), kOperators.end(), [&](string_view text) { return is_at(text); });
    if (found == kOperators.end()) {
      std::size_t end = position_;
      next_character(text_, end);
      fail("unexpected character " + quote_json(text_.substr(position_, end - position_)));
    }
    const char c = found->front();
    if (c == '{' || c == '(' || c == '[') {
      open += c == '{' ? '}' : c == '(' ? ')' : ']';
    } else if (c == '}' || c == ')' || c == ']') {
      if (open.empty()) fail(fmt::format("unexpected '{}'", *found));
      if (open.back() != c) fail(fmt::format("unexpected '{}', expected '{}'", *found, open.substr(open.size() - 1)));
      open.pop_back();
    }
    add(TokenKind::Operator, std::string(*found));
    move_to(position_ + found->size());
  }

  std::string source_;
  string_view text_;
  string_view name_;
  std::size_t position_ = 0;
  int line_ = 1;
  bool starts_line_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(string_view source, string_view name) {
  if (!tokenizers::is_valid_utf8(source)) fail_syntax(name, 1, "the template is not valid UTF-8");
  return Lexer(normalize_lines(source), name).run();
}

}  // namespace onnxport::jinja
