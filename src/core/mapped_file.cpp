#include "core/mapped_file.h"

#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnxport/error.h"

namespace onnxport {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::InvalidCheckpoint, path.string() + ": " + what);
}

std::string reason(int error_number) { return std::generic_category().message(error_number); }

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever; regular files ignore the flag.
  file->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file->descriptor_ < 0) fail(path, "cannot be opened: " + reason(errno));

  struct stat status {};
  if (::fstat(file->descriptor_, &status) != 0) fail(path, "cannot be read: " + reason(errno));
  if (!S_ISREG(status.st_mode)) fail(path, "is not a regular file");

  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return file;  // mmap refuses a length of zero
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file->descriptor_, 0);
  if (address == MAP_FAILED) fail(path, "cannot be mapped into memory: " + reason(errno));
  file->data_ = static_cast<const std::byte*>(address);
  file->size_ = size;
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace onnxport
