#include "tokenizers/added_vocabulary.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "onnxport/error.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {

// ---- StringSet ------------------------------------------------------------------------------------------------------

StringSet::StringSet(const std::vector<std::string>& strings) : nodes_(1), first_(256, kNone) {
  for (std::size_t number = 0; number < strings.size(); ++number) {
    std::uint32_t node = 0;
    for (const char byte : strings[number]) {
      std::uint32_t child = child_of(node, byte);
      if (child == kNone) {
        child = static_cast<std::uint32_t>(nodes_.size());
        nodes_.push_back({kNone, nodes_[node].child, kNone, byte});
        nodes_[node].child = child;
        if (node == 0) first_[static_cast<unsigned char>(byte)] = child;
      }
      node = child;
    }
    if (node != 0 && nodes_[node].string == kNone) nodes_[node].string = static_cast<std::uint32_t>(number);
  }
}

std::uint32_t StringSet::child_of(std::uint32_t node, char byte) const {
  if (node == 0) return first_[static_cast<unsigned char>(byte)];
  std::uint32_t child = nodes_[node].child;
  while (child != kNone && nodes_[child].byte != byte) child = nodes_[child].sibling;
  return child;
}

std::vector<StringSet::Match> StringSet::find_all(std::string_view text) const {
  std::vector<Match> matches;
  if (empty()) return matches;
  for (std::size_t begin = 0; begin < text.size();) {
    std::uint32_t node = 0;
    std::optional<Match> longest;
    for (std::size_t end = begin; end < text.size();) {
      node = child_of(node, text[end++]);
      if (node == kNone) break;
      if (nodes_[node].string != kNone) longest = Match{{begin, end}, nodes_[node].string};
    }
    if (longest) {
      matches.push_back(*longest);
      begin = longest->range.end;
    } else {
      ++begin;
    }
  }
  return matches;
}

// ---- AddedVocabulary ------------------------------------------------------------------------------------------------

namespace {

/// Longer tokens would make the search slow: it may take as many steps at each byte of a text.
constexpr std::size_t kMaximumTokenSize = 2048;

void require_searchable(const std::string& content, const AddedToken& token) {
  if (content.size() <= kMaximumTokenSize) return;
  throw Error(ErrorKind::InvalidTokenizer, "added_tokens: the token " + quote_json(token.content.substr(0, 40)) +
                                               "... is longer than " + std::to_string(kMaximumTokenSize) + " bytes");
}

/// All but the id, which is not the token's own.
bool is_same(const AddedToken& left, const AddedToken& right) {
  AddedToken other = right;
  other.id = left.id;
  return left == other;
}

}  // namespace

std::optional<std::uint32_t> AddedVocabulary::token_to_id(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const AddedToken* AddedVocabulary::find(std::uint32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

std::size_t AddedVocabulary::add(std::span<const AddedToken> tokens, const Model& model, const Normalizer* normalizer) {
  for (const AddedToken& token : tokens) {
    if (token.special && !token.content.empty() && special_.insert(token.content).second) {
      special_tokens_.push_back(token);
    }
  }

  std::unordered_multimap<std::string, AddedToken> existing;
  std::uint64_t next_id = model.vocabulary_size();
  for (const auto& [id, token] : by_id_) {
    existing.emplace(token.content, token);
    next_id = std::max(next_id, std::uint64_t{id} + 1);
  }
  std::size_t ignored = 0;
  for (const AddedToken& token : tokens) {
    const auto [begin, end] = existing.equal_range(token.content);
    const bool is_known = std::any_of(begin, end, [&](const auto& entry) { return is_same(entry.second, token); });
    if (token.content.empty() || is_known) {
      ++ignored;
      continue;
    }
    std::optional<std::uint32_t> id = token_to_id(token.content);
    if (!id) id = model.token_to_id(token.content);
    if (!id) {
      if (next_id > std::numeric_limits<std::uint32_t>::max()) {
        throw Error(ErrorKind::InvalidTokenizer, "added_tokens: no id is left for " + quote_json(token.content));
      }
      id = static_cast<std::uint32_t>(next_id++);
    }
    AddedToken added = token;
    added.id = *id;
    ids_[token.content] = *id;
    by_id_[*id] = added;
    if (!special_.contains(token.content)) plain_tokens_.push_back(added);
    existing.emplace(token.content, added);
  }
  rebuild(model, normalizer);
  return tokens.size() - ignored;
}

void AddedVocabulary::rebuild(const Model& model, const Normalizer* normalizer) {
  ordered_.clear();
  for (const auto& [id, token] : by_id_) ordered_.push_back(token);
  std::sort(ordered_.begin(), ordered_.end(),
            [](const AddedToken& left, const AddedToken& right) { return left.id < right.id; });

  std::vector<std::string> raw;
  std::vector<std::string> normalized;
  raw_ids_.clear();
  normalized_ids_.clear();
  for (const std::vector<AddedToken>* tokens : {&special_tokens_, &plain_tokens_}) {
    for (const AddedToken& token : *tokens) {
      const std::optional<std::uint32_t> own_id = token_to_id(token.content);
      const std::uint32_t id = own_id ? *own_id : model.token_to_id(token.content).value_or(0);
      if (!token.normalized) {
        require_searchable(token.content, token);
        raw.push_back(token.content);
        raw_ids_.push_back(id);
        continue;
      }
      NormalizedString content = part_of_original(token.content, {0, token.content.size()});
      if (normalizer != nullptr) normalize(*normalizer, content);
      require_searchable(content.text, token);
      normalized.push_back(std::move(content.text));
      normalized_ids_.push_back(id);
    }
  }
  raw_ = StringSet(raw);
  normalized_ = StringSet(normalized);
}

std::vector<AddedVocabulary::Part> AddedVocabulary::find_parts(std::string_view text, const StringSet& strings,
                                                               const std::vector<std::uint32_t>& string_ids) const {
  std::vector<Part> parts;
  std::size_t done = 0;
  for (const StringSet::Match& match : strings.find_all(text)) {
    auto [begin, end] = match.range;
    const std::uint32_t id = string_ids[match.number];
    const AddedToken* const found = find(id);
    if (found == nullptr) continue;
    const AddedToken& token = *found;
    if (encodes_special_tokens_ && is_special(token.content)) continue;
    if (token.single_word) {
      std::size_t position = begin;
      if (begin > 0 && is_word_character(previous_character(text, position))) continue;
      position = end;
      if (end < text.size() && is_word_character(next_character(text, position))) continue;
    }
    if (token.lstrip) {
      while (begin > done) {
        std::size_t position = begin;
        if (!is_whitespace(previous_character(text, position))) break;
        begin = position;
      }
      // A token before this one may have taken the spaces that it begins with.
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      while (end < text.size()) {
        std::size_t position = end;
        if (!is_whitespace(next_character(text, position))) break;
        end = position;
      }
    }
    if (done < begin) parts.push_back({{done, begin}, std::nullopt});
    if (begin < end) parts.push_back({{begin, end}, id});
    done = end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, std::nullopt});
  return parts;
}

std::optional<std::vector<AddedVocabulary::Part>> AddedVocabulary::split_raw(std::string_view text,
                                                                             bool is_normalized) const {
  std::vector<Part> parts = find_parts(text, raw_, raw_ids_);
  if (normalized_.empty()) return parts;
  if (!is_normalized) return std::nullopt;
  std::vector<Part> result;
  for (const Part& part : parts) {
    if (part.id) {
      result.push_back(part);
      continue;
    }
    const std::size_t begin = part.range.begin;
    for (Part inner : find_parts(text.substr(begin, part.range.end - begin), normalized_, normalized_ids_)) {
      inner.range.begin += begin;
      inner.range.end += begin;
      result.push_back(inner);
    }
  }
  return result;
}

PieceList AddedVocabulary::split(std::string_view text, const Normalizer* normalizer) const {
  PieceList pieces;
  for (const Part& part : find_parts(text, raw_, raw_ids_)) {
    NormalizedString section = part_of_original(text, part.range);
    if (part.id) {
      pieces.append(section, part.id);
      continue;
    }
    if (normalizer != nullptr) normalize(*normalizer, section);
    if (normalized_.empty()) {
      pieces.append(section, std::vector<Range>{{0, section.text.size()}});
      continue;
    }
    std::vector<Range> ranges;
    std::vector<std::optional<std::uint32_t>> ids;
    for (const Part& inner : find_parts(section.text, normalized_, normalized_ids_)) {
      ranges.push_back(inner.range);
      ids.push_back(inner.id);
    }
    pieces.append(section, ranges, ids);
  }
  return pieces;
}

}  // namespace onnxport::tokenizers
