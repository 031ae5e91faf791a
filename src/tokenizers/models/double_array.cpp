#include "tokenizers/models/double_array.h"

#include <algorithm>
#include <array>

namespace onnxport::tokenizers {

/// Places nodes one after the other. Free units of all blocks are a doubly linked list through `base` (next) and
/// `value` (previous).
class DoubleArray::Builder {
 public:
  Builder(std::span<const std::pair<std::string_view, std::uint32_t>> words, std::vector<Unit>& units)
      : words_(words), units_(units) {}

  void build() {
    add_block();
    take(root);
    units_[root].base = 0;
    // Words with a common beginning of `depth` bytes, which leads to `node`. A list of its own, as a recursion would
    // be as deep as the longest word.
    struct Range {
      std::size_t begin;
      std::size_t end;
      std::size_t depth;
      std::uint32_t node;
    };
    std::vector<Range> todo{{0, words_.size(), 0, root}};
    std::vector<std::size_t> begins;
    std::vector<unsigned char> labels;
    while (!todo.empty()) {
      Range range = todo.back();
      todo.pop_back();
      if (range.begin < range.end && words_[range.begin].first.size() == range.depth) {
        units_[range.node].value = words_[range.begin].second;
        ++range.begin;
      }
      if (range.begin == range.end) continue;
      labels.clear();
      begins.clear();
      for (std::size_t i = range.begin; i < range.end;) {
        const auto label = static_cast<unsigned char>(words_[i].first[range.depth]);
        labels.push_back(label);
        begins.push_back(i);
        i = end_of(i, range.end, range.depth, label);
      }
      begins.push_back(range.end);
      const std::uint32_t base = place(labels);
      units_[range.node].base = base;
      for (std::size_t i = 0; i < labels.size(); ++i) {
        const std::uint32_t child = base ^ labels[i];
        take(child);
        units_[child].check = range.node;
        todo.push_back({begins[i], begins[i + 1], range.depth + 1, child});
      }
    }
    // Whoever is still free leads nowhere.
    for (std::uint32_t unit = first_free_; unit != none;) {
      const std::uint32_t next = units_[unit].base;
      units_[unit] = {0, none, none};
      unit = next;
    }
    // No node is a child of the root's own unit, so that a step to it always means "none".
    units_[root].check = none;
    // Every base ^ byte must be a unit.
    if (units_.size() % kBlock != 0) units_.resize((units_.size() / kBlock + 1) * kBlock);
  }

 private:
  static constexpr std::uint32_t kBlock = 256;
  /// How many free units are tried for a node of several children before a new block is opened.
  static constexpr int kTries = 24;

  /// Where the words whose byte at `depth` is `label` end.
  std::size_t end_of(std::size_t begin, std::size_t end, std::size_t depth, unsigned char label) const {
    const auto same = [&](std::size_t i) { return static_cast<unsigned char>(words_[i].first[depth]) == label; };
    // Most runs are short: step, then double.
    std::size_t step = 1;
    while (begin + step < end && same(begin + step)) {
      begin += step;
      step *= 2;
    }
    std::size_t low = begin + 1;
    std::size_t high = std::min(begin + step, end);
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (same(middle)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  void add_block() {
    const auto begin = static_cast<std::uint32_t>(units_.size());
    units_.resize(units_.size() + kBlock);
    for (std::uint32_t unit = begin; unit < begin + kBlock; ++unit) {
      units_[unit].value = unit == begin ? last_free_ : unit - 1;
      units_[unit].base = unit + 1 < begin + kBlock ? unit + 1 : none;
    }
    if (last_free_ == none) {
      first_free_ = begin;
    } else {
      units_[last_free_].base = begin;
    }
    last_free_ = begin + kBlock - 1;
    is_free_.resize(units_.size(), true);
  }

  void take(std::uint32_t unit) {
    const std::uint32_t next = units_[unit].base;
    const std::uint32_t previous = units_[unit].value;
    if (previous == none) {
      first_free_ = next;
    } else {
      units_[previous].base = next;
    }
    if (next == none) {
      last_free_ = previous;
    } else {
      units_[next].value = previous;
    }
    if (search_from_ == unit) search_from_ = next;
    is_free_[unit] = false;
    units_[unit] = {0, none, none};
  }

  bool fits(std::uint32_t base, const std::vector<unsigned char>& labels) const {
    return std::all_of(labels.begin(), labels.end(), [&](unsigned char label) { return is_free_[base ^ label]; });
  }

  std::uint32_t place(const std::vector<unsigned char>& labels) {
    if (labels.size() == 1) {
      if (first_free_ == none) add_block();
      return first_free_ ^ labels.front();
    }
    if (search_from_ == none) search_from_ = first_free_;
    int tries = 0;
    for (std::uint32_t unit = search_from_; unit != none && tries < kTries; unit = units_[unit].base, ++tries) {
      const std::uint32_t base = unit ^ labels.front();
      if (fits(base, labels)) return base;
    }
    const auto begin = static_cast<std::uint32_t>(units_.size());
    add_block();
    search_from_ = begin;  // what lies before is left to nodes of one child
    return begin;
  }

  std::span<const std::pair<std::string_view, std::uint32_t>> words_;
  std::vector<Unit>& units_;
  std::vector<bool> is_free_;
  std::uint32_t first_free_ = none;
  std::uint32_t last_free_ = none;
  std::uint32_t search_from_ = none;
};

DoubleArray::DoubleArray(std::span<const std::pair<std::string_view, std::uint32_t>> words) {
  Builder(words, units_).build();
}

}  // namespace onnxport::tokenizers
