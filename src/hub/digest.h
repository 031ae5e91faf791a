#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace onnxport::hub {

/// Computes what an etag of the Hub states of a file's bytes, as they come: their SHA-256 (64 digits), or the SHA-1
/// that git gives a file (40 digits), which depends on the file's size, too.
class Digest {
 public:
  Digest(std::string_view etag, std::uint64_t size);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// Whether all bytes so far are what the etag stands for. Ends the computation.
  bool matches();

 private:
  struct State;
  std::string etag_;
  std::unique_ptr<State> state_;
};

/// Whether a file of this size has the bytes that the etag stands for.
bool matches(const std::filesystem::path& path, std::string_view etag, std::uint64_t size);

}  // namespace onnxport::hub
