#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizers/convert.h"
#include "tokenizers/convert_components.h"
#include "tokenizers/sentencepiece_model.h"

/// What the converters of convert_*.cpp share.
namespace onnxport::tokenizers {

/// The slow tokenizer's ids: its vocabulary, the tokens that its files add, and special tokens that are in neither,
/// which get the next ids in transformers' order.
class SlowVocabulary {
 public:
  explicit SlowVocabulary(const SlowTokenizer& slow);

  /// A later id of the same token replaces the earlier one.
  void add(std::string_view token, std::uint32_t id);
  void append(std::string_view token) { add(token, static_cast<std::uint32_t>(next_id_)); }
  /// To be called once, when the vocabulary is complete.
  void append_special_tokens();

  /// convert_tokens_to_ids(). Throws Error(InvalidTokenizer) if neither the token nor unk_token has an id.
  std::uint32_t id(std::string_view token) const;
  std::optional<std::uint32_t> find(std::string_view token) const;
  /// convert_ids_to_tokens(); unk_token if there is no such id.
  std::string token(std::uint32_t id) const;
  /// The token of an argument with its id.
  std::pair<std::string, std::uint32_t> special(std::string_view argument) const;

 private:
  const SlowTokenizer& slow_;
  std::unordered_map<std::string, std::uint32_t> ids_;
  std::unordered_map<std::string, std::uint32_t> added_ids_;
  std::size_t next_id_ = 0;
};

/// The contents of a text or model file. Throws Error(InvalidTokenizer) if it is missing.
std::string read_slow_file(const std::filesystem::path& file);

/// "model" as text, piece by piece.
class ModelText {
 public:
  /// `head` is the members before the vocabulary: an object.
  explicit ModelText(const Json& head);

  void begin_object(std::string_view member) { begin(member, '{'); }
  void begin_array(std::string_view member) { begin(member, '['); }
  void end() { text_ += std::exchange(closing_, '\0'); }

  void token(std::string_view content, std::uint32_t id);
  void merge(std::string_view left, std::string_view right);
  void scored(std::string_view content, double score);
  /// The text, completed by a last member.
  std::string finish(std::string_view last_member = {});

 private:
  void begin(std::string_view member, char opening);
  void separate();

  std::string text_;
  char closing_ = '\0';
  bool first_ = true;
};

ConvertedTokenizer convert_wordpiece(const SlowTokenizer& slow);
ConvertedTokenizer convert_bpe(const SlowTokenizer& slow);
ConvertedTokenizer convert_sentencepiece(const SlowTokenizer& slow);
/// The same of a model that was read already.
ConvertedTokenizer convert_sentencepiece(const SlowTokenizer& slow, SentencePieceModel model);

/// Whether convert_...() has a converter for the class.
bool is_wordpiece_class(std::string_view name);
bool is_bpe_class(std::string_view name);
bool is_sentencepiece_class(std::string_view name);

}  // namespace onnxport::tokenizers
