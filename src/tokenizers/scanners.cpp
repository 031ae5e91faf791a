#include "tokenizers/scanners.h"

#include <array>

#include "tokenizers/scanners_inline.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

template <typename Implementation>
std::size_t scan(std::string_view text, std::size_t begin) {
  return Implementation::next(text.data(), begin, text.size());
}

struct Entry {
  std::string_view pattern;
  Scanner scanner;
};

constexpr std::array kScanners{
    Entry{kGpt2, scan<scanners::Gpt2>},
    Entry{
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        scan<scanners::Cl100k<3>>},
    Entry{
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        scan<scanners::Cl100k<1>>},
    Entry{
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        scan<scanners::O200k<3, true>>},
    // Mistral's Tekken.
    Entry{
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        scan<scanners::O200k<1, false>>},
};

}  // namespace

Scanner find_scanner(std::string_view pattern) {
  for (const Entry& entry : kScanners) {
    if (entry.pattern == pattern) return entry.scanner;
  }
  return nullptr;
}

std::vector<Range> scan_all(Scanner scanner, std::string_view text) {
  std::vector<Range> matches;
  for (std::size_t begin = 0; begin < text.size(); begin = matches.back().end) {
    matches.push_back({begin, scanner(text, begin)});
  }
  return matches;
}

std::string_view byte_level_pattern() { return kGpt2; }

}  // namespace onnxport::tokenizers
