#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/tokenizer.h"
#include "tokenizers/added_vocabulary.h"
#include "tokenizers/draft.h"
#include "tokenizers/fast_path.h"
#include "tokenizers/tokenizer_file.h"

namespace onnxport {

/// What a Tokenizer shares with its copies: it never changes, a tokenizer that is set differently gets one of its own.
class Tokenizer::Implementation {
 public:
  std::shared_ptr<const tokenizers::Components> components{};
  std::shared_ptr<const tokenizers::FastPath> fast_path{};  ///< null: everything goes the general way
  std::shared_ptr<const tokenizers::AddedVocabulary> added{};
  std::optional<Truncation> truncation{};
  std::optional<Padding> padding{};

  const tokenizers::Model& model() const { return *components->model; }
  const tokenizers::Normalizer* normalizer() const;
  const tokenizers::PostProcessor* post_processor() const;

  /// The fields that drafts need so that the encoding has those asked for.
  tokenizers::DraftFields draft_fields(EncodingFields fields) const;

  /// Truncated and with special tokens, but not padded. `texts` are one or two.
  tokenizers::Draft encode(const TextInput& input, const EncodeOptions& options) const;
  tokenizers::Draft encode(const WordsInput& input, const EncodeOptions& options) const;

  std::string decode(std::span<const std::uint32_t> ids, bool skip_special_tokens) const;

 private:
  /// Appends the tokens of a text, or of the word `word`.
  void append_text(tokenizers::Draft& draft, std::string_view text, std::uint32_t type_id,
                   std::optional<std::size_t> word, tokenizers::DraftFields fields) const;
  /// The same without tokens, or false where the text is left to the general way.
  bool append_text_fast(tokenizers::Draft& draft, std::string_view text, std::uint32_t type_id,
                        bool with_offsets) const;
  tokenizers::Draft finish_draft(tokenizers::Draft draft, std::optional<tokenizers::Draft> pair,
                                 const EncodeOptions& options, tokenizers::DraftFields fields) const;
};

}  // namespace onnxport
