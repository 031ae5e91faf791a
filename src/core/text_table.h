#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What reports on a terminal are drawn with.
namespace onnxport {

/// Lines of cells (UTF-8), each column as wide as its widest cell. Columns named in `right` are aligned to the right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::size_t> right = {}) : right_(std::move(right)) {}

  void add(std::vector<std::string> cells);
  /// Every line is indented by two spaces and ends with a line feed.
  std::string draw() const;

 private:
  std::vector<std::size_t> right_;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

/// A bar of `fraction` of the full width of 24 characters, in steps of an eighth; never empty for more than nothing.
std::string draw_bar(double fraction);
/// 0 of nothing.
double fraction_of(std::int64_t part, std::int64_t whole);

/// "265.5 MB", in powers of 1000 as disks and Hugging Face's pages count.
std::string format_bytes(std::int64_t bytes);
/// "35.3 %"
std::string format_percentage(double fraction);
/// "66,955,010"
std::string format_count(std::int64_t count);
/// "1 tensor", "2 tensors"
std::string format_count(std::int64_t count, std::string_view noun);

}  // namespace onnxport
