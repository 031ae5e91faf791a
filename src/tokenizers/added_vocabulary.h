#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "onnxport/tokenizer.h"
#include "tokenizers/model.h"
#include "tokenizers/normalizers.h"
#include "tokenizers/pre_tokenizers.h"

namespace onnxport::tokenizers {

/// Finds which of many strings a text has, leftmost first, and of those at one place the longest.
class StringSet {
 public:
  StringSet() = default;
  /// Empty strings are never found. Of equal strings the first is.
  explicit StringSet(const std::vector<std::string>& strings);

  struct Match {
    Range range;
    std::size_t number = 0;  ///< of the string
  };
  std::vector<Match> find_all(std::string_view text) const;
  bool empty() const { return nodes_.size() < 2; }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  struct Node {
    std::uint32_t child = kNone;    ///< first of its children
    std::uint32_t sibling = kNone;  ///< next child of its parent
    std::uint32_t string = kNone;   ///< number of the string that ends here
    char byte = 0;
  };

  std::uint32_t child_of(std::uint32_t node, char byte) const;

  std::vector<Node> nodes_;           ///< a trie; the root is the first
  std::vector<std::uint32_t> first_;  ///< children of the root, by byte
};

/// "added_tokens" of tokenizer.json: tokens that are found in a text before all else.
class AddedVocabulary {
 public:
  /// Returns how many were new. `normalizer` may be null; it is applied to tokens that are `normalized`.
  std::size_t add(std::span<const AddedToken> tokens, const Model& model, const Normalizer* normalizer);

  std::optional<std::uint32_t> token_to_id(std::string_view token) const;
  const AddedToken* find(std::uint32_t id) const;
  bool is_special(std::string_view token) const { return special_.contains(std::string(token)); }
  /// Ordered by id.
  std::span<const AddedToken> tokens() const { return ordered_; }
  /// Contents and their ids; several contents may share one id.
  const std::unordered_map<std::string, std::uint32_t>& ids() const { return ids_; }

  /// A text that is split at added tokens and normalized between them. `text` is valid UTF-8 below 4 GiB.
  PieceList split(std::string_view text, const Normalizer* normalizer) const;

  struct Part {
    Range range;
    std::optional<std::uint32_t> id{};
  };
  /// The same for a text that the normalizer leaves as it is, without the normalizing. Otherwise (`is_normalized` is
  /// false) nothing where tokens are to be found in normalized text.
  std::optional<std::vector<Part>> split_raw(std::string_view text, bool is_normalized) const;
  /// Whether special tokens are left in the text.
  void set_encode_special_tokens(bool encode) { encodes_special_tokens_ = encode; }
  bool encodes_special_tokens() const { return encodes_special_tokens_; }
  bool finds_normalized() const { return !normalized_.empty(); }

 private:
  void rebuild(const Model& model, const Normalizer* normalizer);
  std::vector<Part> find_parts(std::string_view text, const StringSet& strings,
                               const std::vector<std::uint32_t>& string_ids) const;

  std::unordered_map<std::string, std::uint32_t> ids_;
  std::unordered_map<std::uint32_t, AddedToken> by_id_;
  std::vector<AddedToken> ordered_;
  // As they were first given: these decide on the order of the search, and where it is done.
  std::vector<AddedToken> special_tokens_;
  std::vector<AddedToken> plain_tokens_;
  std::unordered_set<std::string> special_;
  bool encodes_special_tokens_ = false;

  StringSet raw_;  ///< searched before normalization
  std::vector<std::uint32_t> raw_ids_;
  StringSet normalized_;  ///< searched after it
  std::vector<std::uint32_t> normalized_ids_;
};

}  // namespace onnxport::tokenizers
