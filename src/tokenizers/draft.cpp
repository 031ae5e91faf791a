#include "tokenizers/draft.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "onnxport/error.h"

namespace onnxport::tokenizers {
namespace {

/// Calls visit on each field of one encoding and the same field of another.
template <typename Target, typename Source, typename Visit>
void visit_fields(Target& target, Source& source, Visit visit) {
  visit(target.ids, source.ids);
  visit(target.type_ids, source.type_ids);
  visit(target.attention_mask, source.attention_mask);
  visit(target.special_tokens_mask, source.special_tokens_mask);
  visit(target.offsets, source.offsets);
  visit(target.word_ids, source.word_ids);
  visit(target.tokens, source.tokens);
}

void append(Encoding& target, const Encoding& source) {
  visit_fields(target, source, [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); });
}

Encoding window(const Encoding& source, Range range) {
  Encoding result;
  visit_fields(result, source, [&](auto& to, const auto& from) {
    if (from.empty()) return;
    to.assign(from.begin() + static_cast<std::ptrdiff_t>(range.begin),
              from.begin() + static_cast<std::ptrdiff_t>(range.end));
  });
  return result;
}

/// The windows of a text of `size` tokens, the one that stays first.
std::vector<Range> windows_of(std::size_t size, std::size_t max_length, std::size_t stride, Direction direction) {
  const std::size_t step = max_length - stride;
  std::vector<Range> windows;
  if (direction == Direction::Right) {
    for (std::size_t begin = 0; begin < size; begin += step) {
      windows.push_back({begin, std::min(begin + max_length, size)});
      if (windows.back().end == size) break;
    }
  } else {
    for (std::size_t end = size; end > 0; end = end > step ? end - step : 0) {
      windows.push_back({end > max_length ? end - max_length : 0, end});
      if (windows.back().begin == 0) break;
    }
  }
  return windows;
}

void truncate_one(Draft& draft, std::size_t max_length, std::size_t stride, Direction direction) {
  if (max_length >= draft.size()) return;
  if (max_length == 0) {
    Draft empty;
    empty.overflowing.push_back(std::move(draft));
    draft = std::move(empty);
    return;
  }
  if (stride >= max_length) {
    throw Error(ErrorKind::InvalidArgument, "truncation: the stride " + std::to_string(stride) +
                                                " must be below the length that special tokens leave, " +
                                                std::to_string(max_length));
  }
  Draft result;
  bool is_first = true;
  for (const Range& range : windows_of(draft.size(), max_length, stride, direction)) {
    if (is_first) {
      result.encoding = window(draft.encoding, range);
    } else {
      result.overflowing.push_back({window(draft.encoding, range), {}, {}});
    }
    is_first = false;
  }
  draft = std::move(result);
}

}  // namespace

void set_sequence(Draft& draft, std::size_t number, Range range) {
  if (draft.sequences.size() <= number) draft.sequences.resize(number + 1);
  draft.sequences[number] = range;
}

void append_special(Draft& draft, const SpecialToken& token, std::uint32_t type_id, DraftFields fields) {
  Encoding& encoding = draft.encoding;
  encoding.ids.push_back(token.id);
  encoding.type_ids.push_back(type_id);
  encoding.attention_mask.push_back(1);
  encoding.special_tokens_mask.push_back(1);
  if (fields.offsets) {
    encoding.offsets.emplace_back();
    encoding.word_ids.push_back(no_index);
  }
  if (fields.tokens) encoding.tokens.push_back(token.content);
}

void merge(Draft& draft, const Draft& other) {
  std::vector<Draft> overflowing;
  const auto combine = [&](const Draft& left, const Draft& right) {
    overflowing.push_back(left);
    merge(overflowing.back(), right);
  };
  for (const Draft& own : draft.overflowing) {
    combine(own, other);
    for (const Draft& others : other.overflowing) combine(own, others);
  }
  for (const Draft& others : other.overflowing) combine(draft, others);

  const std::size_t size = draft.size();
  for (std::size_t number = 0; number < other.sequences.size(); ++number) {
    if (const auto& range = other.sequences[number]) {
      set_sequence(draft, number, {size + range->begin, size + range->end});
    }
  }
  append(draft.encoding, other.encoding);
  draft.overflowing = std::move(overflowing);
}

void truncate(Draft& draft, Draft* pair, const Truncation& truncation) {
  const auto cut = [&](Draft& target, std::size_t length) {
    truncate_one(target, length, truncation.stride, truncation.direction);
  };
  if (truncation.max_length == 0) {
    cut(draft, 0);
    if (pair != nullptr) cut(*pair, 0);
    return;
  }
  const std::size_t total = draft.size() + (pair != nullptr ? pair->size() : 0);
  if (total <= truncation.max_length) return;
  const std::size_t excess = total - truncation.max_length;

  if (truncation.strategy == TruncationStrategy::LongestFirst) {
    if (pair == nullptr) {
      cut(draft, truncation.max_length);
      return;
    }
    // The shorter one keeps its length as long as it takes no more than half.
    std::size_t shorter = std::min(draft.size(), pair->size());
    std::size_t longer = shorter > truncation.max_length ? shorter : std::max(shorter, truncation.max_length - shorter);
    if (shorter + longer > truncation.max_length) {
      shorter = truncation.max_length / 2;
      longer = shorter + truncation.max_length % 2;
    }
    const bool is_first_longer = draft.size() > pair->size();
    cut(draft, is_first_longer ? longer : shorter);
    cut(*pair, is_first_longer ? shorter : longer);
    return;
  }

  Draft* target = truncation.strategy == TruncationStrategy::OnlyFirst ? &draft : pair;
  if (target == nullptr) {
    throw Error(ErrorKind::InvalidArgument, "truncation: OnlySecond needs a pair, but only one text was given");
  }
  if (target->size() <= excess) {
    throw Error(ErrorKind::InvalidArgument, "truncation: the text to cut has " + std::to_string(target->size()) +
                                                " tokens, too few to remove " + std::to_string(excess));
  }
  cut(*target, target->size() - excess);
}

std::size_t padded_length(std::size_t longest, const Padding& padding) {
  std::size_t length = padding.length.value_or(longest);
  const std::size_t multiple = padding.pad_to_multiple_of.value_or(0);
  if (multiple > 0 && length % multiple > 0) length += multiple - length % multiple;
  return length;
}

void pad(Draft& draft, std::size_t length, const Padding& padding, DraftFields fields) {
  for (Draft& overflowing : draft.overflowing) pad(overflowing, length, padding, fields);
  if (draft.size() >= length) return;
  const std::size_t count = length - draft.size();
  const auto add = [&](auto& values, const auto& value) {
    values.insert(padding.direction == Direction::Left ? values.begin() : values.end(), count, value);
  };
  Encoding& encoding = draft.encoding;
  add(encoding.ids, padding.pad_id);
  add(encoding.type_ids, padding.pad_type_id);
  add(encoding.attention_mask, 0U);
  add(encoding.special_tokens_mask, 1U);
  if (fields.offsets) {
    add(encoding.offsets, Offset{});
    add(encoding.word_ids, no_index);
  }
  if (fields.tokens) add(encoding.tokens, padding.pad_token);
  if (padding.direction == Direction::Left) {
    for (auto& range : draft.sequences) {
      if (range) range = Range{range->begin + count, range->end + count};
    }
  }
}

Encoding finish(Draft draft, EncodingFields fields) {
  Encoding result = std::move(draft.encoding);
  if (fields != EncodingFields::All) result.tokens.clear();
  if (fields != EncodingFields::Ids) {
    const auto count = static_cast<std::size_t>(std::count_if(draft.sequences.begin(), draft.sequences.end(),
                                                              [](const auto& range) { return range.has_value(); }));
    result.sequence_ids.assign(result.ids.size(), no_index);
    // As many sequences as are known, numbered from 0; one that is not known has all tokens.
    for (std::size_t number = 0; number < std::max<std::size_t>(count, 1); ++number) {
      const Range range = number < draft.sequences.size() && draft.sequences[number] ? *draft.sequences[number]
                                                                                     : Range{0, result.ids.size()};
      std::fill(result.sequence_ids.begin() + static_cast<std::ptrdiff_t>(range.begin),
                result.sequence_ids.begin() + static_cast<std::ptrdiff_t>(range.end),
                static_cast<std::int32_t>(number));
    }
  }
  result.overflowing.reserve(draft.overflowing.size());
  for (Draft& overflowing : draft.overflowing) result.overflowing.push_back(finish(std::move(overflowing), fields));
  return result;
}

}  // namespace onnxport::tokenizers
