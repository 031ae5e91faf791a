#pragma once

#include <array>
#include <optional>
#include <string>

#include "tokenizers/model.h"
#include "tokenizers/models/merges.h"
#include "tokenizers/models/vocabulary.h"

namespace onnxport::tokenizers {

/// Byte pair encoding: characters, merged by a ranked list of pairs.
class Bpe final : public Model {
 public:
  struct Settings {
    bool has_dropout = false;  ///< "dropout" is 0 and not null, which is the same but for to_json()
    std::optional<std::string> unk_token{};
    std::optional<std::string> continuing_subword_prefix{};
    std::optional<std::string> end_of_word_suffix{};
    bool fuse_unk = false;
    bool byte_fallback = false;
    bool ignore_merges = false;
  };

  Bpe(Vocabulary vocabulary, Merges merges, Settings settings);
  static std::unique_ptr<Bpe> from_json(const Json& model, std::string_view origin);

  void tokenize(std::string_view piece, std::vector<Token>& tokens) const override;
  /// The same with room that is used again from call to call.
  void tokenize(std::string_view piece, std::vector<Token>& tokens, std::vector<Symbol>& symbols) const;
  std::optional<std::uint32_t> token_to_id(std::string_view token) const override;
  std::optional<std::string_view> id_to_token(std::uint32_t id) const override { return vocabulary_.word(id); }
  std::size_t vocabulary_size() const override { return vocabulary_.size(); }
  std::size_t id_end() const override { return vocabulary_.id_end(); }
  Json to_json() const override;

  const Settings& settings() const { return settings_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  const Merges& merges() const { return merges_; }
  /// Whether there is a prefix or a suffix, which words' first or last characters have.
  bool decorates_characters() const { return decorates_characters_; }
  /// The ids of <0x00> to <0xFF>, none where they are missing.
  const std::array<std::uint32_t, 256>& byte_ids() const { return byte_ids_; }

 private:
  /// Code points below have their tokens in a table: the ASCII and all characters that stand for bytes.
  static constexpr char32_t table_end = 0x180;

  /// The token of a character, none if there is none.
  std::uint32_t character_id(std::string_view character, bool is_first, bool is_last, std::string& buffer) const;
  void add_characters(std::string_view piece, std::vector<Symbol>& symbols) const;
  std::uint32_t unknown_id() const;

  Vocabulary vocabulary_;
  Merges merges_;
  Settings settings_;
  std::uint32_t unk_id_ = Vocabulary::none;
  bool decorates_characters_ = false;
  std::array<std::uint32_t, table_end> table_{};  ///< of characters, as far as nothing is added to them
  std::array<std::uint32_t, 256> byte_ids_{};     ///< of <0x00> to <0xFF>
};

}  // namespace onnxport::tokenizers
