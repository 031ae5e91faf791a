#include "hub/cache.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/environment.h"
#include "hub/digest.h"
#include "onnxport/error.h"

namespace onnxport::hub {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw Error(ErrorKind::HubFailed, "cannot write " + path.string() + " in the Hub's cache: " + reason +
                                        ". Choose another cache with --cache_dir or HF_HUB_CACHE.");
}

[[noreturn]] void fail(const fs::path& path) { fail(path, std::strerror(errno)); }

/// "~" as the shell reads it.
fs::path expand_user(std::string_view text) {
  if (text != "~" && !text.starts_with("~/")) return text;
  const std::string_view home = environment("HOME");
  return home.empty() ? fs::path(text) : fs::path(home) / fs::path(text.substr(std::min<std::size_t>(2, text.size())));
}

void make_directories(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) fail(directory, error.message());
}

/// Written beside its place and moved there, so that a reader never sees half of it.
void write_file(const fs::path& path, std::string_view text) {
  make_directories(path.parent_path());
  const fs::path temporary = path.string() + "." + std::to_string(::getpid()) + ".tmp";
  {
    std::ofstream file(temporary, std::ios::binary);
    file << text;
    if (!file.flush()) fail(temporary);
  }
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) fail(path, error.message());
}

}  // namespace

fs::path home_directory() {
  if (const std::string_view home = environment("HF_HOME"); !home.empty()) return expand_user(home);
  const std::string_view cache = environment("XDG_CACHE_HOME");
  return expand_user(cache.empty() ? "~/.cache" : cache) / "huggingface";
}

fs::path default_cache_directory() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const std::string_view directory = environment(name); !directory.empty()) return expand_user(directory);
  }
  return home_directory() / "hub";
}

bool is_hexadecimal_name(std::string_view text) {
  return text.size() >= 40 && text.size() <= 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 1024 || path.front() == '/' || path.find('\\') != std::string_view::npos)
    return false;
  if (std::any_of(path.begin(), path.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    return false;
  }
  const fs::path parts(path);
  return std::none_of(parts.begin(), parts.end(),
                      [](const fs::path& part) { return part == ".." || part == "." || part.empty(); });
}

// ---- ModelCache -----------------------------------------------------------------------------------------------------

ModelCache::ModelCache(const fs::path& cache_directory, std::string_view model_id) {
  std::string folder = "models";
  for (const char c : "/" + std::string(model_id)) folder += c == '/' ? "--" : std::string(1, c);
  directory_ = cache_directory / folder;
  locks_ = cache_directory / ".locks" / folder;
}

fs::path ModelCache::blob(std::string_view etag) const { return directory_ / "blobs" / etag; }

fs::path ModelCache::snapshot(std::string_view commit) const { return directory_ / "snapshots" / commit; }

std::optional<std::string> ModelCache::commit_of(std::string_view revision) const {
  if (revision.size() == 40 && is_hexadecimal_name(revision)) return std::string(revision);
  std::ifstream file(directory_ / "refs" / revision);
  std::string commit;
  if (!std::getline(file, commit) || !is_hexadecimal_name(commit)) return std::nullopt;
  return commit;
}

void ModelCache::write_reference(std::string_view revision, std::string_view commit) const {
  if (revision != commit && commit_of(revision) != commit) write_file(directory_ / "refs" / revision, commit);
}

void ModelCache::write_missing(std::string_view commit, std::string_view path) const {
  const fs::path file = directory_ / ".no_exist" / commit / path;
  std::error_code error;
  if (!fs::exists(file, error)) write_file(file, "");
}

std::vector<std::string> ModelCache::files(std::string_view commit) const {
  std::vector<std::string> names;
  const fs::path root = snapshot(commit);
  std::error_code error;
  for (fs::recursive_directory_iterator entry(root, error), end; entry != end; entry.increment(error)) {
    if (error) break;
    if (entry->is_regular_file(error)) names.push_back(entry->path().lexically_relative(root).generic_string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void ModelCache::link(std::string_view commit, std::string_view path, std::string_view etag) const {
  const fs::path file = snapshot(commit) / path;
  make_directories(file.parent_path());
  std::error_code error;
  const fs::path target = blob(etag).lexically_relative(file.parent_path());
  if (fs::read_symlink(file, error) == target && !error) return;
  const fs::path temporary = file.string() + "." + std::to_string(::getpid()) + ".tmp";
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (error) fs::copy_file(blob(etag), temporary, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(temporary, file, error);
  if (error) fail(file, error.message());
}

ModelCache::Lock::Lock(const fs::path& file) {
  make_directories(file.parent_path());
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(file);
  while (::flock(descriptor_, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    ::close(descriptor_);
    errno = error;
    fail(file);
  }
}

ModelCache::Lock::~Lock() { ::close(descriptor_); }

ModelCache::Lock ModelCache::lock(std::string_view etag) const { return Lock(locks_ / (std::string(etag) + ".lock")); }

// ---- PartialBlob ----------------------------------------------------------------------------------------------------

PartialBlob::PartialBlob(const fs::path& blob, std::uint64_t size)
    : blob_(blob), data_path_(blob.string() + ".segments"), journal_path_(blob.string() + ".journal"), size_(size) {
  make_directories(blob.parent_path());
  data_ = ::open(data_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (data_ < 0) fail(data_path_);
  // Before anything is made of the size that the Hub states: it may be absurd.
  struct stat status {};
  if (::fstat(data_, &status) != 0) fail(data_path_);
  const std::uint64_t present = std::min(size_, static_cast<std::uint64_t>(status.st_blocks) * 512);
  std::error_code error;
  const fs::space_info space = fs::space(blob.parent_path(), error);
  if (!error && space.available < size_ - present) {
    fail(blob, "the disk has " + std::to_string(space.available >> 20) + " MiB left, " +
                   std::to_string((size_ - present) >> 20) + " MiB are needed");
  }
  complete_.resize((size_ + segment_size - 1) / segment_size);
  read_journal();
  if (::ftruncate(data_, static_cast<off_t>(size_)) != 0) fail(data_path_);
  journal_ = ::open(journal_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (journal_ < 0) fail(journal_path_);
}

PartialBlob::~PartialBlob() {
  if (data_ >= 0) ::close(data_);
  if (journal_ >= 0) ::close(journal_);
}

void PartialBlob::read_journal() {
  // A journal says something only of a file that has the size it speaks of.
  std::error_code error;
  if (fs::file_size(data_path_, error) != size_ || error) {
    fs::remove(journal_path_, error);
    return;
  }
  std::ifstream journal(journal_path_);
  for (std::string line; std::getline(journal, line) && !journal.eof();) {
    char* end = nullptr;
    const unsigned long long segment = std::strtoull(line.c_str(), &end, 10);
    if (!line.empty() && *end == '\0' && segment < complete_.size()) complete_[segment] = true;
  }
}

std::uint64_t PartialBlob::end(std::size_t segment) const { return std::min(size_, begin(segment) + segment_size); }

void PartialBlob::write(std::uint64_t position, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(data_, bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(data_path_);
    position += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void PartialBlob::set_complete(std::size_t segment) {
  const std::string line = std::to_string(segment) + "\n";
  if (::write(journal_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) fail(journal_path_);
  complete_[segment] = true;
}

bool PartialBlob::publish(std::string_view etag) {
  const bool intact = matches(data_path_, etag, size_);
  std::error_code error;
  if (intact) {
    if (::fsync(data_) != 0) fail(data_path_);
    fs::rename(data_path_, blob_, error);
    if (error) fail(blob_, error.message());
  } else {
    fs::remove(data_path_, error);
  }
  fs::remove(journal_path_, error);
  return intact;
}

}  // namespace onnxport::hub
