#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport::pipelines {

/// A text by the positions that tokenizers give: code points of the text, whose invalid parts are read as U+FFFD.
class CodePoints {
 public:
  explicit CodePoints(std::string_view text);

  std::size_t size() const { return begins_.size() - 1; }
  /// As Python's text[begin:end] for positions that are not negative.
  std::string_view slice(std::size_t begin, std::size_t end) const;

 private:
  std::string text_;
  std::vector<std::size_t> begins_;  ///< of each code point in bytes, and the end
};

std::size_t count_code_points(std::string_view text);

}  // namespace onnxport::pipelines
