#include "onnx/output_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "core/mapped_pages.h"
#include "core/parallel_for.h"
#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

/// Bytes between two calls of the progress function.
constexpr std::uint64_t kPortion = std::uint64_t{64} << 20;
/// All buffers for computed elements together.
constexpr std::uint64_t kComputeBuffers = std::uint64_t{32} << 20;
/// The least that a thread computes and writes at once. In elements, not bytes: a byte of integers costs as many
/// weights to compute as a float or more.
constexpr std::int64_t kComputeGrain = std::int64_t{1} << 18;
constexpr std::size_t kCopyBuffer = std::size_t{2} << 20;
constexpr std::uint64_t kPage = 4096;

/// Whether the kernel or the file system lacks what was asked for (copying between these two files, reserving room),
/// which says nothing against doing it otherwise. EPERM is what sandboxes answer that do not know the system call.
bool is_unsupported(int error_number) {
  constexpr std::array kErrors = {EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM};
  return std::find(kErrors.begin(), kErrors.end(), error_number) != kErrors.end();
}

std::string_view advice(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "Free some space or choose an output directory on another disk.";
    case EROFS:
    case EACCES:
    case EPERM:
      return "Choose an output directory that you may write to.";
    case EFBIG:
      return "The file system or a limit (ulimit -f) does not allow files of this size.";
    default:
      return "Check the output directory.";
  }
}

}  // namespace

void throw_output_failed(const std::filesystem::path& path, int error_number) {
  throw Error(ErrorKind::OutputFailed, "Cannot write " + path.string() + ": " +
                                           std::generic_category().message(error_number) + ". " +
                                           std::string(advice(error_number)));
}

OutputFile::OutputFile(std::filesystem::path path, Progress progress, const MappedFiles& mapped_files)
    : path_(std::move(path)), progress_(std::move(progress)), mapped_files_(mapped_files) {
  std::error_code error;
  if (std::filesystem::is_regular_file(std::filesystem::symlink_status(path_, error))) {
    std::filesystem::remove(path_, error);
  }
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw_output_failed(path_, errno);
}

OutputFile::OutputFile(Reopen, std::filesystem::path path, const MappedFiles& mapped_files)
    : path_(std::move(path)), mapped_files_(mapped_files) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw_output_failed(path_, errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::close() {
  if (::close(std::exchange(descriptor_, -1)) != 0) throw_output_failed(path_, errno);
}

void OutputFile::skip_to(std::uint64_t offset) { position_ = offset; }

void OutputFile::leave_out(std::uint64_t size) {
  if (size == 0) return;
  const auto begin = static_cast<off_t>(position_);
  if (::fallocate(descriptor_, 0, begin, static_cast<off_t>(size)) != 0) {
    // Not every file system reserves room; then the file grows without it.
    if (!is_unsupported(errno)) throw_output_failed(path_, errno);
    if (::ftruncate(descriptor_, begin + static_cast<off_t>(size)) != 0) throw_output_failed(path_, errno);
  }
  position_ += size;
}

void OutputFile::advance(std::uint64_t bytes) {
  position_ += bytes;
  if (progress_) progress_(bytes);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto portion = bytes.first(std::min<std::uint64_t>(bytes.size(), kPortion));
    write_at(position_, portion);
    advance(portion.size());
    bytes = bytes.subspan(portion.size());
  }
}

void OutputFile::write(const TensorSource& source) {
  if (source.bytes.empty()) {
    write_computed(source);
  } else if (source.file) {
    write_region(*source.file, source.file_offset, source.bytes.size());
  } else {
    write(source.bytes);
  }
}

void OutputFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_output_failed(path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

void OutputFile::write_region(const MappedFile& file, std::uint64_t offset, std::uint64_t size) {
  // The kernel copies page by page: where pages of both files do not coincide it touches each of the new ones twice,
  // and takes half as long again as a copy through a buffer that stays in the processor's cache.
  const bool is_aligned = offset % kPage == position_ % kPage;
  const std::uint64_t copied = is_aligned ? copy_in_kernel(file.descriptor(), offset, size) : 0;
  copy_through_buffer(file, offset + copied, size - copied);
}

std::uint64_t OutputFile::copy_in_kernel(int source, std::uint64_t offset, std::uint64_t size) {
  std::uint64_t copied = 0;
  while (copied < size) {
    auto from = static_cast<off_t>(offset + copied);
    auto to = static_cast<off_t>(position_);
    const ssize_t portion =
        ::copy_file_range(source, &from, descriptor_, &to, std::min<std::uint64_t>(size - copied, kPortion), 0);
    if (portion < 0 && errno == EINTR) continue;
    if (portion < 0 && !is_unsupported(errno)) throw_output_failed(path_, errno);
    if (portion <= 0) break;
    copied += static_cast<std::uint64_t>(portion);
    advance(static_cast<std::uint64_t>(portion));
  }
  return copied;
}

void OutputFile::copy_through_buffer(const MappedFile& file, std::uint64_t offset, std::uint64_t size) {
  if (size == 0) return;
  if (!copy_buffer_) copy_buffer_ = std::make_unique_for_overwrite<std::byte[]>(kCopyBuffer);
  while (size > 0) {
    const ssize_t portion = ::pread(file.descriptor(), copy_buffer_.get(), std::min<std::uint64_t>(size, kCopyBuffer),
                                    static_cast<off_t>(offset));
    if (portion < 0 && errno == EINTR) continue;
    if (portion <= 0) {
      throw Error(ErrorKind::InvalidCheckpoint,
                  file.path().string() + " cannot be read at byte " + std::to_string(offset) + ": " +
                      (portion < 0 ? std::generic_category().message(errno) : "it was changed during the export"));
    }
    write({copy_buffer_.get(), static_cast<std::size_t>(portion)});
    offset += static_cast<std::uint64_t>(portion);
    size -= static_cast<std::uint64_t>(portion);
  }
}

void OutputFile::write_computed(const TensorSource& source) {
  const std::uint64_t element = size_of(source.data_type);
  const auto batch = static_cast<std::int64_t>(kComputeBuffers / element);
  const auto count = static_cast<std::int64_t>(source.byte_size() / element);
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t size = std::min(batch, count - first);
    parallel_for(size, kComputeGrain, [&](std::int64_t begin, std::int64_t end) {
      const std::size_t bytes = static_cast<std::size_t>(end - begin) * element;
      const auto buffer = std::make_unique_for_overwrite<std::byte[]>(bytes);
      read_elements(source, first + begin, {buffer.get(), bytes});
      write_at(position_ + static_cast<std::uint64_t>(begin) * element, {buffer.get(), bytes});
    });
    for (const auto& file : mapped_files_) release_pages(file->bytes());
    advance(static_cast<std::uint64_t>(size) * element);
  }
}

}  // namespace onnxport::onnx
