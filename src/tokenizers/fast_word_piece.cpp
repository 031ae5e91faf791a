#include <array>
#include <utility>

#include "tokenizers/fast_chunks.h"
#include "tokenizers/models/utf8.h"
#include "tokenizers/models/word_piece.h"

namespace onnxport::tokenizers {
namespace {

enum class Kind : std::uint8_t {
  Space,  ///< separates words, whatever the settings are
  Word,   ///< ASCII letters and digits
  Punctuation,
  Other,
};

constexpr std::array<Kind, 256> kKinds = [] {
  std::array<Kind, 256> kinds{};
  kinds.fill(Kind::Other);
  for (std::size_t c = '!'; c <= '~'; ++c) {
    const bool is_word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    kinds[c] = is_word ? Kind::Word : Kind::Punctuation;
  }
  for (const char c : {' ', '\t', '\n', '\r'}) kinds[static_cast<std::size_t>(c)] = Kind::Space;
  return kinds;
}();

Kind kind_of(char byte) { return kKinds[static_cast<unsigned char>(byte)]; }

/// Whether a character is one of the ideographs that handle_chinese_chars makes words of their own, as far as they are
/// three bytes and have no decomposition.
bool is_ideograph(const char* character) {
  const auto first = static_cast<unsigned char>(*character);
  if (first < 0xe3 || first > 0xe9) return false;
  const char32_t code_point = utf8_decode(character);
  return (code_point >= 0x4e00 && code_point <= 0x9fff) || (code_point >= 0x3400 && code_point <= 0x4dbf);
}

/// BertNormalizer, BertPreTokenizer and WordPiece. A chunk is a punctuation mark, an ideograph, or what stands between
/// these and spaces.
class FastWordPiece final : public FastPath {
 public:
  FastWordPiece(std::shared_ptr<const Components> components, const BertNormalizer& normalizer, const WordPiece& model)
      : components_(std::move(components)), normalizer_(normalizer), model_(model) {}

  bool leaves_unchanged(std::string_view) const override { return false; }

 private:
  bool add(const TextPart& part, bool with_offsets, FastScratch& scratch) const override {
    return with_offsets ? add_part<true>(part, scratch) : add_part<false>(part, scratch);
  }

  template <bool WithOffsets>
  bool add_part(const TextPart& part, FastScratch& scratch) const {
    const std::string_view text = scratch.set_text(part.text, false);
    std::size_t position = 0;
    const auto next_chunk = [&](Chunk& chunk) {
      while (position < text.size() && kind_of(text[position]) == Kind::Space) ++position;
      if (position == text.size()) return false;
      chunk = {position, position, true};
      if (kind_of(text[position]) == Kind::Punctuation) {
        ++position;
      } else {
        // Zeros behind the text are no part of a word.
        while (kind_of(text.data()[position]) == Kind::Word) ++position;
        if (position < text.size() && kind_of(text[position]) == Kind::Other) {
          position = end_of_other(text, chunk.begin, position);
          chunk.is_simple = false;
        }
      }
      chunk.end = position;
      return true;
    };
    const auto tokenize = [this](const Chunk& chunk, std::string_view word, FastScratch& room, ChunkSummary& summary) {
      if (!chunk.is_simple) {
        return tokenize_generally(*components_, word, room.buffer, room.chunk_tokens, summary);
      }
      tokenize_simple(word, room);
      summary = {1, static_cast<std::uint32_t>(word.size())};
      return true;
    };
    return add_chunks<WithOffsets>(text, part.begin_character, next_chunk, tokenize, scratch);
  }

  std::size_t end_of_other(std::string_view text, std::size_t begin, std::size_t position) const {
    while (position < text.size()) {
      const Kind kind = kind_of(text[position]);
      if (kind == Kind::Space || kind == Kind::Punctuation) break;
      if (normalizer_.handle_chinese_chars && is_ideograph(text.data() + position)) {
        return position == begin ? position + 3 : position;
      }
      position += utf8_length(text[position]);
    }
    return position;
  }

  void tokenize_simple(std::string_view word, FastScratch& scratch) const {
    scratch.buffer.assign(word);
    if (normalizer_.lowercase) {
      for (char& c : scratch.buffer) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
      }
    }
    scratch.tokens.clear();
    model_.tokenize(scratch.buffer, scratch.tokens);
    for (const Token& token : scratch.tokens) scratch.chunk_tokens.push_back({token.id, token.begin, token.end, 0});
  }

  std::shared_ptr<const Components> components_;
  BertNormalizer normalizer_;
  const WordPiece& model_;
};

}  // namespace

std::shared_ptr<const FastPath> make_fast_word_piece(std::shared_ptr<const Components> components) {
  const auto* model = dynamic_cast<const WordPiece*>(components->model.get());
  const auto normalizers = steps_of(components->normalizer);
  const auto pre_tokenizers = steps_of(components->pre_tokenizer);
  if (model == nullptr || normalizers.size() != 1 || pre_tokenizers.size() != 1) return nullptr;
  const auto* normalizer = std::get_if<BertNormalizer>(&normalizers.front()->step);
  if (normalizer == nullptr || !std::holds_alternative<BertPreTokenizer>(pre_tokenizers.front()->step)) return nullptr;
  return std::make_shared<FastWordPiece>(std::move(components), *normalizer, *model);
}

}  // namespace onnxport::tokenizers
