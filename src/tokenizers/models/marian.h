#pragma once

#include <memory>
#include <string>

#include "tokenizers/model.h"
#include "tokenizers/models/unigram.h"
#include "tokenizers/models/vocabulary.h"

namespace onnxport::tokenizers {

/// MarianTokenizer's model: a sentencepiece Unigram cuts the text, and each piece is looked up, by its text, in a
/// vocabulary that the source and the target language share. A ">>code<<" before it is one token. tokenizer.json has no
/// such model; "type" is "Marian", "pieces" are those that sentencepiece may use, with their scores.
class Marian final : public Model {
 public:
  /// `unigram` adds floats, and its first piece, an empty one, is the unknown one.
  Marian(Vocabulary vocabulary, std::string unk_token, Unigram unigram);
  static std::unique_ptr<Marian> from_json(const Json& model, std::string_view origin);

  void tokenize(std::string_view piece, std::vector<Token>& tokens) const override;
  std::string token_text(const Token& token, std::string_view piece) const override;
  std::optional<std::uint32_t> token_to_id(std::string_view token) const override;
  std::optional<std::string_view> id_to_token(std::uint32_t id) const override { return vocabulary_.word(id); }
  std::size_t vocabulary_size() const override { return vocabulary_.size(); }
  std::size_t id_end() const override { return vocabulary_.id_end(); }
  Json to_json() const override;

 private:
  std::uint32_t id_of(std::string_view text) const;

  Vocabulary vocabulary_;
  std::string unk_token_;
  std::uint32_t unk_id_;
  Unigram unigram_;
};

}  // namespace onnxport::tokenizers
