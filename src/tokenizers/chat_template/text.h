#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tokenizers/unicode.h"

/// Text as Python sees it: classes and cases of code points, and numbers written as text. All text is valid UTF-8.
namespace onnxport::jinja {

using tokenizers::append_utf8;
using tokenizers::count_characters;
using tokenizers::next_character;

/// The byte at which the code point number `index` begins, text.size() beyond the end.
std::size_t byte_offset(std::string_view text, std::size_t index);

// ---- Python's str.is...() for one code point ------------------------------------------------------------------------

bool is_space(char32_t code_point);
bool is_alphabetic(char32_t code_point);
bool is_decimal(char32_t code_point);
bool is_digit(char32_t code_point);
bool is_numeric(char32_t code_point);
bool is_alphanumeric(char32_t code_point);
bool is_lower(char32_t code_point);
bool is_upper(char32_t code_point);
bool is_title(char32_t code_point);
bool is_printable(char32_t code_point);
/// A letter, mark, digit or connector: what identifiers consist of.
bool is_word(char32_t code_point);
/// The value of a decimal digit of any script.
int decimal_value(char32_t code_point);

// ---- str.lower() and its kin ----------------------------------------------------------------------------------------

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string to_case_folded(std::string_view text);
std::string swap_case(std::string_view text);
/// str.capitalize(): the first character in title case, the others lower.
std::string capitalize(std::string_view text);
/// str.title()
std::string to_title(std::string_view text);

// ---- Stripping ------------------------------------------------------------------------------------------------------

/// Without white space, or without the characters of `characters`, at the ends that are asked for.
std::string_view strip(std::string_view text, bool left, bool right,
                       std::optional<std::string_view> characters = std::nullopt);

// ---- Quoting and numbers --------------------------------------------------------------------------------------------

/// repr() of a string.
void append_repr(std::string& out, std::string_view text);
/// repr() of a float: "1.0", "1e+16", "inf".
std::string float_repr(double value);
/// float(text) and int(text, base); nothing if the text is none. An integer beyond 64 bits is `is_too_large`.
std::optional<double> parse_float(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text, int base, bool& is_too_large);

}  // namespace onnxport::jinja
