#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace onnxport::tokenizers {

inline std::uint64_t load64(const char* bytes) {
  std::uint64_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

inline std::uint32_t load32(const char* bytes) {
  std::uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// Both halves of the product, folded: every bit of the result depends on every bit of the factors.
inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// A fast hash of short strings, in the manner of wyhash.
inline std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  constexpr std::uint64_t first = 0xa0761d6478bd642f;
  constexpr std::uint64_t second = 0xe7037ed1a0b428db;
  const char* data = bytes.data();
  const std::size_t size = bytes.size();
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  if (size > 16) {
    std::size_t position = 0;
    for (; position + 16 < size; position += 16) {
      seed = fold(load64(data + position) ^ first, load64(data + position + 8) ^ seed);
    }
    a = load64(data + size - 16);
    b = load64(data + size - 8);
  } else if (size >= 8) {
    a = load64(data);
    b = load64(data + size - 8);
  } else if (size >= 4) {
    a = load32(data);
    b = load32(data + size - 4);
  } else if (size > 0) {
    a = static_cast<std::uint64_t>(static_cast<unsigned char>(data[0])) << 16 |
        static_cast<std::uint64_t>(static_cast<unsigned char>(data[size / 2])) << 8 |
        static_cast<unsigned char>(data[size - 1]);
  }
  return fold(first ^ size, fold(a ^ second, b ^ seed));
}

}  // namespace onnxport::tokenizers
