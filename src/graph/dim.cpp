#include "graph/dim.h"

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport {
namespace {

std::string text_of(const Dim::Term& term) {
  std::string text;
  for (const Dim::Atom& atom : term.atoms) text += (text.empty() ? "" : " * ") + atom.text;
  return text;
}

/// Sorts, merges equal products and drops those whose coefficient became zero.
std::vector<Dim::Term> canonical(std::vector<Dim::Term> terms) {
  std::map<std::string, Dim::Term> merged;
  for (Dim::Term& term : terms) {
    std::sort(term.atoms.begin(), term.atoms.end(), [](const auto& a, const auto& b) { return a.text < b.text; });
    auto [position, inserted] = merged.try_emplace(text_of(term), term);
    if (!inserted) position->second.coefficient += term.coefficient;
  }
  std::vector<Dim::Term> result;
  for (auto& [text, term] : merged)
    if (term.coefficient != 0 && !text.empty()) result.push_back(std::move(term));
  if (auto constant = merged.find(""); constant != merged.end() && constant->second.coefficient != 0)
    result.push_back(constant->second);
  return result;
}

std::int64_t floor_quotient(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

}  // namespace

Dim::Dim(std::int64_t value) {
  if (value != 0) terms_.push_back({value, {}});
}

Dim Dim::symbol(std::string_view name) {
  Dim dim;
  dim.terms_.push_back({1, {{std::string(name), nullptr}}});
  return dim;
}

bool Dim::is_constant() const { return terms_.empty() || (terms_.size() == 1 && terms_[0].atoms.empty()); }

std::int64_t Dim::constant() const {
  return !terms_.empty() && terms_.back().atoms.empty() ? terms_.back().coefficient : 0;
}

bool Dim::is_symbol() const {
  return terms_.size() == 1 && terms_[0].coefficient == 1 && terms_[0].atoms.size() == 1 &&
         !terms_[0].atoms[0].division;
}

std::string Dim::to_string() const {
  if (terms_.empty()) return "0";
  std::string text;
  for (const Term& term : terms_) {
    const std::int64_t magnitude = term.coefficient < 0 ? -term.coefficient : term.coefficient;
    if (text.empty()) {
      if (term.coefficient < 0) text = "- ";
    } else {
      text += term.coefficient < 0 ? " - " : " + ";
    }
    if (term.atoms.empty()) {
      text += std::to_string(magnitude);
    } else {
      if (magnitude != 1) text += std::to_string(magnitude) + " * ";
      text += text_of(term);
    }
  }
  return text;
}

std::int64_t Dim::evaluate(const DimBindings& bindings) const {
  const Dim value = substitute(bindings);
  if (!value.is_constant())
    throw Error(ErrorKind::InvalidArgument, "the dimension \"" + value.to_string() + "\" has a symbol without a size");
  return value.constant();
}

Dim Dim::substitute(const DimBindings& bindings) const {
  Dim result;
  for (const Term& term : terms_) {
    Dim product(term.coefficient);
    for (const Atom& atom : term.atoms) {
      if (atom.division) {
        product = product * floor_div(atom.division->dividend.substitute(bindings), atom.division->divisor);
      } else if (auto found = bindings.find(atom.text); found != bindings.end()) {
        product = product * Dim(found->second);
      } else {
        product = product * symbol(atom.text);
      }
    }
    result = result + product;
  }
  return result;
}

Dim operator+(const Dim& a, const Dim& b) {
  std::vector<Dim::Term> terms = a.terms_;
  terms.insert(terms.end(), b.terms_.begin(), b.terms_.end());
  Dim result;
  result.terms_ = canonical(std::move(terms));
  return result;
}

Dim operator-(const Dim& a, const Dim& b) { return a + b * Dim(-1); }

Dim operator*(const Dim& a, const Dim& b) {
  std::vector<Dim::Term> terms;
  for (const Dim::Term& x : a.terms_) {
    for (const Dim::Term& y : b.terms_) {
      Dim::Term product{x.coefficient * y.coefficient, x.atoms};
      product.atoms.insert(product.atoms.end(), y.atoms.begin(), y.atoms.end());
      terms.push_back(std::move(product));
    }
  }
  Dim result;
  result.terms_ = canonical(std::move(terms));
  return result;
}

Dim floor_div(const Dim& a, std::int64_t divisor) {
  if (divisor <= 0) throw Error(ErrorKind::InvalidArgument, "a dimension can be divided by positive numbers only");
  // What the divisor divides leaves the division: (4 x + 5) // 4 = x + 5 // 4.
  Dim quotient;
  Dim rest;
  for (const Dim::Term& term : a.terms_) {
    Dim whole;
    whole.terms_ = {term};
    if (term.coefficient % divisor == 0) {
      whole.terms_[0].coefficient /= divisor;
      quotient = quotient + whole;
    } else {
      rest = rest + whole;
    }
  }
  if (rest.is_constant()) return quotient + Dim(floor_quotient(rest.constant(), divisor));
  Dim::Term term{1, {}};
  const std::string dividend = rest.is_symbol() ? rest.to_string() : "( " + rest.to_string() + " )";
  // Parentheses around the whole keep precedence when the division is a factor of a product.
  term.atoms.push_back({"( " + dividend + " // " + std::to_string(divisor) + " )",
                        std::make_shared<const Dim::FloorDivision>(Dim::FloorDivision{rest, divisor})});
  Dim division;
  division.terms_ = {std::move(term)};
  return quotient + division;
}

Dim ceil_div(const Dim& a, std::int64_t divisor) { return floor_div(a + Dim(divisor - 1), divisor); }

bool operator==(const Dim& a, const Dim& b) {
  return std::equal(a.terms_.begin(), a.terms_.end(), b.terms_.begin(), b.terms_.end(),
                    [](const Dim::Term& x, const Dim::Term& y) {
                      return x.coefficient == y.coefficient && text_of(x) == text_of(y);
                    });
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + shape[i].to_string();
  return text + (shape.size() == 1 ? ",)" : ")");
}

Dim element_count(const Shape& shape) {
  Dim count(1);
  for (const Dim& dim : shape) count = count * dim;
  return count;
}

std::vector<std::int64_t> evaluate(const Shape& shape, const DimBindings& bindings) {
  std::vector<std::int64_t> sizes;
  sizes.reserve(shape.size());
  for (const Dim& dim : shape) sizes.push_back(dim.evaluate(bindings));
  return sizes;
}

}  // namespace onnxport
