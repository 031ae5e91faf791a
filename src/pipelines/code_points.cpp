#include "pipelines/code_points.h"

#include <algorithm>

#include "tokenizers/unicode.h"

namespace onnxport::pipelines {

CodePoints::CodePoints(std::string_view text) : text_(tokenizers::to_valid_utf8(text)) {
  for (std::size_t position = 0; position < text_.size(); tokenizers::next_character(text_, position))
    begins_.push_back(position);
  begins_.push_back(text_.size());
}

std::string_view CodePoints::slice(std::size_t begin, std::size_t end) const {
  end = std::min(end, size());
  if (begin >= end) return {};
  return std::string_view(text_).substr(begins_[begin], begins_[end] - begins_[begin]);
}

std::size_t count_code_points(std::string_view text) {
  return tokenizers::count_characters(tokenizers::to_valid_utf8(text));
}

}  // namespace onnxport::pipelines
