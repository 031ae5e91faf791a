#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tokenizers/model.h"
#include "tokenizers/models/double_array.h"
#include "tokenizers/models/vocabulary.h"

namespace onnxport::tokenizers {

/// The sequence of pieces with the largest sum of scores. Characters that no piece covers are unknown, with a score of
/// 10 below the smallest; neighbours among them are one token.
class Unigram final : public Model {
 public:
  /// The best way to reach a position of the text.
  struct Step {
    double score = 0;
    std::uint32_t begin = 0;  ///< of the last piece
    std::uint32_t id = 0;     ///< of the last piece
  };

  /// What sums of scores are kept in: tokenizer.json's readers add doubles, sentencepiece itself floats. Where two ways
  /// to cut a text are as good, rounding decides.
  enum class Sums { Double, Single };

  /// `pieces` are the words by id, empty ones are never found; `scores` are finite.
  Unigram(std::vector<std::string_view> pieces, std::vector<double> scores, std::optional<std::uint32_t> unk_id,
          bool byte_fallback, Sums sums = Sums::Double);
  static std::unique_ptr<Unigram> from_json(const Json& model, std::string_view origin);

  void tokenize(std::string_view piece, std::vector<Token>& tokens) const override;
  /// The same with room that is used again from call to call.
  void tokenize(std::string_view piece, std::vector<Token>& tokens, std::vector<Step>& steps) const;
  std::string token_text(const Token& token, std::string_view piece) const override;
  std::optional<std::uint32_t> token_to_id(std::string_view token) const override;
  std::optional<std::string_view> id_to_token(std::uint32_t id) const override { return vocabulary_.word(id); }
  std::size_t vocabulary_size() const override { return scores_.size(); }
  std::size_t id_end() const override { return scores_.size(); }
  Json to_json() const override;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const std::vector<double>& scores() const { return scores_; }
  std::uint32_t unk_id() const { return unk_id_; }

 private:
  void add_token(std::string_view piece, std::uint32_t begin, std::uint32_t end, std::vector<Token>& tokens) const;
  template <Sums sums>
  void find_best(std::string_view piece, std::vector<Step>& steps) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  std::uint32_t unk_id_ = Vocabulary::none;
  double unknown_score_ = 0;
  bool byte_fallback_ = false;
  Sums sums_ = Sums::Double;
  DoubleArray trie_;
  std::array<std::uint32_t, 256> byte_ids_{};  ///< of <0x00> to <0xFF>
};

}  // namespace onnxport::tokenizers
