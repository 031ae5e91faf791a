#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tokenizers/fast_chunks.h"
#include "tokenizers/models/bpe.h"
#include "tokenizers/models/utf8.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

constexpr std::string_view kReplacement = "\u2581";

/// When a space is put before a text.
enum class AddedSpace {
  Never,
  Always,
  UnlessThere,         ///< unless the text begins with one
  UnlessThereAtBegin,  ///< the same, and only at the begin of the whole text
};

/// Which bytes some merge puts next to each other: a token cannot have others side by side, so that text may be cut
/// between them. The stand-in for a space counts as a space.
class JoinedBytes {
 public:
  explicit JoinedBytes(const Bpe& model) : joined_(256 * 256) {
    model.merges().for_each([&](std::uint32_t left, std::uint32_t right) {
      const std::string_view before = model.vocabulary().word(left).value_or("");
      const std::string_view behind = model.vocabulary().word(right).value_or("");
      if (before.empty() || behind.empty()) return;
      const char last = before.ends_with(kReplacement) ? ' ' : before.back();
      const char first = behind.starts_with(kReplacement) ? ' ' : behind.front();
      joined_[index(last, first)] = 1;
    });
  }

  bool operator()(char last, char first) const { return joined_[index(last, first)] != 0; }

 private:
  static std::size_t index(char last, char first) {
    return static_cast<std::size_t>(static_cast<unsigned char>(last)) << 8 | static_cast<unsigned char>(first);
  }

  std::vector<char> joined_;
};

/// sentencepiece's BPE, for which spaces are characters like others: the whole text is one word. A chunk is what lies
/// between two places that no merge reaches across.
class FastSentencepieceBpe final : public FastPath {
 public:
  FastSentencepieceBpe(std::shared_ptr<const Components> components, const Bpe& model, AddedSpace added_space)
      : components_(std::move(components)), model_(model), added_space_(added_space), joined_(model) {}

  bool leaves_unchanged(std::string_view) const override { return false; }

 private:
  bool add(const TextPart& part, bool with_offsets, FastScratch& scratch) const override {
    if (part.text.empty()) return true;
    // A text may have the stand-in for a space itself.
    if (part.text.find(kReplacement) != std::string_view::npos) return false;
    return with_offsets ? add_part<true>(part, scratch) : add_part<false>(part, scratch);
  }

  bool adds_space(const TextPart& part) const {
    const bool is_there = part.text.starts_with(' ');
    switch (added_space_) {
      case AddedSpace::Always:
        return true;
      case AddedSpace::UnlessThere:
        return !is_there;
      case AddedSpace::UnlessThereAtBegin:
        return !is_there && part.begin_byte == 0;
      case AddedSpace::Never:
        break;
    }
    return false;
  }

  template <bool WithOffsets>
  bool add_part(const TextPart& part, FastScratch& scratch) const {
    const bool with_space = adds_space(part);
    const std::string_view text = scratch.set_text(part.text, with_space);
    std::size_t position = 0;
    const auto next_chunk = [&](Chunk& chunk) {
      if (position == text.size()) return false;
      chunk.begin = position++;
      while (position < text.size() &&
             (is_utf8_continuation(text[position]) || joined_(text[position - 1], text[position]))) {
        ++position;
      }
      chunk.end = position;
      return true;
    };
    const auto tokenize = [this](const Chunk&, std::string_view word, FastScratch& room, ChunkSummary& summary) {
      tokenize_word(word, room, summary);
      return true;
    };
    const std::size_t first = scratch.size;
    const std::uint32_t begin = part.begin_character;
    if (!add_chunks<WithOffsets>(text, begin - (with_space ? 1 : 0), next_chunk, tokenize, scratch)) return false;
    if (WithOffsets && with_space) scratch.place_added_space(first, begin);
    ++scratch.words;
    return true;
  }

  void tokenize_word(std::string_view word, FastScratch& scratch, ChunkSummary& summary) const {
    scratch.buffer.clear();
    for (char byte : word) {
      if (byte == ' ') {
        scratch.buffer += kReplacement;
      } else {
        scratch.buffer += byte;
      }
    }
    scratch.tokens.clear();
    model_.tokenize(scratch.buffer, scratch.tokens, scratch.symbols);
    CharacterCount begins(scratch.buffer);
    CharacterCount ends(scratch.buffer);
    for (const Token& token : scratch.tokens) {
      scratch.chunk_tokens.push_back({token.id, begins.before(token.begin), ends.through(token.end), 0});
    }
    summary = {0, static_cast<std::uint32_t>(count_characters(word))};
  }

  std::shared_ptr<const Components> components_;
  const Bpe& model_;
  AddedSpace added_space_;
  JoinedBytes joined_;
};

/// Whether each character has a token of its own: itself or its bytes. Else unknown ones could be one token together,
/// wherever text is cut. And bytes must not merge, as they do not look like the text they stand for.
bool knows_all_characters(const Bpe& model) {
  if (!model.settings().byte_fallback || model.vocabulary().find(kReplacement) == Vocabulary::none) return false;
  const auto& byte_ids = model.byte_ids();
  if (std::find(byte_ids.begin(), byte_ids.end(), Vocabulary::none) != byte_ids.end()) return false;
  const std::unordered_set<std::uint32_t> bytes(byte_ids.begin(), byte_ids.end());
  bool merges_bytes = false;
  model.merges().for_each([&](std::uint32_t left, std::uint32_t right) {
    merges_bytes = merges_bytes || bytes.contains(left) || bytes.contains(right);
  });
  return !merges_bytes;
}

bool replaces_spaces(const Normalizer& step) {
  const auto* replace = std::get_if<ReplaceNormalizer>(&step.step);
  return replace != nullptr && !replace->pattern.is_regex && replace->pattern.text == " " &&
         replace->content == kReplacement;
}

std::optional<AddedSpace> added_space_of(const Components& components) {
  const auto normalizers = steps_of(components.normalizer);
  const auto pre_tokenizers = steps_of(components.pre_tokenizer);
  if (pre_tokenizers.size() > 1) return std::nullopt;
  if (normalizers.empty()) {
    if (pre_tokenizers.empty()) return std::nullopt;
    const auto* metaspace = std::get_if<Metaspace>(&pre_tokenizers.front()->step);
    if (metaspace == nullptr || metaspace->split || metaspace->replacement != U'\u2581') return std::nullopt;
    switch (metaspace->prepend_scheme) {
      case Metaspace::PrependScheme::Always:
        return AddedSpace::UnlessThere;
      case Metaspace::PrependScheme::First:
        return AddedSpace::UnlessThereAtBegin;
      case Metaspace::PrependScheme::Never:
        return AddedSpace::Never;
    }
  }
  if (!pre_tokenizers.empty()) {
    // Gemma splits at spaces when there are none any more.
    const auto* split = std::get_if<SplitPreTokenizer>(&pre_tokenizers.front()->step);
    if (split == nullptr || split->pattern.is_regex || split->pattern.text != " " || split->invert) return std::nullopt;
  }
  if (normalizers.size() == 1 && replaces_spaces(*normalizers[0])) return AddedSpace::Never;
  if (normalizers.size() == 2 && replaces_spaces(*normalizers[1])) {
    const auto* prepend = std::get_if<PrependNormalizer>(&normalizers[0]->step);
    if (prepend != nullptr && prepend->prepend == kReplacement) return AddedSpace::Always;
  }
  return std::nullopt;
}

}  // namespace

std::shared_ptr<const FastPath> make_fast_sentencepiece_bpe(std::shared_ptr<const Components> components) {
  const auto* model = dynamic_cast<const Bpe*>(components->model.get());
  if (model == nullptr || model->decorates_characters() || model->settings().ignore_merges) return nullptr;
  const std::optional<AddedSpace> added_space = added_space_of(*components);
  if (!added_space || !knows_all_characters(*model)) return nullptr;
  return std::make_shared<FastSentencepieceBpe>(std::move(components), *model, *added_space);
}

}  // namespace onnxport::tokenizers
