#include <algorithm>
#include <array>
#include <utility>

#include "tokenizers/fast_chunks.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::string_view kReplacement = "\u2581";
constexpr char32_t kReplacementCharacterOfSpace = U'\u2581';

enum class Kind : std::uint8_t {
  Separator,  ///< becomes a space
  Simple,     ///< becomes one character that does not depend on others
  Other,
};

/// What the normalizer does to text, as far as chunks need to know it.
struct Spacing {
  std::array<Kind, 256> kinds{};
  std::array<char, 256> mapped{};  ///< of simple bytes
  bool merges_spaces = false;      ///< several in a row count as one
  bool drops_last_space = false;   ///< at the end of the text
  bool word_has_space = true;      ///< the space that a word begins with is the one before it
  /// Words behind several spaces that the normalizer makes one lose their own first place to it: the general way knows.
  bool merging_moves_words = false;
};

/// Steps that change a word regardless of the words around it, from which spaces separate it.
bool keeps_words_apart(const Normalizer& normalizer) {
  if (const auto* replace = std::get_if<ReplaceNormalizer>(&normalizer.step)) {
    const std::string& pattern = replace->pattern.text;
    if (replace->pattern.is_regex)
      return pattern == " {2,}" && (replace->content == " " || replace->content == kReplacement);
    return !pattern.empty() && pattern.find(' ') == std::string::npos &&
           pattern.find(kReplacement) == std::string::npos && replace->content.find(' ') == std::string::npos &&
           replace->content.find(kReplacement) == std::string::npos;
  }
  return std::holds_alternative<PrecompiledNormalizer>(normalizer.step) ||
         std::holds_alternative<UnicodeNormalizer>(normalizer.step) ||
         std::holds_alternative<NmtNormalizer>(normalizer.step) ||
         std::holds_alternative<LowercaseNormalizer>(normalizer.step) ||
         std::holds_alternative<StripAccentsNormalizer>(normalizer.step) ||
         std::holds_alternative<StripNormalizer>(normalizer.step);
}

/// What the normalizer does, found by asking it. Nothing where it does what chunks cannot stand.
std::optional<Spacing> examine(const Components& components) {
  const auto normalized = [&](std::string_view text) {
    NormalizedString string = part_of_original(text, {0, text.size()});
    if (components.normalizer) normalize(*components.normalizer, string);
    return string.text;
  };
  Spacing spacing;
  const std::string two = normalized("a  a");
  if (normalized("a a") != "a a") return std::nullopt;
  spacing.merges_spaces = two == "a a" || two == "a\u2581a";
  if (!spacing.merges_spaces && two != "a  a") return std::nullopt;
  const std::string behind = normalized("a ");
  spacing.drops_last_space = behind == "a";
  if (!spacing.drops_last_space && behind != "a ") return std::nullopt;
  // Spaces before the first word: one or none of them are the same, as each word begins with one in any case.
  const std::string before = normalized(" a");
  if (before != " a" && !(before == "a" && spacing.merges_spaces)) return std::nullopt;

  spacing.kinds.fill(Kind::Other);
  for (unsigned byte = 0; byte < 128; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string alone = normalized(std::string("a") + c + "a");
    if (alone == "a a") {
      // A carriage return makes one character with a line feed behind it.
      spacing.kinds[byte] = c == '\r' ? Kind::Other : Kind::Separator;
    } else if (c > ' ' && c < 0x7f && alone.size() == 3 && alone[0] == 'a' && alone[2] == 'a') {
      spacing.kinds[byte] = Kind::Simple;
      spacing.mapped[byte] = alone[1];
    }
  }
  if (spacing.kinds[' '] != Kind::Separator) return std::nullopt;
  for (const Normalizer* step : steps_of(components.normalizer)) {
    if (!keeps_words_apart(*step)) return std::nullopt;
    const auto* replace = std::get_if<ReplaceNormalizer>(&step->step);
    if (replace == nullptr || replace->pattern.is_regex) continue;
    for (char c : replace->pattern.text) spacing.kinds[static_cast<unsigned char>(c)] = Kind::Other;
  }
  return spacing;
}

/// Unigram over words that Metaspace makes. A chunk is a separator and the word behind it.
class FastUnigram final : public FastPath {
 public:
  FastUnigram(std::shared_ptr<const Components> components, const Unigram& model, const Spacing& spacing,
              bool only_at_begin)
      : components_(std::move(components)), model_(model), spacing_(spacing), only_at_begin_(only_at_begin) {}

  bool leaves_unchanged(std::string_view) const override { return false; }

 private:
  Kind kind_of(char byte) const { return spacing_.kinds[static_cast<unsigned char>(byte)]; }

  bool add(const TextPart& part, bool with_offsets, FastScratch& scratch) const override {
    return with_offsets ? add_part<true>(part, scratch) : add_part<false>(part, scratch);
  }

  template <bool WithOffsets>
  bool add_part(const TextPart& part, FastScratch& scratch) const {
    if (part.text.empty()) return true;
    // A carriage return and a line feed are one character to the normalizer, and may have one place.
    if (WithOffsets && part.text.find('\r') != std::string_view::npos) return false;
    const bool adds_space = kind_of(part.text.front()) != Kind::Separator;
    if (adds_space && only_at_begin_ && part.begin_byte > 0) return false;
    std::string_view text = scratch.set_text(part.text, adds_space);
    // The cache knows chunks by their bytes: all separators are to be the same.
    for (char& byte : std::span(scratch.text.data(), text.size())) {
      if (kind_of(byte) == Kind::Separator) byte = ' ';
    }
    if (WithOffsets && spacing_.merging_moves_words && text.find("  ") != std::string_view::npos) return false;
    if (spacing_.drops_last_space) {
      while (text.ends_with(' ')) text.remove_suffix(1);
    }
    std::size_t position = 0;
    const auto next_chunk = [&](Chunk& chunk) {
      if (position == text.size()) return false;
      if (spacing_.merges_spaces) {
        while (position + 1 < text.size() && text[position + 1] == ' ') ++position;
      }
      chunk = {position, position + 1, true};
      while (chunk.end < text.size() && text[chunk.end] != ' ') {
        chunk.is_simple = chunk.is_simple && kind_of(text[chunk.end]) == Kind::Simple;
        ++chunk.end;
      }
      position = chunk.end;
      return true;
    };
    // What the normalizer removes at the very begin of a text moves all offsets behind it: so does the real library.
    if (WithOffsets && adds_space && kind_of(part.text.front()) != Kind::Simple) return false;
    const auto tokenize = [this](const Chunk& chunk, std::string_view word, FastScratch& room, ChunkSummary& summary) {
      if (!chunk.is_simple) return tokenize_other(word, room, summary);
      tokenize_simple(word, room);
      summary = {1, static_cast<std::uint32_t>(word.size())};
      return true;
    };
    const std::size_t first = scratch.size;
    const std::uint32_t begin = part.begin_character;
    if (!add_chunks<WithOffsets>(text, begin - (adds_space ? 1 : 0), next_chunk, tokenize, scratch)) return false;
    if (WithOffsets && adds_space) scratch.place_added_space(first, begin);
    return true;
  }

  void tokenize_simple(std::string_view word, FastScratch& scratch) const {
    scratch.buffer.assign(kReplacement);
    for (char byte : word.substr(1)) scratch.buffer += spacing_.mapped[static_cast<unsigned char>(byte)];
    scratch.tokens.clear();
    model_.tokenize(scratch.buffer, scratch.tokens, scratch.steps);
    CharacterCount begins(scratch.buffer);
    CharacterCount ends(scratch.buffer);
    for (const Token& token : scratch.tokens) {
      std::uint32_t begin = begins.before(token.begin);
      std::uint32_t end = ends.through(token.end);
      if (!spacing_.word_has_space) {
        begin = std::max(begin, 1U);
        end = std::max(end, 2U);
      }
      scratch.chunk_tokens.push_back({token.id, begin, end, 0});
    }
  }

  /// Between two other words, so that it shows whether they have to do with each other.
  bool tokenize_other(std::string_view word, FastScratch& scratch, ChunkSummary& summary) const {
    const std::string text = "a" + std::string(word) + " a";
    std::vector<ChunkToken> tokens;
    if (!tokenize_generally(*components_, text, scratch.buffer, tokens, summary)) return false;
    const std::string_view normalized = scratch.buffer;
    if (normalized.size() < 5 || !normalized.starts_with("a ") || !normalized.ends_with(" a")) return false;
    const std::string_view inner = normalized.substr(2, normalized.size() - 4);
    std::size_t position = 0;
    if (is_whitespace(next_character(inner, position)) || inner.find(kReplacement) != std::string_view::npos)
      return false;
    position = inner.size();
    if (is_whitespace(previous_character(inner, position))) return false;
    if (spacing_.merges_spaces && !spacing_.drops_last_space && !ends_visibly(word, inner)) return false;
    const std::uint32_t last_word = summary.words - 1;
    for (const ChunkToken& token : tokens) {
      if (token.word == 0 || token.word == last_word) continue;
      scratch.chunk_tokens.push_back({token.id, token.begin - 1, token.end - 1, token.word - 1});
    }
    summary = {last_word - 1, static_cast<std::uint32_t>(count_characters(word))};
    return true;
  }

  /// Whether no space at the end of the word was merged with the one behind it.
  bool ends_visibly(std::string_view word, std::string_view normalized) const {
    const std::string text = "a" + std::string(word) + "b";
    NormalizedString string = part_of_original(text, {0, text.size()});
    normalize(*components_->normalizer, string);
    return string.text == "a " + std::string(normalized) + "b";
  }

  std::shared_ptr<const Components> components_;
  const Unigram& model_;
  Spacing spacing_;
  bool only_at_begin_;
};

}  // namespace

std::shared_ptr<const FastPath> make_fast_unigram(std::shared_ptr<const Components> components) {
  const auto* model = dynamic_cast<const Unigram*>(components->model.get());
  const auto pre_tokenizers = steps_of(components->pre_tokenizer);
  if (model == nullptr || pre_tokenizers.empty() || pre_tokenizers.size() > 2) return nullptr;
  const auto* metaspace = std::get_if<Metaspace>(&pre_tokenizers.back()->step);
  if (metaspace == nullptr || metaspace->replacement != kReplacementCharacterOfSpace || !metaspace->split ||
      metaspace->prepend_scheme == Metaspace::PrependScheme::Never) {
    return nullptr;
  }
  bool only_at_begin = metaspace->prepend_scheme == Metaspace::PrependScheme::First;
  std::optional<Spacing> spacing = examine(*components);
  if (!spacing) return nullptr;
  if (pre_tokenizers.size() == 2) {
    if (!std::holds_alternative<WhitespaceSplitPreTokenizer>(pre_tokenizers.front()->step) || only_at_begin) {
      return nullptr;
    }
    // All spaces go, and each word gets one put before it, which then shares the place of its first character.
    spacing->merging_moves_words = spacing->merges_spaces;
    spacing->merges_spaces = true;
    spacing->drops_last_space = true;
    spacing->word_has_space = false;
  }
  return std::make_shared<FastUnigram>(std::move(components), *model, *spacing, only_at_begin);
}

}  // namespace onnxport::tokenizers
