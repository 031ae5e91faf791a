#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport {

/// Sizes of the symbols for one run: {"batch_size": 2, "sequence_length": 16}.
using DimBindings = std::map<std::string, std::int64_t, std::less<>>;

/// One dimension of a shape: an integer polynomial over named symbols and floor divisions, in canonical form, so that
/// equal dimensions compare equal however they were computed.
class Dim {
 public:
  Dim() = default;
  Dim(std::int64_t value);  // NOLINT(google-explicit-constructor): a number is a dimension
  Dim(int value) : Dim(std::int64_t{value}) {}
  static Dim symbol(std::string_view name);

  bool is_constant() const;
  /// The constant; 0 is returned for a symbolic dimension, so ask is_constant() first.
  std::int64_t constant() const;
  /// True for a bare symbol, such as batch_size.
  bool is_symbol() const;

  /// Space-separated tokens that Python can evaluate, as Optimum's clients do: "past_sequence_length +
  /// sequence_length",
  /// "( height - 16 ) // 16 + 1".
  std::string to_string() const;
  /// Throws Error(InvalidArgument) naming a symbol that has no binding.
  std::int64_t evaluate(const DimBindings& bindings) const;
  /// Replaces the symbols that have a binding.
  Dim substitute(const DimBindings& bindings) const;

  /// A product of atoms with a coefficient; an atom is a symbol or the floor division of a dimension by a constant.
  struct FloorDivision;
  struct Atom {
    std::string text;                               ///< canonical text, also the key for comparing
    std::shared_ptr<const FloorDivision> division;  ///< null for a symbol
  };
  struct Term {
    std::int64_t coefficient = 0;
    std::vector<Atom> atoms;  ///< sorted by text; empty for the constant term
  };
  const std::vector<Term>& terms() const { return terms_; }

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend Dim floor_div(const Dim& a, std::int64_t divisor);
  friend bool operator==(const Dim& a, const Dim& b);

 private:
  std::vector<Term> terms_;  ///< sorted, the constant last; empty is 0
};

struct Dim::FloorDivision {
  Dim dividend;
  std::int64_t divisor = 1;
};

Dim floor_div(const Dim& a, std::int64_t divisor);
/// floor_div rounded up.
Dim ceil_div(const Dim& a, std::int64_t divisor);

using Shape = std::vector<Dim>;

/// "(batch_size, 16, 64)"
std::string to_string(const Shape& shape);
/// Product of all dimensions.
Dim element_count(const Shape& shape);
std::vector<std::int64_t> evaluate(const Shape& shape, const DimBindings& bindings);

}  // namespace onnxport
