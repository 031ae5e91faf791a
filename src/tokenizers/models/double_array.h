#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace onnxport::tokenizers {

/// A trie over bytes in which a step is one look into an array.
class DoubleArray {
 public:
  static constexpr std::uint32_t none = 0xffffffff;
  static constexpr std::uint32_t root = 0;

  DoubleArray() : DoubleArray(std::span<const std::pair<std::string_view, std::uint32_t>>()) {}
  /// From words, sorted by their bytes and different from each other, and their values (not `none`).
  explicit DoubleArray(std::span<const std::pair<std::string_view, std::uint32_t>> words);

  /// The node that a byte leads to, root if there is none.
  std::uint32_t step(std::uint32_t node, char byte) const {
    const std::uint32_t next = units_[node].base ^ static_cast<unsigned char>(byte);
    return units_[next].check == node ? next : root;
  }
  /// The value of the word that ends at a node, none if no word does.
  std::uint32_t value(std::uint32_t node) const { return units_[node].value; }

 private:
  struct Unit {
    std::uint32_t base = 0;      ///< children are at base ^ byte: inside one block of 256 units
    std::uint32_t check = none;  ///< the parent; none: unused
    std::uint32_t value = none;
  };
  class Builder;

  std::vector<Unit> units_;
};

}  // namespace onnxport::tokenizers
