#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// Python's str where a tokenizer's files or templates depend on it. All text is UTF-8.
namespace onnxport::tokenizers {

/// Length in bytes of the code point that begins with this byte of valid UTF-8.
std::size_t code_point_size(char first_byte);

/// str.rstrip() and str.strip() without arguments.
std::string_view python_rstrip(std::string_view text);
std::string_view python_strip(std::string_view text);
/// str.split() without arguments.
std::vector<std::string_view> python_split(std::string_view text);

/// The text with every `from` replaced, left to right.
std::string replace_all(std::string text, std::string_view from, std::string_view to);

/// A file's lines as Python's text mode gives them: "\r\n" and "\r" end a line like "\n". What follows the last line
/// end is a line only if it is not empty.
std::vector<std::string> text_lines(std::string_view text);

std::string to_base64(std::string_view bytes);

}  // namespace onnxport::tokenizers
