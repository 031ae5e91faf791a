#include "tokenizers/sentencepiece_normalizer.h"

#include <string>
#include <utility>
#include <vector>

#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::string_view kSpace = "\u2581";

/// Text with where its bytes came from, built from the front.
class Builder {
 public:
  explicit Builder(const NormalizedString& source) : source_(source) {}

  /// Appends what bytes [begin, end) of the source became.
  void append(std::string_view text, std::size_t begin, std::size_t end) {
    text_ += text;
    const auto place = begin == end ? Alignment{start_of(begin), start_of(begin)}
                                    : Alignment{source_.alignments[begin].begin, source_.alignments[end - 1].end};
    alignments_.resize(text_.size(), place);
  }
  /// Appends bytes of the source as they are.
  void copy(std::size_t begin, std::size_t end) {
    text_.append(source_.text, begin, end - begin);
    const auto first = source_.alignments.begin();
    alignments_.insert(alignments_.end(), first + static_cast<std::ptrdiff_t>(begin),
                       first + static_cast<std::ptrdiff_t>(end));
  }

  /// Removes spaces at the end, but nothing before `begin`.
  void strip_end(std::size_t begin) {
    while (text_.size() > begin && std::string_view(text_).substr(begin).ends_with(kSpace))
      text_.resize(text_.size() - kSpace.size());
    alignments_.resize(text_.size());
  }

  std::size_t size() const { return text_.size(); }
  void move_to(NormalizedString& target) && {
    target.text = std::move(text_);
    target.alignments = std::move(alignments_);
  }

 private:
  std::uint32_t start_of(std::size_t position) const {
    return position < source_.alignments.size() ? source_.alignments[position].begin : source_.original_end;
  }

  const NormalizedString& source_;
  std::string text_;
  std::vector<Alignment> alignments_;
};

}  // namespace

std::size_t language_code_size(std::string_view text) {
  if (!text.starts_with(">>")) return 0;
  const std::size_t end = text.find("<<");
  return end == std::string_view::npos ? 0 : end + 2;
}

void SentencePieceNormalizer::normalize(NormalizedString& target) const {
  const std::string_view text = target.text;
  // What the text's next character, or the rule for what it begins with, makes of it.
  const auto next = [&](std::size_t position) {
    const std::string_view rest = text.substr(position);
    if (charsmap) {
      if (const auto match = charsmap->longest_match(rest)) return *match;
    }
    std::size_t size = 0;
    next_character(rest, size);
    return Charsmap::Match{size, rest.substr(0, size)};
  };

  Builder builder(target);
  std::size_t position = keep_language_code ? language_code_size(text) : 0;
  builder.copy(0, position);
  const std::size_t begin = builder.size();
  if (remove_extra_whitespaces) {
    while (position < text.size()) {
      const auto [size, part] = next(position);
      if (part != " ") break;
      position += size;
    }
  }
  if (position < text.size() && add_dummy_prefix) builder.append(kSpace, position, position);
  bool is_after_space = remove_extra_whitespaces;
  while (position < text.size()) {
    auto [size, part] = next(position);
    while (is_after_space && part.starts_with(' ')) part.remove_prefix(1);
    for (std::size_t i = 0; i < part.size();) {
      const std::size_t space = part.find(' ', i);
      if (space != i) builder.append(part.substr(i, space - i), position, position + size);
      if (space == std::string_view::npos) break;
      builder.append(kSpace, position, position + size);
      i = space + 1;
    }
    if (!part.empty()) is_after_space = remove_extra_whitespaces && part.ends_with(' ');
    position += size;
  }
  if (remove_extra_whitespaces) builder.strip_end(begin);
  std::move(builder).move_to(target);
}

}  // namespace onnxport::tokenizers
