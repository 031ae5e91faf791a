#include "tokenizers/regex.h"

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <new>

#include <oniguruma.h>

#include "onnxport/error.h"

namespace onnxport::tokenizers {
namespace {

// An expression from a file may take exponential time. Oniguruma counts its steps back; the first limit is its own
// default, under which the real library fails, too. The second is for a search that begins anew at each character.
constexpr unsigned long kRetriesInMatch = 10'000'000;
constexpr unsigned long kRetriesInSearch = 50'000'000;
/// Entries of the stack of places to go back to, some 48 bytes each.
constexpr unsigned int kStackLimit = 20'000'000;
/// For all searches in one text: many may each stay below the limits.
constexpr std::chrono::seconds kBaseTime{5};
constexpr std::size_t kBytesPerMillisecond = 500;

constexpr std::size_t kMaximumPatternSize = 1 << 16;

std::string message_of(int code, OnigErrorInfo* info) {
  UChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int length =
      info != nullptr ? onig_error_code_to_str(buffer, code, info) : onig_error_code_to_str(buffer, code);
  return {reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(length)};
}

/// The real library brings an Oniguruma of its own, which knows Unicode 16. What the machine's knows depends on its
/// version, so that properties are replaced by ones that are defined here. Used under a lock only: Oniguruma keeps them
/// in one table for all.
class Properties {
 public:
  /// The pattern with properties in place of \p{…}, \w and \d.
  std::string replace(std::string_view pattern) {
    if (changes_meaning(pattern)) return std::string(pattern);
    std::string result;
    for (std::size_t i = 0; i < pattern.size();) {
      if (pattern[i] != '\\' || i + 1 == pattern.size()) {
        result += pattern[i++];
        continue;
      }
      const char kind = pattern[i + 1];
      const bool has_name = (kind == 'p' || kind == 'P') && i + 2 < pattern.size() && pattern[i + 2] == '{';
      const std::size_t close = has_name ? pattern.find('}', i) : i + 1;
      if (close == std::string_view::npos) return std::string(pattern);
      std::string_view name = has_name ? pattern.substr(i + 3, close - i - 3) : pattern.substr(i + 1, 1);
      bool is_negated = kind == 'P' || kind == 'W' || kind == 'D';
      if (has_name && name.starts_with('^')) {
        is_negated = !is_negated;
        name.remove_prefix(1);
      }
      if (!has_name) name = kind == 'w' || kind == 'W' ? "w" : kind == 'd' || kind == 'D' ? "Nd" : "";
      if (!name.empty() && defines(std::string(name))) {
        result += is_negated ? "\\P{" : "\\p{";
        result += std::string(kPrefix) + std::string(name) + "}";
      } else {
        result += pattern.substr(i, close + 1 - i);
      }
      i = close + 1;
    }
    return result;
  }

 private:
  static constexpr const char* kPrefix = "onnxport";

  /// Whether there is an option such as (?a), under which \w and others stand for ASCII.
  static bool changes_meaning(std::string_view pattern) {
    for (std::size_t i = pattern.find("(?"); i != std::string_view::npos; i = pattern.find("(?", i + 2)) {
      const std::size_t end = pattern.find_first_not_of("imxaWDSPyLg-", i + 2);
      if (end == std::string_view::npos) continue;
      const std::string_view options = pattern.substr(i + 2, end - i - 2);
      if ((pattern[end] == ')' || pattern[end] == ':') && options.find_first_of("aWDSP") != std::string_view::npos) {
        return true;
      }
    }
    return false;
  }

  /// Whether there is a property of this name, made if need be.
  bool defines(const std::string& name) {
    if (const auto found = ranges_.find(name); found != ranges_.end()) return !found->second.empty();
    std::vector<OnigCodePoint>& ranges = ranges_[name];
    for (const auto& [first, last] : regex_property(name)) {
      if (ranges.empty()) ranges.push_back(0);
      ranges.push_back(first);
      ranges.push_back(last);
      ++ranges[0];
    }
    // Oniguruma keeps the pointer, and has room for 20.
    if (!ranges.empty() &&
        onig_unicode_define_user_property((std::string(kPrefix) + name).c_str(), ranges.data()) != ONIG_NORMAL) {
      ranges.clear();
    }
    return !ranges.empty();
  }

  std::map<std::string, std::vector<OnigCodePoint>> ranges_;  ///< their number, then first and last of each
};

const UChar* bytes(std::string_view text) { return reinterpret_cast<const UChar*>(text.data()); }

struct FreeRegion {
  void operator()(OnigRegion* region) const { onig_region_free(region, 1); }
};

struct FreeMatchParam {
  void operator()(OnigMatchParam* param) const { onig_free_match_param(param); }
};

}  // namespace

Regex::Regex(std::string_view pattern) : pattern_(pattern) {
  if (pattern.size() > kMaximumPatternSize) {
    throw Error(ErrorKind::InvalidTokenizer, "the regular expression is longer than 65536 bytes");
  }
  // Never freed: expressions look into it for as long as there are any.
  static Properties* const properties = [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
    return new Properties;
  }();
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const std::string replaced = properties->replace(pattern);
  regex_t* regex = nullptr;
  OnigErrorInfo info;
  const int code = onig_new(&regex, bytes(replaced), bytes(replaced) + replaced.size(), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
  if (code != ONIG_NORMAL) {
    throw Error(ErrorKind::InvalidTokenizer, "invalid regular expression: " + message_of(code, &info));
  }
  regex_ = std::shared_ptr<void>(regex, [](void* pointer) { onig_free(static_cast<regex_t*>(pointer)); });
}

std::vector<Range> Regex::find_all(std::string_view text) const {
  std::vector<Range> matches;
  const std::unique_ptr<OnigRegion, FreeRegion> region(onig_region_new());
  const std::unique_ptr<OnigMatchParam, FreeMatchParam> param(onig_new_match_param());
  if (!region || !param) throw std::bad_alloc();
  onig_initialize_match_param(param.get());
  onig_set_retry_limit_in_match_of_match_param(param.get(), kRetriesInMatch);
  onig_set_retry_limit_in_search_of_match_param(param.get(), kRetriesInSearch);
  onig_set_match_stack_limit_size_of_match_param(param.get(), kStackLimit);

  const auto deadline =
      std::chrono::steady_clock::now() + kBaseTime + std::chrono::milliseconds(text.size() / kBytesPerMillisecond);
  const auto fail = [&](const std::string& reason) {
    throw Error(ErrorKind::InvalidTokenizer, "the regular expression takes too long on a text of " +
                                                 std::to_string(text.size()) + " bytes (" + reason +
                                                 "): " + pattern_.substr(0, 200));
  };
  auto* const regex = static_cast<regex_t*>(regex_.get());
  const UChar* const begin = bytes(text);
  const UChar* const end = begin + text.size();
  std::size_t position = 0;
  bool has_match = false;
  for (std::size_t searches = 0; position <= text.size(); ++searches) {
    if (searches % 256 == 255 && std::chrono::steady_clock::now() > deadline) fail("time limit");
    const int result =
        onig_search_with_param(regex, begin, end, begin + position, end, region.get(), ONIG_OPTION_NONE, param.get());
    if (result == ONIG_MISMATCH) break;
    if (result < 0) fail(message_of(result, nullptr));
    const Range match{static_cast<std::size_t>(region->beg[0]), static_cast<std::size_t>(region->end[0])};
    if (match.begin == match.end && has_match && matches.back().end == match.end) {
      if (position == text.size()) break;
      next_character(text, position);
      continue;
    }
    matches.push_back(match);
    has_match = true;
    position = match.end;
  }
  return matches;
}

}  // namespace onnxport::tokenizers
