#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tokenizers/models/hash.h"

namespace onnxport::tokenizers {

/// Which pairs of tokens merge into which, and in what order: a flat hash table.
class Merges {
 public:
  static constexpr std::uint32_t none = 0xffffffff;
  struct Merge {
    std::uint32_t rank = none;  ///< lower ones come first; none: the pair does not merge
    std::uint32_t id = 0;       ///< of the token that results
  };

  Merges() : Merges(0) {}
  explicit Merges(std::size_t expected);

  /// A pair that is given again gets the later rank.
  void add(std::uint32_t left, std::uint32_t right, Merge merge);

  Merge find(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t pair = key(left, right);
    for (std::size_t slot = hash(pair) & mask_;; slot = (slot + 1) & mask_) {
      const Slot& candidate = slots_[slot];
      if (candidate.pair == pair) return candidate.merge;
      if (candidate.merge.rank == none) return {};
    }
  }

  /// Calls visit(left, right) for all pairs, in no order.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.merge.rank != none) {
        visit(static_cast<std::uint32_t>(slot.pair >> 32), static_cast<std::uint32_t>(slot.pair));
      }
    }
  }
  /// All pairs by rank.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ordered() const;

 private:
  struct Slot {
    std::uint64_t pair = 0;
    Merge merge{};
  };

  static std::uint64_t key(std::uint32_t left, std::uint32_t right) { return std::uint64_t{left} << 32 | right; }
  static std::size_t hash(std::uint64_t pair) { return fold(pair ^ 0xa0761d6478bd642f, 0xe7037ed1a0b428db); }

  std::vector<Slot> slots_;
  std::size_t mask_;
};

/// A symbol of a word that is being merged: a token and how many bytes of the word it stands for.
struct Symbol {
  std::uint32_t id = 0;
  std::uint32_t length = 0;
};

/// Merges neighbours, the pair of lowest rank first and the leftmost among equals, until no pair merges. Returns how
/// many symbols are left at the front. n log n for any number of symbols.
std::size_t merge_symbols(const Merges& merges, std::span<Symbol> symbols);

}  // namespace onnxport::tokenizers
