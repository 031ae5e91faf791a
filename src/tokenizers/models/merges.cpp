#include "tokenizers/models/merges.h"

#include <algorithm>
#include <array>
#include <bit>
#include <queue>

namespace onnxport::tokenizers {

Merges::Merges(std::size_t expected)
    : slots_(std::bit_ceil(std::max<std::size_t>(2 * expected + 2, 16))), mask_(slots_.size() - 1) {}

void Merges::add(std::uint32_t left, std::uint32_t right, Merge merge) {
  const std::uint64_t pair = key(left, right);
  std::size_t slot = hash(pair) & mask_;
  while (slots_[slot].merge.rank != none && slots_[slot].pair != pair) slot = (slot + 1) & mask_;
  slots_[slot] = {pair, merge};
}

std::vector<std::pair<std::uint32_t, std::uint32_t>> Merges::ordered() const {
  std::vector<Slot> used;
  std::copy_if(slots_.begin(), slots_.end(), std::back_inserter(used),
               [](const Slot& slot) { return slot.merge.rank != none; });
  std::sort(used.begin(), used.end(), [](const Slot& a, const Slot& b) { return a.merge.rank < b.merge.rank; });
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  pairs.reserve(used.size());
  for (const Slot& slot : used) {
    pairs.emplace_back(static_cast<std::uint32_t>(slot.pair >> 32), static_cast<std::uint32_t>(slot.pair));
  }
  return pairs;
}

namespace {

/// Up to here looking at all pairs for each merge beats a queue.
constexpr std::size_t kShortWord = 48;

std::size_t merge_short_word(const Merges& merges, std::span<Symbol> symbols) {
  std::array<Merges::Merge, kShortWord> pairs;  // pairs[i]: symbols i and i + 1
  std::size_t size = symbols.size();
  for (std::size_t i = 0; i + 1 < size; ++i) pairs[i] = merges.find(symbols[i].id, symbols[i + 1].id);
  while (size > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < size; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == Merges::none) break;
    symbols[best] = {pairs[best].id, symbols[best].length + symbols[best + 1].length};
    --size;
    for (std::size_t i = best + 1; i < size; ++i) symbols[i] = symbols[i + 1];
    for (std::size_t i = best; i + 1 < size; ++i) pairs[i] = pairs[i + 1];
    if (best + 1 < size) pairs[best] = merges.find(symbols[best].id, symbols[best + 1].id);
    if (best > 0) pairs[best - 1] = merges.find(symbols[best - 1].id, symbols[best].id);
  }
  return size;
}

struct Candidate {
  std::uint64_t order;  ///< rank, then position
  std::uint32_t id;
  bool operator>(const Candidate& other) const { return order > other.order; }
};

struct Links {
  std::uint32_t previous;
  std::uint32_t next;
};

std::size_t merge_long_word(const Merges& merges, std::span<Symbol> symbols) {
  constexpr std::uint32_t end = Merges::none;
  std::vector<Links> links(symbols.size());
  std::vector<Candidate> first;
  const auto candidate = [&](std::uint32_t position, std::uint32_t next) {
    const Merges::Merge merge = merges.find(symbols[position].id, symbols[next].id);
    return std::pair(merge.rank != Merges::none, Candidate{std::uint64_t{merge.rank} << 32 | position, merge.id});
  };
  const auto size = static_cast<std::uint32_t>(symbols.size());
  for (std::uint32_t i = 0; i < size; ++i) {
    links[i] = {i == 0 ? end : i - 1, i + 1 < size ? i + 1 : end};
    if (i + 1 == size) break;
    if (const auto [merges_here, pair] = candidate(i, i + 1); merges_here) first.push_back(pair);
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>(), std::move(first));
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    const auto position = static_cast<std::uint32_t>(top.order);
    Symbol& symbol = symbols[position];
    const std::uint32_t next = links[position].next;
    if (symbol.length == 0 || next == end) continue;
    // The symbols may have changed since the candidate was queued.
    const Merges::Merge merge = merges.find(symbol.id, symbols[next].id);
    if (merge.rank == Merges::none || merge.id != top.id) continue;
    symbol = {top.id, symbol.length + symbols[next].length};
    symbols[next].length = 0;
    const std::uint32_t behind = links[next].next;
    links[position].next = behind;
    if (behind != end) links[behind].previous = position;
    const std::uint32_t previous = links[position].previous;
    if (previous != end) {
      if (const auto [merges_here, pair] = candidate(previous, position); merges_here) queue.push(pair);
    }
    if (behind != end) {
      if (const auto [merges_here, pair] = candidate(position, behind); merges_here) queue.push(pair);
    }
  }
  const auto kept =
      std::remove_if(symbols.begin(), symbols.end(), [](const Symbol& symbol) { return symbol.length == 0; });
  return static_cast<std::size_t>(kept - symbols.begin());
}

}  // namespace

std::size_t merge_symbols(const Merges& merges, std::span<Symbol> symbols) {
  return symbols.size() <= kShortWord ? merge_short_word(merges, symbols) : merge_long_word(merges, symbols);
}

}  // namespace onnxport::tokenizers
