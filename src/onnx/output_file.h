#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/tensor_source.h"

namespace onnxport::onnx {

using MappedFiles = std::vector<std::shared_ptr<const MappedFile>>;

/// A new file, filled from front to back, or one whose gaps are filled.
class OutputFile {
 public:
  /// Called after each portion with its size.
  using Progress = std::function<void(std::uint64_t bytes)>;

  /// Replaces an existing regular file by a new one rather than to overwrite it: it may be mapped, or have other links.
  /// `mapped_files` are those that computed tensors read: see WriteOptions. Throws Error(OutputFailed), as all
  /// functions of this class do.
  OutputFile(std::filesystem::path path, Progress progress, const MappedFiles& mapped_files);
  /// An existing file, to fill gaps of: skip_to() goes to any offset in it. Closed when the object goes.
  struct Reopen {};
  OutputFile(Reopen, std::filesystem::path path, const MappedFiles& mapped_files);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  /// Writes all elements: those in a file are copied inside the kernel, so that neither their pages nor a buffer add to
  /// this process's memory, and computed ones pass through a bounded buffer. Also throws Error(InvalidCheckpoint) when
  /// the source file has become shorter.
  void write(const TensorSource& source);
  /// Leaves a gap of zeros up to `offset`, which is not before the end.
  void skip_to(std::uint64_t offset);
  /// Leaves a gap for `size` bytes, to be filled later, and reserves the room for them.
  void leave_out(std::uint64_t size);
  /// Closes the file. Some file systems report a full disk only here.
  void close();

 private:
  void advance(std::uint64_t bytes);
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  void write_region(const MappedFile& file, std::uint64_t offset, std::uint64_t size);
  std::uint64_t copy_in_kernel(int source, std::uint64_t offset, std::uint64_t size);
  void copy_through_buffer(const MappedFile& file, std::uint64_t offset, std::uint64_t size);
  void write_computed(const TensorSource& source);

  std::filesystem::path path_;
  Progress progress_;
  const MappedFiles& mapped_files_;
  int descriptor_ = -1;
  std::uint64_t position_ = 0;
  std::unique_ptr<std::byte[]> copy_buffer_;  ///< made when it is first needed
};

/// Throws Error(OutputFailed): `path` could not be written for the reason that errno gives, and what to do about it.
[[noreturn]] void throw_output_failed(const std::filesystem::path& path, int error_number);

}  // namespace onnxport::onnx
