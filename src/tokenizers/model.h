#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"

namespace onnxport::tokenizers {

/// A token of a piece of text: its id, and which bytes [begin, end) of the piece it stands for.
struct Token {
  std::uint32_t id = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const Token&) const = default;
};

/// "model" of tokenizer.json: WordPiece, BPE, Unigram or WordLevel; or one of those that transformers has in Python
/// alone: Marian, Bytes. Immutable, so any number of threads may use it.
class Model {
 public:
  virtual ~Model() = default;

  /// Appends the tokens of a piece: valid UTF-8 that is normalized and that no token crosses the borders of.
  /// Throws Error(InvalidTokenizer) where the model has no token for the piece: unk_token missing from the vocabulary.
  virtual void tokenize(std::string_view piece, std::vector<Token>& tokens) const = 0;

  /// How a token of `piece` reads. It is the vocabulary's word for it, but for unknown text under Unigram.
  virtual std::string token_text(const Token& token, std::string_view piece) const;

  virtual std::optional<std::uint32_t> token_to_id(std::string_view token) const = 0;
  /// The view lives as long as the model.
  virtual std::optional<std::string_view> id_to_token(std::uint32_t id) const = 0;
  /// Number of entries; ids may have gaps.
  virtual std::size_t vocabulary_size() const = 0;
  /// One above the largest id.
  virtual std::size_t id_end() const = 0;

  /// "model" as the real library writes it.
  virtual Json to_json() const = 0;
};

/// `model` is the member "model" of tokenizer.json; old files lack its "type".
/// Throws Error(InvalidTokenizer) that names the field; `origin` is the file in messages.
std::unique_ptr<Model> make_model(const Json& model, std::string_view origin);

}  // namespace onnxport::tokenizers
