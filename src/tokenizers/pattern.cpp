#include "tokenizers/pattern.h"

#include <algorithm>

#include "onnxport/error.h"
#include "tokenizers/scanners.h"

namespace onnxport::tokenizers {

Pattern read_pattern(const JsonField& field) {
  Pattern pattern;
  pattern.is_regex = field.has("Regex");
  const JsonField text = field.at(pattern.is_regex ? "Regex" : "String");
  pattern.text = text.string();
  if (pattern.is_regex || pattern.text.empty()) {
    try {
      pattern.regex.emplace(pattern.text);
    } catch (const Error& error) {
      text.fail(error.what());
    }
  }
  return pattern;
}

Json to_json(const Pattern& pattern) {
  return Json::Object{{pattern.is_regex ? "Regex" : "String", Json(pattern.text)}};
}

std::vector<Range> find_all(const Pattern& pattern, std::string_view text) {
  if (pattern.is_regex) {
    if (const Scanner scanner = find_scanner(pattern.text)) return scan_all(scanner, text);
  }
  if (pattern.regex) return pattern.regex->find_all(text);
  std::vector<Range> matches;
  for (std::size_t found = text.find(pattern.text); found != std::string_view::npos;
       found = text.find(pattern.text, matches.back().end)) {
    matches.push_back({found, found + pattern.text.size()});
  }
  return matches;
}

SplitBehavior read_split_behavior(const JsonField& field) {
  return static_cast<SplitBehavior>(
      field.one_of({"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"}));
}

Json to_json(SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::Removed:
      return "Removed";
    case SplitBehavior::Isolated:
      return "Isolated";
    case SplitBehavior::MergedWithPrevious:
      return "MergedWithPrevious";
    case SplitBehavior::MergedWithNext:
      return "MergedWithNext";
    case SplitBehavior::Contiguous:
      break;
  }
  return "Contiguous";
}

std::vector<Range> split(std::size_t text_size, const std::vector<Range>& matches, SplitBehavior behavior,
                         bool invert) {
  struct Part {
    Range range;
    bool is_match;
  };
  // The text in order, matches and what lies between them; empty matches are parts, too.
  std::vector<Part> parts;
  parts.reserve(2 * matches.size() + 1);
  std::size_t end = 0;
  for (const Range& match : matches) {
    if (end != match.begin) parts.push_back({{end, match.begin}, invert});
    parts.push_back({match, !invert});
    end = match.end;
  }
  if (end != text_size) parts.push_back({{end, text_size}, invert});

  std::vector<Range> result;
  result.reserve(parts.size());
  const auto merge_if = [&](const Part& part, bool merges) {
    if (merges && !result.empty()) {
      result.back() = {std::min(result.back().begin, part.range.begin), std::max(result.back().end, part.range.end)};
    } else {
      result.push_back(part.range);
    }
  };
  bool previous_is_match = false;
  switch (behavior) {
    case SplitBehavior::Isolated:
      for (const Part& part : parts) result.push_back(part.range);
      break;
    case SplitBehavior::Removed:
      for (const Part& part : parts) {
        if (!part.is_match) result.push_back(part.range);
      }
      break;
    case SplitBehavior::Contiguous:
      for (const Part& part : parts) {
        merge_if(part, part.is_match == previous_is_match);
        previous_is_match = part.is_match;
      }
      break;
    case SplitBehavior::MergedWithPrevious:
      for (const Part& part : parts) {
        merge_if(part, part.is_match && !previous_is_match);
        previous_is_match = part.is_match;
      }
      break;
    case SplitBehavior::MergedWithNext:
      for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        merge_if(*part, part->is_match && !previous_is_match);
        previous_is_match = part->is_match;
      }
      std::reverse(result.begin(), result.end());
      break;
  }
  std::erase_if(result, [](const Range& range) { return range.begin == range.end; });
  return result;
}

}  // namespace onnxport::tokenizers
