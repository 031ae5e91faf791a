#include <algorithm>
#include <array>
#include <utility>

#include "tokenizers/fast_chunks.h"
#include "tokenizers/models/bpe.h"
#include "tokenizers/scanners.h"
#include "tokenizers/unicode.h"

namespace onnxport::tokenizers {
namespace {

/// Whether all characters are below U+0300: no normalization form composes such, nor moves them.
bool is_latin(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0xcc; });
}

/// Byte-level BPE behind one of the famous patterns. A chunk is a match of the pattern.
class FastByteLevel final : public FastPath {
 public:
  FastByteLevel(std::shared_ptr<const Components> components, const Bpe& model, Scanner scanner, bool add_prefix_space,
                bool composes, const std::array<std::uint32_t, 256>& byte_ids)
      : components_(std::move(components)),
        model_(model),
        scanner_(scanner),
        add_prefix_space_(add_prefix_space),
        composes_(composes),
        byte_ids_(byte_ids) {}

  bool leaves_unchanged(std::string_view text) const override { return !composes_ || is_latin(text); }

 private:
  bool add(const TextPart& part, bool with_offsets, FastScratch& scratch) const override {
    if (!leaves_unchanged(part.text)) {
      NormalizedString normalized = part_of_original(part.text, {0, part.text.size()});
      normalize(*components_->normalizer, normalized);
      if (normalized.text != part.text) return false;
    }
    return with_offsets ? add_part<true>(part, scratch) : add_part<false>(part, scratch);
  }

  template <bool WithOffsets>
  bool add_part(const TextPart& part, FastScratch& scratch) const {
    const bool adds_space = add_prefix_space_ && !part.text.starts_with(' ');
    const std::string_view text = scratch.set_text(part.text, adds_space);
    std::size_t position = 0;
    const auto next_chunk = [&](Chunk& chunk) {
      if (position == text.size()) return false;
      chunk.begin = position;
      position = scanner_(text, position);
      chunk.end = position;
      return true;
    };
    const auto tokenize = [this](const Chunk&, std::string_view word, FastScratch& room, ChunkSummary& summary) {
      tokenize_word(word, room);
      summary = {1, static_cast<std::uint32_t>(count_characters(word))};
      return true;
    };
    const std::size_t first = scratch.size;
    const std::uint32_t begin = part.begin_character;
    if (!add_chunks<WithOffsets>(text, begin - (adds_space ? 1 : 0), next_chunk, tokenize, scratch)) return false;
    if (WithOffsets && adds_space) scratch.place_added_space(first, begin);
    return true;
  }

  void tokenize_word(std::string_view word, FastScratch& scratch) const {
    if (model_.settings().ignore_merges) {
      scratch.buffer.clear();
      for (char byte : word) append_utf8(scratch.buffer, character_of_byte(static_cast<unsigned char>(byte)));
      const std::uint32_t id = model_.vocabulary().find(scratch.buffer);
      if (id != Vocabulary::none) {
        scratch.chunk_tokens.push_back({id, 0, static_cast<std::uint32_t>(count_characters(word)), 0});
        return;
      }
    }
    scratch.symbols.clear();
    for (char byte : word) scratch.symbols.push_back({byte_ids_[static_cast<unsigned char>(byte)], 1});
    scratch.symbols.resize(merge_symbols(model_.merges(), scratch.symbols));
    CharacterCount characters(word);
    std::size_t begin = 0;
    for (const Symbol& symbol : scratch.symbols) {
      const std::size_t end = begin + symbol.length;
      const std::uint32_t first = characters.before(begin);
      scratch.chunk_tokens.push_back({symbol.id, first, characters.through(end), 0});
      begin = end;
    }
  }

  std::shared_ptr<const Components> components_;
  const Bpe& model_;
  Scanner scanner_;
  bool add_prefix_space_;
  bool composes_;
  std::array<std::uint32_t, 256> byte_ids_;
};

struct Splitting {
  Scanner scanner = nullptr;
  bool add_prefix_space = false;
};

Splitting splitting_of(const std::vector<const PreTokenizer*>& steps) {
  if (steps.empty()) return {};
  const auto* byte_level = std::get_if<ByteLevelPreTokenizer>(&steps.back()->step);
  if (byte_level == nullptr) return {};
  if (steps.size() == 1 && byte_level->use_regex) {
    return {find_scanner(byte_level_pattern()), byte_level->add_prefix_space};
  }
  if (steps.size() != 2 || byte_level->use_regex || byte_level->add_prefix_space) return {};
  const auto* split = std::get_if<SplitPreTokenizer>(&steps.front()->step);
  if (split == nullptr || !split->pattern.is_regex || split->invert || split->behavior != SplitBehavior::Isolated) {
    return {};
  }
  return {find_scanner(split->pattern.text), false};
}

}  // namespace

std::shared_ptr<const FastPath> make_fast_byte_level(std::shared_ptr<const Components> components) {
  const auto* model = dynamic_cast<const Bpe*>(components->model.get());
  if (model == nullptr || model->decorates_characters()) return nullptr;
  const Splitting splitting = splitting_of(steps_of(components->pre_tokenizer));
  if (splitting.scanner == nullptr) return nullptr;
  const auto normalizers = steps_of(components->normalizer);
  if (normalizers.size() > 1) return nullptr;
  if (!normalizers.empty()) {
    const auto* form = std::get_if<UnicodeNormalizer>(&normalizers.front()->step);
    if (form == nullptr || !form->composes || form->is_compatible) return nullptr;
  }
  std::array<std::uint32_t, 256> byte_ids{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, character_of_byte(static_cast<unsigned char>(byte)));
    byte_ids[byte] = model->vocabulary().find(character);
    if (byte_ids[byte] == Vocabulary::none) return nullptr;
  }
  return std::make_shared<FastByteLevel>(std::move(components), *model, splitting.scanner, splitting.add_prefix_space,
                                         !normalizers.empty(), byte_ids);
}

}  // namespace onnxport::tokenizers
