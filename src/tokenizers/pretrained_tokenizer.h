#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/auto_tokenizer.h"
#include "tokenizers/pretrained_class.h"
#include "tokenizers/slow_only.h"

namespace onnxport {

namespace tokenizers {

/// What PreTrainedTokenizerFast holds.
struct PretrainedState {
  PretrainedState(Tokenizer tokenizer_with_settings, Tokenizer tokenizer_without)
      : tokenizer(std::move(tokenizer_with_settings)), backend(std::move(tokenizer_without)) {}

  const PretrainedClass* pretrained_class = nullptr;
  std::string class_name;  ///< "BertTokenizer"
  Tokenizer tokenizer;     ///< with the truncation and padding that its file states
  Tokenizer backend;       ///< the same without
  Json init_kwargs;        ///< what tokenizer_config.json is written from

  /// Attributes in transformers' order; values are null, a token (see pretrained_arguments.h) or, for
  /// additional_special_tokens, an array of tokens.
  std::vector<std::pair<std::string, Json>> special_tokens;
  Json extra_special_tokens;
  Json chat_template;              ///< null, a template, or an object of templates by name
  Json add_prefix_space;           ///< null or a boolean
  Json source_language;            ///< of classes that translate
  double model_max_length = 1e30;  ///< as stated: 1e30 stands for none
  std::vector<std::string> model_input_names;
  Direction padding_side = Direction::Right;
  Direction truncation_side = Direction::Right;
  bool clean_up_tokenization_spaces = false;
  std::int64_t pad_token_type_id = 0;
  std::string end_of_word_suffix;    ///< that CLIPTokenizer takes out of decoded text
  Json whisper_normalizer;           ///< normalizer.json, which is only kept to be saved
  std::filesystem::path vocab_file;  ///< the sentencepiece model that save_pretrained copies; empty if there is none
  bool split_special_tokens = false;

  // Of classes without a fast version.
  TokensToString tokens_to_string;  ///< empty for others
  std::optional<Tokenizer> target;  ///< of text_target, where that is tokenized otherwise
  std::vector<std::filesystem::path> vocabulary_files;

  /// nullptr if it is not set.
  const Json* special_token(std::string_view attribute) const;
  /// Without doubles, in transformers' order.
  std::vector<std::string> all_special_tokens() const;
  /// special_tokens_map: attributes that are set, tokens as text.
  Json special_tokens_map() const;
  std::optional<std::uint32_t> token_to_id(std::string_view token) const;
  bool is_slow_only() const { return static_cast<bool>(tokens_to_string); }
};

/// PreTrainedTokenizer._decode() of a class without a fast version, but for clean_up_tokenization_spaces.
std::string decode_slow_only(const PretrainedState& state, std::span<const std::uint32_t> ids,
                             bool skip_special_tokens);

/// The names that SpecialTokensMixin knows, in its order.
inline constexpr std::string_view kSpecialTokenAttributes[] = {
    "bos_token", "eos_token", "unk_token",  "sep_token",
    "pad_token", "cls_token", "mask_token", "additional_special_tokens"};

/// Python's int(1e30), which stands for "no limit".
inline constexpr double kVeryLargeInteger = 1e30;

/// Reads a directory's tokenizer. Throws Error(InvalidTokenizer).
PretrainedState load_pretrained(const std::filesystem::path& directory);

/// Writes what transformers' save_pretrained() writes; the result is the files in its order.
std::vector<std::filesystem::path> save_pretrained(const PretrainedState& state,
                                                   const std::filesystem::path& directory);

/// The prompt of a chat; see PreTrainedTokenizer::apply_chat_template.
std::string apply_chat_template(const PretrainedState& state, const Json& messages, const ChatTemplateOptions& options);

}  // namespace tokenizers

class PreTrainedTokenizer::Implementation : public tokenizers::PretrainedState {
 public:
  explicit Implementation(tokenizers::PretrainedState state) : PretrainedState(std::move(state)) {}
};

}  // namespace onnxport
