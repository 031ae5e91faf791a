#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "tokenizers/models/hash.h"

namespace onnxport::tokenizers {

/// A token of a chunk of text: code points [begin, end) of the chunk, and the number of its word in the chunk.
struct ChunkToken {
  std::uint32_t id = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t word = 0;
};

/// What a chunk consists of.
struct ChunkSummary {
  std::uint32_t words = 0;
  std::uint32_t characters = 0;
};

/// The tokens of a chunk of up to `KeySize - 1` bytes, if these are few.
template <std::size_t KeySize, std::size_t MostTokens>
struct alignas(64) CachedChunk {
  static constexpr std::size_t key_size = KeySize;
  static constexpr std::size_t most_tokens = MostTokens;
  using Key = std::array<char, KeySize>;

  Key key{};  ///< the chunk, zeros, and in the last byte its length; length 0: nothing is here
  std::array<std::uint32_t, MostTokens> ids{};
  std::array<std::uint8_t, MostTokens> begins{};
  std::array<std::uint8_t, MostTokens> ends{};
  std::array<std::uint8_t, MostTokens> words{};
  std::uint8_t count = 0;
  std::uint8_t word_count = 0;
  std::uint8_t characters = 0;

  /// False if the tokens do not fit.
  bool assign(const Key& chunk, std::span<const ChunkToken> tokens, ChunkSummary summary) {
    constexpr std::uint32_t most = 255;
    if (tokens.size() > MostTokens || summary.words > most || summary.characters > most) return false;
    const auto byte = [](std::uint32_t value) { return static_cast<std::uint8_t>(value); };
    for (const ChunkToken& token : tokens) {
      if (token.begin > most || token.end > most || token.word > most) return false;
    }
    key = chunk;
    count = byte(static_cast<std::uint32_t>(tokens.size()));
    word_count = byte(summary.words);
    characters = byte(summary.characters);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      ids[i] = tokens[i].id;
      begins[i] = byte(tokens[i].begin);
      ends[i] = byte(tokens[i].end);
      words[i] = byte(tokens[i].word);
    }
    return true;
  }
};

/// Tokens of the chunks seen last. Each chunk has one place, which it takes from whoever is there.
class ChunkCache {
 public:
  using Short = CachedChunk<16, 6>;  // a cache line
  using Long = CachedChunk<48, 11>;  // two

  ChunkCache() : short_(new Short[kShortCount]), long_(new Long[kLongCount]) {}

  /// `chunk` is followed by 16 readable bytes at least.
  static Short::Key short_key(const char* chunk, std::size_t size) {
    Short::Key key{};
    std::memcpy(key.data(), chunk, key.size());
    std::uint64_t low = load64(key.data());
    std::uint64_t high = load64(key.data() + 8);
    if (size < 8) {
      low &= (std::uint64_t{1} << 8 * size) - 1;
      high = 0;
    } else {
      high &= (std::uint64_t{1} << 8 * (size - 8)) - 1;
    }
    high |= std::uint64_t{size} << 56;
    std::memcpy(key.data(), &low, 8);
    std::memcpy(key.data() + 8, &high, 8);
    return key;
  }
  static Long::Key long_key(std::string_view chunk) {
    Long::Key key{};
    std::memcpy(key.data(), chunk.data(), chunk.size());
    key.back() = static_cast<char>(chunk.size());
    return key;
  }

  Short& place_of(const Short::Key& key) {
    return short_[hash_bytes(std::string_view(key.data(), key.size()), 0) & (kShortCount - 1)];
  }
  Long& place_of(const Long::Key& key) {
    return long_[hash_bytes(std::string_view(key.data(), key.size()), 0) & (kLongCount - 1)];
  }

  static bool is_short(std::size_t size) { return size < Short::key_size; }
  static bool is_long(std::size_t size) { return size < Long::key_size; }

 private:
  static constexpr std::size_t kShortCount = std::size_t{1} << 15;
  static constexpr std::size_t kLongCount = std::size_t{1} << 12;

  std::unique_ptr<Short[]> short_;
  std::unique_ptr<Long[]> long_;
};

}  // namespace onnxport::tokenizers
