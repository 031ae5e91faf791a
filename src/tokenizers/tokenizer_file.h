#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"
#include "onnxport/tokenizer.h"
#include "tokenizers/decoders.h"
#include "tokenizers/model.h"
#include "tokenizers/normalizers.h"
#include "tokenizers/post_processors.h"
#include "tokenizers/pre_tokenizers.h"

namespace onnxport::tokenizers {

/// The parts of a tokenizer that never change.
struct Components {
  std::optional<Normalizer> normalizer{};
  std::optional<PreTokenizer> pre_tokenizer{};
  std::unique_ptr<Model> model{};
  std::optional<PostProcessor> post_processor{};
  std::optional<Decoder> decoder{};
};

/// What a tokenizer.json holds.
struct TokenizerFile {
  std::shared_ptr<const Components> components{};
  std::vector<AddedToken> added_tokens{};
  std::optional<Truncation> truncation{};
  std::optional<Padding> padding{};
};

/// Throws Error(InvalidTokenizer) that names the file and the field.
TokenizerFile read_tokenizer_file(std::string_view text, std::string_view origin);

/// The text of a tokenizer.json, as the real library writes it.
std::string write_tokenizer_file(const Components& components, std::span<const AddedToken> added_tokens,
                                 const std::optional<Truncation>& truncation, const std::optional<Padding>& padding,
                                 bool pretty);

/// Longest padding: no model takes more, but a file could ask for it.
inline constexpr std::size_t kMaximumPadding = std::size_t{1} << 24;

}  // namespace onnxport::tokenizers
