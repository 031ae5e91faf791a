#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/models/hash.h"

namespace onnxport::tokenizers {

/// Words with their ids, both ways. All words lie in one string and the index is one flat table, so that a lookup
/// touches two cache lines.
class Vocabulary {
 public:
  /// What find() gives for a word that is absent.
  static constexpr std::uint32_t none = 0xffffffff;
  /// Ids above are refused by add(): the table of words by id is dense.
  static constexpr std::uint32_t largest_id = (1U << 24) - 1;

  enum class Added {
    Yes,
    KnownWord,
    KnownId,
    IdTooLarge,
  };

  Vocabulary();

  void reserve(std::size_t words, std::size_t bytes);
  /// Leaves the vocabulary as it was unless the word is added.
  Added add(std::string_view word, std::uint32_t id);
  /// The word keeps its place, but find() gives `id` from now on; it has two ids then. For Unigram's repeated pieces.
  void redirect(std::string_view word, std::uint32_t id);

  std::uint32_t find(std::string_view word) const {
    for (std::size_t slot = hash(word) & mask_;; slot = (slot + 1) & mask_) {
      const Slot& candidate = slots_[slot];
      if (candidate.id == none) return none;
      if (candidate.length == word.size() &&
          std::string_view(characters_.data() + candidate.begin, candidate.length) == word) {
        return candidate.id;
      }
    }
  }

  /// The view lives as long as the vocabulary is not changed.
  std::optional<std::string_view> word(std::uint32_t id) const {
    if (id >= words_.size() || words_[id].length == none) return std::nullopt;
    return std::string_view(characters_.data() + words_[id].begin, words_[id].length);
  }

  /// Number of words.
  std::size_t size() const { return size_; }
  /// One above the largest id.
  std::uint32_t id_end() const { return static_cast<std::uint32_t>(words_.size()); }

 private:
  struct Slot {
    std::uint32_t begin = 0;
    std::uint32_t length = 0;
    std::uint32_t id = none;
  };
  struct Word {
    std::uint32_t begin = 0;
    std::uint32_t length = none;
  };

  std::size_t hash(std::string_view word) const { return hash_bytes(word, seed_); }
  Slot& slot_of(std::string_view word);
  void grow(std::size_t slots);

  std::string characters_;
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::vector<Word> words_;  ///< by id
  std::size_t size_ = 0;
  std::uint64_t seed_;  ///< no file can be made whose words collide
};

}  // namespace onnxport::tokenizers
