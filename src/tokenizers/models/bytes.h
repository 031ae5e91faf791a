#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tokenizers/model.h"

namespace onnxport::tokenizers {

/// ByT5Tokenizer's model: a token for each byte of the text's UTF-8, which reads as the character of that number.
/// tokenizer.json has no such model; "type" is "Bytes", "first_tokens" are those that come before the bytes.
class Bytes final : public Model {
 public:
  explicit Bytes(std::vector<std::string> first_tokens);
  static std::unique_ptr<Bytes> from_json(const Json& model, std::string_view origin);

  void tokenize(std::string_view piece, std::vector<Token>& tokens) const override;
  std::optional<std::uint32_t> token_to_id(std::string_view token) const override;
  std::optional<std::string_view> id_to_token(std::uint32_t id) const override;
  std::size_t vocabulary_size() const override { return first_tokens_.size() + characters_.size(); }
  std::size_t id_end() const override { return vocabulary_size(); }
  Json to_json() const override;

 private:
  std::vector<std::string> first_tokens_;
  std::array<std::string, 256> characters_;
};

}  // namespace onnxport::tokenizers
