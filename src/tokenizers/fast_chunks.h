#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/fast_cache.h"
#include "tokenizers/fast_path.h"
#include "tokenizers/models/merges.h"
#include "tokenizers/models/unigram.h"
#include "tokenizers/models/utf8.h"

/// What the implementations of FastPath have in common.
namespace onnxport::tokenizers {

/// The room that encoding a text takes.
struct FastScratch {
  ChunkCache cache;
  std::string text;  ///< of the part, perhaps with a space before it, and with zeros behind it

  // The tokens of all parts; the vectors are longer than `size`.
  std::vector<std::uint32_t> ids;
  std::vector<Offset> offsets;
  std::vector<std::int32_t> word_ids;
  std::size_t size = 0;
  std::uint32_t words = 0;

  // For a chunk that is not remembered.
  std::string buffer;
  std::vector<Token> tokens;
  std::vector<ChunkToken> chunk_tokens;
  std::vector<Symbol> symbols;
  std::vector<Unigram::Step> steps;

  /// Puts a part into `text` and gives the view of it. Behind it 64 zeros are readable.
  std::string_view set_text(std::string_view part, bool with_space);
  /// Room for `more` tokens.
  void reserve(std::size_t more, bool with_offsets);
  /// A text was begun with a space that it lacks: of the tokens from number `first` on, the one that has it shares the
  /// place of the text's first character, `begin`.
  void place_added_space(std::size_t first, std::uint32_t begin);
};

/// A chunk of a text: bytes [begin, end). What lies between two chunks is ASCII and belongs to no token.
struct Chunk {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_simple = false;  ///< for whoever tokenizes it
};

/// Appends the cached tokens of a chunk.
template <bool WithOffsets, typename Cached>
void append_cached(const Cached& cached, std::uint32_t character, FastScratch& scratch) {
  // All that may be there are copied: a fixed number takes no loop.
  std::memcpy(scratch.ids.data() + scratch.size, cached.ids.data(), sizeof cached.ids);
  if constexpr (WithOffsets) {
    for (std::size_t i = 0; i < cached.count; ++i) {
      scratch.offsets[scratch.size + i] = {character + cached.begins[i], character + cached.ends[i]};
      scratch.word_ids[scratch.size + i] = static_cast<std::int32_t>(scratch.words + cached.words[i]);
    }
    scratch.words += cached.word_count;
  }
  scratch.size += cached.count;
}

template <bool WithOffsets>
void append_tokens(std::span<const ChunkToken> tokens, ChunkSummary summary, std::uint32_t character,
                   FastScratch& scratch) {
  scratch.reserve(tokens.size(), WithOffsets);
  for (const ChunkToken& token : tokens) {
    scratch.ids[scratch.size] = token.id;
    if constexpr (WithOffsets) {
      scratch.offsets[scratch.size] = {character + token.begin, character + token.end};
      scratch.word_ids[scratch.size] = static_cast<std::int32_t>(scratch.words + token.word);
    }
    ++scratch.size;
  }
  if constexpr (WithOffsets) scratch.words += summary.words;
}

/// Appends the tokens of all chunks of a text that set_text() gave. next_chunk(chunk) gives one after the other and
/// then false; tokenize(chunk, scratch, summary) fills scratch.chunk_tokens, or returns false, as does this function
/// then. `character` is the code point that the text begins with, modulo 2^32.
template <bool WithOffsets, typename NextChunk, typename Tokenize>
bool add_chunks(std::string_view text, std::uint32_t character, NextChunk next_chunk, Tokenize tokenize,
                FastScratch& scratch) {
  std::size_t previous_end = 0;
  for (Chunk chunk; next_chunk(chunk);) {
    character += static_cast<std::uint32_t>(chunk.begin - previous_end);
    previous_end = chunk.end;
    scratch.reserve(ChunkCache::Long::most_tokens, WithOffsets);
    const std::string_view word = text.substr(chunk.begin, chunk.end - chunk.begin);
    ChunkCache::Short* short_place = nullptr;
    ChunkCache::Short::Key short_key;
    if (ChunkCache::is_short(word.size())) {
      short_key = ChunkCache::short_key(word.data(), word.size());
      short_place = &scratch.cache.place_of(short_key);
      if (short_place->key == short_key) {
        append_cached<WithOffsets>(*short_place, character, scratch);
        character += short_place->characters;
        continue;
      }
    }
    ChunkCache::Long* long_place = nullptr;
    ChunkCache::Long::Key long_key;
    if (ChunkCache::is_long(word.size())) {
      long_key = ChunkCache::long_key(word);
      long_place = &scratch.cache.place_of(long_key);
      if (long_place->key == long_key) {
        append_cached<WithOffsets>(*long_place, character, scratch);
        character += long_place->characters;
        continue;
      }
    }
    scratch.chunk_tokens.clear();
    ChunkSummary summary{};
    if (!tokenize(chunk, word, scratch, summary)) return false;
    if (short_place == nullptr || !short_place->assign(short_key, scratch.chunk_tokens, summary)) {
      if (long_place != nullptr) long_place->assign(long_key, scratch.chunk_tokens, summary);
    }
    append_tokens<WithOffsets>(scratch.chunk_tokens, summary, character, scratch);
    character += summary.characters;
  }
  return true;
}

/// The general way for a text without added tokens: appends its tokens, a word for each piece. False where a token
/// stands for no text. The normalized text is left in `normalized`.
bool tokenize_generally(const Components& components, std::string_view text, std::string& normalized,
                        std::vector<ChunkToken>& tokens, ChunkSummary& summary);

/// The steps of a normalizer or a pre-tokenizer, sequences in sequences resolved.
std::vector<const Normalizer*> steps_of(const std::optional<Normalizer>& normalizer);
std::vector<const PreTokenizer*> steps_of(const std::optional<PreTokenizer>& pre_tokenizer);

// Each gives null where it does not cover the components.
std::shared_ptr<const FastPath> make_fast_word_piece(std::shared_ptr<const Components> components);
std::shared_ptr<const FastPath> make_fast_byte_level(std::shared_ptr<const Components> components);
std::shared_ptr<const FastPath> make_fast_unigram(std::shared_ptr<const Components> components);
std::shared_ptr<const FastPath> make_fast_sentencepiece_bpe(std::shared_ptr<const Components> components);

}  // namespace onnxport::tokenizers
