#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace onnxport {

/// A file mapped read-only; also keeps its descriptor for copy_file_range. Shared by every tensor that lies in it.
class MappedFile {
 public:
  /// Throws Error(InvalidCheckpoint) naming the file if it cannot be opened, is not a regular file or cannot be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace onnxport
