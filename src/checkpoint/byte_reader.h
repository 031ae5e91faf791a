#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "onnxport/error.h"

namespace onnxport {

/// Reads little-endian numbers and runs of bytes of a file in memory, and never a byte beyond its end: whatever a file
/// says of its own sizes, what goes further is refused with Error(InvalidCheckpoint) that names the file.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string origin, std::uint64_t position = 0)
      : bytes_(bytes), origin_(std::move(origin)) {
    seek(position);
  }

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return bytes_.size() - position_; }
  std::uint64_t size() const { return bytes_.size(); }
  const std::string& origin() const { return origin_; }

  void seek(std::uint64_t position) {
    if (position > bytes_.size()) fail_truncated();
    position_ = static_cast<std::size_t>(position);
  }
  void skip(std::uint64_t count) { take(count); }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > remaining()) fail_truncated();
    const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += static_cast<std::size_t>(count);
    return taken;
  }

  std::string_view text(std::uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  /// Up to the next '\n', which is passed over.
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + position_, bytes_.size() - position_);
    const std::size_t length = rest.find('\n');
    if (length == std::string_view::npos) fail_truncated();
    position_ += length + 1;
    return rest.substr(0, length);
  }

  template <typename Number>
  Number number() {
    static_assert(std::is_arithmetic_v<Number>);
    Number value;
    std::memcpy(&value, take(sizeof(Number)).data(), sizeof(Number));
    return value;
  }
  /// A number of 1, 2, 4 or 8 bytes, as formats store offsets and lengths whose width they state elsewhere.
  std::uint64_t number_of_width(unsigned width) {
    switch (width) {
      case 1:
        return number<std::uint8_t>();
      case 2:
        return number<std::uint16_t>();
      case 4:
        return number<std::uint32_t>();
      case 8:
        return number<std::uint64_t>();
      default:
        fail("has a number of " + std::to_string(width) + " bytes");
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::InvalidCheckpoint, origin_ + ": " + what);
  }

 private:
  [[noreturn]] void fail_truncated() const {
    fail("is corrupt, or was not downloaded completely: something in it would lie beyond its end (" +
         std::to_string(bytes_.size()) + " bytes)");
  }

  std::span<const std::byte> bytes_;
  std::string origin_;
  std::size_t position_ = 0;
};

}  // namespace onnxport
