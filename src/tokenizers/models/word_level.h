#pragma once

#include <string>

#include "tokenizers/model.h"
#include "tokenizers/models/vocabulary.h"

namespace onnxport::tokenizers {

/// A token for each piece.
class WordLevel final : public Model {
 public:
  WordLevel(Vocabulary vocabulary, std::string unk_token);
  static std::unique_ptr<WordLevel> from_json(const Json& model, std::string_view origin);

  void tokenize(std::string_view piece, std::vector<Token>& tokens) const override;
  std::optional<std::uint32_t> token_to_id(std::string_view token) const override;
  std::optional<std::string_view> id_to_token(std::uint32_t id) const override { return vocabulary_.word(id); }
  std::size_t vocabulary_size() const override { return vocabulary_.size(); }
  std::size_t id_end() const override { return vocabulary_.id_end(); }
  Json to_json() const override;

 private:
  Vocabulary vocabulary_;
  std::string unk_token_;
  std::uint32_t unk_id_;
};

}  // namespace onnxport::tokenizers
