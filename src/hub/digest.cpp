#include "hub/digest.h"

#include <array>
#include <fstream>
#include <variant>
#include <vector>

// The functions that stand for one digest alone: the interface that OpenSSL 3 prefers links four megabytes of others.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace onnxport::hub {
namespace {

constexpr std::size_t sha1_digits = 2 * SHA_DIGEST_LENGTH;

std::string hexadecimal(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char byte : bytes) text += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
  return text;
}

}  // namespace

struct Digest::State {
  std::variant<SHA256_CTX, SHA_CTX> context;
};

Digest::Digest(std::string_view etag, std::uint64_t size) : etag_(etag), state_(std::make_unique<State>()) {
  if (etag.size() != sha1_digits) {
    SHA256_Init(&state_->context.emplace<SHA256_CTX>());
    return;
  }
  SHA_CTX& context = state_->context.emplace<SHA_CTX>();
  SHA1_Init(&context);
  const std::string header = "blob " + std::to_string(size);
  SHA1_Update(&context, header.c_str(), header.size() + 1);  // with the NUL
}

Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::update(std::span<const std::byte> bytes) {
  if (auto* sha256 = std::get_if<SHA256_CTX>(&state_->context)) {
    SHA256_Update(sha256, bytes.data(), bytes.size());
  } else {
    SHA1_Update(&std::get<SHA_CTX>(state_->context), bytes.data(), bytes.size());
  }
}

bool Digest::matches() {
  if (auto* sha256 = std::get_if<SHA256_CTX>(&state_->context)) {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256_Final(digest.data(), sha256);
    return hexadecimal(digest) == etag_;
  }
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  SHA1_Final(digest.data(), &std::get<SHA_CTX>(state_->context));
  return hexadecimal(digest) == etag_;
}

bool matches(const std::filesystem::path& path, std::string_view etag, std::uint64_t size) {
  Digest digest(etag, size);
  std::ifstream file(path, std::ios::binary);
  std::vector<char> block(1 << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0) {
    digest.update(std::as_bytes(std::span(block)).first(static_cast<std::size_t>(file.gcount())));
  }
  return digest.matches();
}

}  // namespace onnxport::hub
