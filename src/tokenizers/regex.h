#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/normalized_string.h"

namespace onnxport::tokenizers {

/// A regular expression of Oniguruma in Ruby's syntax, as the real library uses it. Immutable; any number of threads
/// may search at once.
class Regex {
 public:
  /// Throws Error(InvalidTokenizer) with Oniguruma's message.
  explicit Regex(std::string_view pattern);

  /// The matches that do not overlap, in order; empty ones among them, but not right behind another match.
  /// Throws Error(InvalidTokenizer) where the expression takes too long on this text.
  std::vector<Range> find_all(std::string_view text) const;

  const std::string& pattern() const { return pattern_; }

 private:
  std::string pattern_;
  std::shared_ptr<void> regex_;  ///< regex_t
};

}  // namespace onnxport::tokenizers
