#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/chat_template/value.h"

namespace onnxport::jinja {

enum class TokenKind {
  Data,
  BlockBegin,
  BlockEnd,
  VariableBegin,
  VariableEnd,
  Name,
  String,
  Number,
  Operator,
  End,
};

struct Token {
  TokenKind kind = TokenKind::End;
  int line = 1;
  std::string text{};  ///< of data and strings what they stand for
  Value number{};
};

/// The tokens of a template, with white space trimmed as trim_blocks, lstrip_blocks and the signs - and + want it;
/// End is the last. Throws Error(InvalidTokenizer).
std::vector<Token> tokenize(std::string_view source, std::string_view name);

}  // namespace onnxport::jinja
