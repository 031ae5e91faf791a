#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/array.h"
#include "onnxport/hub.h"
#include "onnxport/json.h"
#include "onnxport/tokenizer.h"

/// Tokenizers as `transformers` wraps them: a directory's tokenizer files in, model inputs out.
namespace onnxport {

enum class PaddingStrategy { DoNotPad, Longest, MaxLength };

/// Arguments of a tokenizer's call; names, meanings and defaults are those of PreTrainedTokenizerBase.__call__.
struct TokenizerCallOptions {
  bool add_special_tokens = true;
  PaddingStrategy padding = PaddingStrategy::DoNotPad;
  std::optional<TruncationStrategy> truncation{};  ///< absent: do not truncate
  std::optional<std::size_t> max_length{};         ///< absent: model_max_length
  std::size_t stride = 0;
  std::optional<std::size_t> pad_to_multiple_of{};
  std::optional<Direction> padding_side{};
  std::optional<bool> return_token_type_ids{};  ///< absent: if model_input_names has it; so the next
  std::optional<bool> return_attention_mask{};
  bool return_overflowing_tokens = false;
  bool return_special_tokens_mask = false;
  bool return_offsets_mapping = false;
  /// Whether special tokens in texts are cut like other text; absent: what tokenizer_config.json says.
  std::optional<bool> split_special_tokens{};
  /// The texts are what Python's text_target takes: of the language that a MarianTokenizer's model translates to.
  /// Throws Error(InvalidArgument) for classes that switch to "tgt_lang" then.
  bool as_target = false;
  EncodingFields fields = EncodingFields::Ids;  ///< what encodings() hold beside what is returned as tensors
  int threads = 0;                              ///< 0: as many as there are cores
};

/// What a tokenizer's call returns: rows of tokens, and the same as tensors that a model takes.
class BatchEncoding {
 public:
  BatchEncoding(std::vector<Encoding> encodings, std::vector<std::string> names,
                std::vector<std::size_t> sample_mapping);

  /// One for each text and, where overflowing tokens were asked for, one for each further window of it.
  const std::vector<Encoding>& encodings() const { return encodings_; }
  std::size_t size() const { return encodings_.size(); }
  /// Which text each row comes from.
  const std::vector<std::size_t>& overflow_to_sample_mapping() const { return sample_mapping_; }

  /// "input_ids", "token_type_ids", "attention_mask" (as the tokenizer's model_input_names order them), and
  /// "special_tokens_mask", "offset_mapping" if asked for.
  const std::vector<std::string>& names() const { return names_; }
  /// int64 [batch_size, sequence_length]; offset_mapping has a third axis of 2.
  /// Throws Error(InvalidArgument) for another name, and for rows of different lengths: says to pad or truncate.
  Array tensor(std::string_view name) const;
  Array input_ids() const { return tensor("input_ids"); }
  /// All of them, as models take them.
  NamedArrays tensors() const;

 private:
  std::vector<Encoding> encodings_;
  std::vector<std::string> names_;
  std::vector<std::size_t> sample_mapping_;
};

/// A message of a chat. Richer ones (tool calls, content in parts) are given as Json.
struct ChatMessage {
  std::string role;
  std::string content;
};

struct ChatTemplateOptions {
  Json tools{};      ///< array of functions as JSON schema; null for none
  Json documents{};  ///< array of objects with title and text; null for none
  bool add_generation_prompt = false;
  bool continue_final_message = false;
  std::string chat_template{};  ///< instead of the tokenizer's: the template itself, or the name of one of several
  Json variables{};             ///< further variables of the template, an object
};

/// A tokenizer with what tokenizer_config.json says of it: the counterpart of PreTrainedTokenizerFast.
/// Copies share the vocabulary; const functions may be called from several threads at once.
class PreTrainedTokenizer {
 public:
  BatchEncoding operator()(std::string_view text, const TokenizerCallOptions& options = {}) const;
  BatchEncoding operator()(std::string_view text, std::string_view text_pair,
                           const TokenizerCallOptions& options = {}) const;
  BatchEncoding operator()(std::span<const std::string> texts, const TokenizerCallOptions& options = {}) const;
  BatchEncoding operator()(std::span<const TextInput> inputs, const TokenizerCallOptions& options = {}) const;
  BatchEncoding operator()(std::span<const WordsInput> inputs, const TokenizerCallOptions& options = {}) const;

  /// clean_up_tokenization_spaces: absent means what tokenizer_config.json says.
  std::string decode(std::span<const std::uint32_t> ids, bool skip_special_tokens = false,
                     std::optional<bool> clean_up_tokenization_spaces = {}) const;
  std::vector<std::string> batch_decode(std::span<const std::vector<std::uint32_t>> ids,
                                        bool skip_special_tokens = false,
                                        std::optional<bool> clean_up_tokenization_spaces = {}) const;

  /// The prompt as text. Throws Error(InvalidArgument) if there is no template, if it calls raise_exception, or if it
  /// fails: with the template's line.
  std::string apply_chat_template(std::span<const ChatMessage> messages, const ChatTemplateOptions& options = {}) const;
  std::string apply_chat_template(const Json& messages, const ChatTemplateOptions& options = {}) const;

  /// The class that tokenizer_config.json names, without "Fast": "BertTokenizer".
  const std::string& tokenizer_class() const;
  std::size_t model_max_length() const;  ///< SIZE_MAX where none is stated
  const std::vector<std::string>& model_input_names() const;
  Direction padding_side() const;
  Direction truncation_side() const;
  void set_padding_side(Direction side);
  void set_truncation_side(Direction side);
  void set_model_max_length(std::size_t length);

  /// Special tokens by attribute: "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
  /// "mask_token", and what the model adds ("image_token").
  std::optional<std::string> special_token(std::string_view attribute) const;
  std::optional<std::uint32_t> special_token_id(std::string_view attribute) const;
  std::optional<std::uint32_t> pad_token_id() const { return special_token_id("pad_token"); }
  std::optional<std::uint32_t> mask_token_id() const { return special_token_id("mask_token"); }
  std::vector<std::string> all_special_tokens() const;
  std::vector<std::uint32_t> all_special_ids() const;

  std::optional<std::uint32_t> convert_tokens_to_ids(std::string_view token) const;  ///< the unknown token's if unknown
  std::optional<std::string> convert_ids_to_tokens(std::uint32_t id) const;

  /// The tokenizer below, without truncation and padding.
  const Tokenizer& backend_tokenizer() const;

  /// Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja and the vocabulary
  /// files that were read, as transformers does. Returns what was written.
  std::vector<std::filesystem::path> save_pretrained(const std::filesystem::path& directory) const;

 private:
  friend class AutoTokenizer;
  class Implementation;
  explicit PreTrainedTokenizer(std::shared_ptr<Implementation> implementation);
  std::shared_ptr<Implementation> implementation_;
};

class AutoTokenizer {
 public:
  /// Reads a directory's tokenizer: tokenizer.json or, without it, vocab.txt, vocab.json with merges.txt, or a
  /// sentencepiece model, as the class in tokenizer_config.json (else the model_type of config.json) wants it.
  /// What is no directory may be the id of a model on the Hub.
  /// Throws Error(InvalidTokenizer) that names the file and the field, or says which files were looked for; and what
  /// download_model throws.
  static PreTrainedTokenizer from_pretrained(const std::filesystem::path& model, const HubOptions& hub = {});
};

}  // namespace onnxport
