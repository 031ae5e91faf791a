#include "tokenizers/pretrained_document.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "onnxport/error.h"

namespace onnxport::tokenizers {
namespace {

/// Once all these were seen, nothing behind "model" is of interest.
constexpr std::array<std::string_view, 5> kSmallMembers = {"added_tokens", "normalizer", "pre_tokenizer",
                                                           "post_processor", "decoder"};

/// Finds the ends of JSON values without reading them. Positions are npos where the text is damaged.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::size_t skip_space(std::size_t position) const {
    const std::size_t found = text_.find_first_not_of(" \t\r\n", position);
    return found == std::string_view::npos ? text_.size() : found;
  }

  char at(std::size_t position) const { return position < text_.size() ? text_[position] : '\0'; }

  /// Behind the string whose opening quote stands at `position`.
  std::optional<std::size_t> end_of_string(std::size_t position) const {
    for (++position; position < text_.size(); ++position) {
      position = text_.find_first_of("\"\\", position);
      if (position == std::string_view::npos) return std::nullopt;
      if (text_[position] == '"') return position + 1;
      ++position;
    }
    return std::nullopt;
  }

  std::optional<std::size_t> end_of_value(std::size_t position) const {
    std::size_t depth = 0;
    while (position < text_.size()) {
      switch (text_[position]) {
        case '"': {
          const auto end = end_of_string(position);
          if (!end) return std::nullopt;
          position = *end;
          break;
        }
        case '{':
        case '[':
          ++depth;
          ++position;
          break;
        case '}':
        case ']':
          if (depth == 0) return position;  // the end of what holds the value
          --depth;
          ++position;
          break;
        case ',':
          if (depth == 0) return position;
          ++position;
          break;
        default:
          position = std::min(text_.find_first_of("\"{}[],", position), text_.size());
          continue;
      }
      if (depth == 0 && text_[position - 1] != ',') return position;
    }
    return std::nullopt;
  }

 private:
  std::string_view text_;
};

}  // namespace

TokenizerDocument::TokenizerDocument(std::string text) : text_(std::move(text)) {
  const Scanner scanner(text_);
  std::size_t position = scanner.skip_space(0);
  if (scanner.at(position) != '{') return;
  first_member_ = position + 1;
  std::size_t small_members = 0;
  do {
    const std::size_t name = scanner.skip_space(position + 1);
    if (scanner.at(name) != '"') return;
    const auto name_end = scanner.end_of_string(name);
    if (!name_end) return;
    const std::size_t colon = scanner.skip_space(*name_end);
    if (scanner.at(colon) != ':') return;
    const std::string_view member = std::string_view(text_).substr(name + 1, *name_end - name - 2);
    if (member == "model" && small_members == kSmallMembers.size()) return;
    const std::size_t value = scanner.skip_space(colon + 1);
    const auto end = scanner.end_of_value(value);
    if (!end) return;
    if (std::ranges::find(kSmallMembers, member) != kSmallMembers.end() && find(member) == nullptr) ++small_members;
    members_.push_back({std::string(member), value, *end});
    position = scanner.skip_space(*end);
  } while (scanner.at(position) == ',');
}

const TokenizerDocument::Member* TokenizerDocument::find(std::string_view name) const {
  const auto found = std::ranges::find(members_, name, &Member::name);
  return found == members_.end() ? nullptr : &*found;
}

Json TokenizerDocument::get(std::string_view name) const {
  std::string_view value;
  if (const auto change = std::ranges::find(changes_, name, &std::pair<std::string, std::string>::first);
      change != changes_.end()) {
    value = change->second;
  } else if (const Member* member = find(name); member != nullptr && name != "model") {
    value = std::string_view(text_).substr(member->begin, member->end - member->begin);
  } else {
    return {};
  }
  try {
    return parse_json(value, name);
  } catch (const Error&) {
    return {};  // the tokenizer's own parser says where
  }
}

void TokenizerDocument::set(std::string_view name, const Json& value) {
  std::string text = dump_json(value);
  for (auto& [changed, its_text] : changes_) {
    if (changed == name) {
      its_text = std::move(text);
      return;
    }
  }
  changes_.emplace_back(name, std::move(text));
}

std::string TokenizerDocument::text() const {
  if (changes_.empty() || first_member_ == 0) return text_;
  std::string added;
  std::map<std::size_t, std::pair<std::size_t, std::string_view>> replaced;
  for (const auto& [name, value] : changes_) {
    if (const Member* member = find(name)) {
      replaced[member->begin] = {member->end, value};
    } else {
      added += quote_json(name) + ": " + value + ", ";
    }
  }
  std::string result = text_.substr(0, first_member_) + added;
  std::size_t position = first_member_;
  for (const auto& [begin, replacement] : replaced) {
    result.append(text_, position, begin - position);
    result += replacement.second;
    position = replacement.first;
  }
  return result.append(text_, position);
}

}  // namespace onnxport::tokenizers
