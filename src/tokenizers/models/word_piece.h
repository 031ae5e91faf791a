#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tokenizers/model.h"
#include "tokenizers/models/vocabulary.h"

namespace onnxport::tokenizers {

/// The longest known beginning of the piece, then the longest known continuation, and so on; unk_token for the whole
/// piece if that fails. BERT's model.
class WordPiece final : public Model {
 public:
  struct Settings {
    std::string unk_token = "[UNK]";
    std::string continuing_subword_prefix = "##";
    std::size_t max_input_chars_per_word = 100;
  };

  WordPiece(Vocabulary vocabulary, Settings settings);
  static std::unique_ptr<WordPiece> from_json(const Json& model, std::string_view origin);

  void tokenize(std::string_view piece, std::vector<Token>& tokens) const override;
  std::optional<std::uint32_t> token_to_id(std::string_view token) const override;
  std::optional<std::string_view> id_to_token(std::uint32_t id) const override { return vocabulary_.word(id); }
  std::size_t vocabulary_size() const override { return vocabulary_.size(); }
  std::size_t id_end() const override { return vocabulary_.id_end(); }
  Json to_json() const override;

  const Settings& settings() const { return settings_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  /// The longest word of the vocabulary that `text` starts with behind `prefix`, as (id, length of text), (none, 0) if
  /// there is none.
  std::pair<std::uint32_t, std::size_t> longest(std::string_view prefix, std::string_view text,
                                                std::string& buffer) const;
  std::uint32_t unknown(std::string_view piece) const;

  Vocabulary vocabulary_;
  Settings settings_;
  std::uint32_t unk_id_;
  std::vector<bool> has_length_;  ///< whether some word has that many bytes
};

}  // namespace onnxport::tokenizers
