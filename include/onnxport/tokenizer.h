#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Tokenizers as tokenizer.json describes them: the C++ counterpart of the library `tokenizers`. Nothing here needs
/// ONNX Runtime. What `transformers` adds (tokenizer_config.json, tensors, chat templates) is
/// onnxport/auto_tokenizer.h.
namespace onnxport {

/// Unicode code points [begin, end) of the text that was given, or of the word where words were given.
struct Offset {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const Offset&) const = default;
};

/// No word, no sequence: what special tokens and padding belong to.
inline constexpr std::int32_t no_index = -1;

/// What an encoding holds; each level holds what the one before does. What is not asked for costs no time.
enum class EncodingFields {
  Ids,      ///< ids, type_ids, attention_mask, special_tokens_mask
  Offsets,  ///< and offsets, word_ids, sequence_ids
  All,      ///< and tokens
};

/// One tokenized text or pair. All vectors have the same length, except those of fields that were not asked for: these
/// are empty.
struct Encoding {
  std::vector<std::uint32_t> ids;
  std::vector<std::uint32_t> type_ids;
  std::vector<std::uint32_t> attention_mask;       ///< 0 for padding
  std::vector<std::uint32_t> special_tokens_mask;  ///< 1 for tokens that the post-processor or padding added
  std::vector<Offset> offsets;
  std::vector<std::int32_t> word_ids;      ///< no_index for special tokens
  std::vector<std::int32_t> sequence_ids;  ///< 0 for the text, 1 for the pair, no_index for special tokens
  std::vector<std::string> tokens;
  std::vector<Encoding> overflowing;  ///< what truncation cut off, in windows that overlap by `stride`

  std::size_t size() const { return ids.size(); }
};

enum class Direction { Left, Right };
enum class TruncationStrategy { LongestFirst, OnlyFirst, OnlySecond };

/// "truncation" of tokenizer.json. max_length counts special tokens.
struct Truncation {
  std::size_t max_length = 512;
  std::size_t stride = 0;
  TruncationStrategy strategy = TruncationStrategy::LongestFirst;
  Direction direction = Direction::Right;
  bool operator==(const Truncation&) const = default;
};

/// "padding" of tokenizer.json.
struct Padding {
  std::optional<std::size_t> length{};  ///< absent: that of the longest of a batch
  std::optional<std::size_t> pad_to_multiple_of{};
  Direction direction = Direction::Right;
  std::uint32_t pad_id = 0;
  std::uint32_t pad_type_id = 0;
  std::string pad_token = "[PAD]";
  bool operator==(const Padding&) const = default;
};

/// An entry of "added_tokens".
struct AddedToken {
  std::string content;
  std::uint32_t id = 0;  ///< ignored where tokens are added: known content keeps its id, other content gets the next
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = true;
  bool special = false;
  bool operator==(const AddedToken&) const = default;
};

/// A text, or two that belong together. The views must outlive the call they are given to.
struct TextInput {
  std::string_view text;
  std::optional<std::string_view> pair{};
};

/// The same, already split into words.
struct WordsInput {
  std::span<const std::string> words;
  std::optional<std::span<const std::string>> pair{};
};

/// What holds for one call instead of what the tokenizer is set to.
struct EncodeOptions {
  bool add_special_tokens = true;
  EncodingFields fields = EncodingFields::All;
  int threads = 0;  ///< for batches; 0: as many as there are cores
};

/// A tokenizer. Copies share the vocabulary; const functions may be called from several threads at once.
///
/// Text is UTF-8. Bytes that are not are read as U+FFFD, one for each maximal invalid subsequence, as Python's
/// bytes.decode(errors="replace") does, and offsets count them so.
class Tokenizer {
 public:
  /// Reads a tokenizer.json. Throws Error(InvalidTokenizer) that names the file and the field.
  static Tokenizer from_file(const std::filesystem::path& file);
  /// The same from memory; `origin` stands for the file in messages.
  static Tokenizer from_json(std::string_view json, std::string_view origin = "tokenizer.json");

  Encoding encode(const TextInput& input, const EncodeOptions& options = {}) const;
  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const;
  Encoding encode(std::string_view text, std::string_view pair, const EncodeOptions& options = {}) const;
  Encoding encode(const WordsInput& input, const EncodeOptions& options = {}) const;
  /// On all cores, in the order given, padded to one length if padding is set.
  std::vector<Encoding> encode_batch(std::span<const TextInput> inputs, const EncodeOptions& options = {}) const;
  std::vector<Encoding> encode_batch(std::span<const std::string> texts, const EncodeOptions& options = {}) const;
  std::vector<Encoding> encode_batch(std::span<const WordsInput> inputs, const EncodeOptions& options = {}) const;

  /// Throws nothing for ids that the vocabulary lacks: they are left out, as the real library does.
  std::string decode(std::span<const std::uint32_t> ids, bool skip_special_tokens = true) const;
  std::vector<std::string> decode_batch(std::span<const std::vector<std::uint32_t>> ids,
                                        bool skip_special_tokens = true) const;
  /// What the decoder makes of tokens: convert_tokens_to_string of transformers.
  std::string decode_tokens(std::span<const std::string> tokens) const;

  std::optional<std::uint32_t> token_to_id(std::string_view token) const;
  std::optional<std::string> id_to_token(std::uint32_t id) const;
  /// All tokens with their ids, ordered by id.
  std::vector<std::pair<std::string, std::uint32_t>> vocabulary(bool with_added_tokens = true) const;
  std::size_t vocabulary_size(bool with_added_tokens = true) const;
  /// Ordered by id.
  std::span<const AddedToken> added_tokens() const;
  /// What the model puts before a token inside a word: "##" of WordPiece; empty if there is nothing.
  std::string continuing_subword_prefix() const;
  /// Number of tokens that the post-processor adds to a text, or to a pair.
  std::size_t num_special_tokens_to_add(bool is_pair) const;

  const std::optional<Truncation>& truncation() const;
  const std::optional<Padding>& padding() const;
  /// Throws Error(InvalidArgument) if the stride is not below what max_length leaves beside special tokens.
  void set_truncation(std::optional<Truncation> truncation);
  void set_padding(std::optional<Padding> padding);
  /// Whether special tokens in a text are cut like other text instead of being found whole. Not part of tokenizer.json.
  void set_encode_special_tokens(bool encode);
  /// Returns how many of them were new.
  std::size_t add_tokens(std::span<const AddedToken> tokens);

  /// tokenizer.json as the real library writes it (two spaces a level unless `pretty` is false).
  std::string to_json(bool pretty = true) const;
  void save(const std::filesystem::path& file) const;

 private:
  friend class DecodeStream;
  class Implementation;
  explicit Tokenizer(std::shared_ptr<const Implementation> implementation);
  std::shared_ptr<const Implementation> implementation_;
};

/// Decodes ids one at a time, as a model generates them. Holds as many ids as an incomplete character needs.
class DecodeStream {
 public:
  explicit DecodeStream(Tokenizer tokenizer, bool skip_special_tokens = true);
  /// The text that this id completes; nothing while a character is incomplete.
  /// Throws Error(InvalidArgument) where the real library does: when the prefix decoded so far is no longer one.
  std::optional<std::string> step(std::uint32_t id);

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::vector<std::uint32_t> ids_;
  std::string prefix_;
  std::size_t prefix_index_ = 0;
};

}  // namespace onnxport
