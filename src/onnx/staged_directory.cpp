#include "onnx/staged_directory.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx/output_file.h"
#include "onnx/reader.h"
#include "onnxport/error.h"

namespace onnxport::onnx {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarker = ".onnxport-";

void check(const std::error_code& error, const fs::path& path) {
  if (error) throw_output_failed(path, error.value());
}

// ---- Making the directory -----------------------------------------------------------------------------------------

fs::path absolute_destination(const fs::path& destination) {
  std::error_code error;
  fs::path path = fs::weakly_canonical(fs::absolute(destination, error), error);
  if (error) path = destination.lexically_normal();
  // "out/" has an empty last component
  return path.has_filename() ? path : path.parent_path();
}

std::string staged_prefix(const fs::path& destination) {
  constexpr std::size_t kLongestName = 200;  // with the rest, the name must not exceed 255 bytes
  return "." + destination.filename().string().substr(0, kLongestName) + std::string(kMarker);
}

std::string random_suffix() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::uniform_int_distribution<std::size_t> letter(0, kLetters.size() - 1);
  std::string suffix(6, ' ');
  for (char& character : suffix) character = kLetters[letter(random)];
  return suffix;
}

int open_directory(const fs::path& path) {
  return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/// A directory, opened and locked. The kernel gives the lock up when the process ends, however that happens.
struct LockedDirectory {
  fs::path path;
  int lock;
};

/// nullopt if the parent cannot be written to.
std::optional<LockedDirectory> make_locked_directory(const fs::path& parent, const std::string& prefix) {
  while (true) {
    fs::path path = parent / (prefix + random_suffix());
    if (::mkdir(path.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      if (errno == EACCES || errno == EROFS || errno == EPERM) return std::nullopt;
      throw_output_failed(path, errno);
    }
    const int lock = open_directory(path);
    if (lock < 0) throw_output_failed(path, errno);
    // Another process that cleans up may take the directory for an abandoned one until it is locked. File systems
    // without locks are left alone: nothing is ever taken for abandoned there.
    std::error_code error;
    const bool is_taken = ::flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!is_taken && fs::exists(path, error)) return LockedDirectory{path, lock};
    ::close(lock);
  }
}

void remove_if_abandoned(const fs::path& path) {
  const int lock = open_directory(path);
  if (lock < 0) return;
  std::error_code error;
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, error);
  ::close(lock);
}

/// What lies in a directory, as far as it can be read.
std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    entries.push_back(entry->path());
  }
  return entries;
}

void remove_abandoned(const fs::path& parent, const std::string& prefix) {
  for (const fs::path& path : entries_of(parent)) {
    if (path.filename().string().starts_with(prefix)) remove_if_abandoned(path);
  }
}

/// Whether files can be renamed between the two directories as far as mounts are concerned: also two mounts of one file
/// system are separate.
bool on_one_mount(const fs::path& first, const fs::path& second) {
  struct statx a {};
  struct statx b {};
  if (::statx(AT_FDCWD, first.c_str(), 0, STATX_MNT_ID, &a) != 0) return false;
  if (::statx(AT_FDCWD, second.c_str(), 0, STATX_MNT_ID, &b) != 0) return false;
  return a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor && a.stx_mnt_id == b.stx_mnt_id;
}

/// Directories in which files can be made that can then be renamed into `destination`, the better one first.
std::vector<fs::path> possible_places(const fs::path& destination) {
  const fs::path parent = destination.parent_path();
  std::error_code error;
  if (!fs::exists(destination, error)) return {parent};
  if (!on_one_mount(parent, destination)) return {destination};
  return {parent, destination};
}

// ---- Moving the files ---------------------------------------------------------------------------------------------

bool is_model(const fs::path& path) { return path.extension() == ".onnx"; }

/// All files below `root`, relative to it, models last.
std::vector<fs::path> files_below(const fs::path& root) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const bool is_directory = fs::is_directory(entry->symlink_status(ignored));
    if (!is_directory) files.push_back(entry->path().lexically_relative(root));
  }
  check(error, root);
  std::sort(files.begin(), files.end());
  std::stable_partition(files.begin(), files.end(), [](const fs::path& file) { return !is_model(file); });
  return files;
}

/// Names of the files that a model's initializers lie in. None if the file is no model: it may be anybody's.
std::set<std::string> external_data_of(const fs::path& model_path) try {
  std::set<std::string> names;
  const Model model = read_model(model_path);
  for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Initializer& initializer : graph.initializers) {
      const auto& file = initializer.source.file;
      if (file && file->path() != model_path) names.insert(file->path().lexically_relative(model_path.parent_path()));
    }
  });
  return names;
} catch (const Error&) {
  return {};
}

/// External data of the models in `destination` that `files` are about to replace. Only names that begin with the
/// model's own name: the data may as well lie in the checkpoint, which is the user's.
std::vector<fs::path> replaceable_data(const fs::path& destination, const std::vector<fs::path>& files) {
  std::vector<fs::path> data;
  for (const fs::path& file : files) {
    const fs::path model = destination / file;
    if (!is_model(file)) continue;
    for (const std::string& name : external_data_of(model)) {
      const bool is_replaced = std::find(files.begin(), files.end(), file.parent_path() / name) != files.end();
      if (!is_replaced && name.starts_with(model.filename().string())) data.push_back(model.parent_path() / name);
    }
  }
  return data;
}

bool is_used(const fs::path& data) {
  const std::vector<fs::path> neighbours = entries_of(data.parent_path());
  return std::any_of(neighbours.begin(), neighbours.end(), [&](const fs::path& path) {
    return is_model(path) && external_data_of(path).contains(data.filename().string());
  });
}

void move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  check(error, to.parent_path());
  fs::rename(from, to, error);
  check(error, to);
}

}  // namespace

StagedDirectory::StagedDirectory(const fs::path& destination) : destination_(absolute_destination(destination)) {
  std::error_code error;
  const fs::file_status status = fs::status(destination_, error);
  if (fs::exists(status) && !fs::is_directory(status)) throw_output_failed(destination_, ENOTDIR);
  fs::create_directories(destination_.parent_path(), error);
  check(error, destination_.parent_path());

  const std::string prefix = staged_prefix(destination_);
  for (const fs::path& place : possible_places(destination_)) {
    remove_abandoned(place, prefix);
    if (auto made = make_locked_directory(place, prefix)) {
      path_ = std::move(made->path);
      lock_ = made->lock;
      return;
    }
  }
  throw_output_failed(destination_, EACCES);
}

StagedDirectory::~StagedDirectory() { remove(); }

void StagedDirectory::remove() noexcept {
  std::error_code error;
  if (!path_.empty()) fs::remove_all(path_, error);
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

void StagedDirectory::commit() {
  std::error_code error;
  if (!fs::exists(destination_, error)) {
    // One step. If the destination appears meanwhile, the files are moved one by one.
    fs::rename(path_, destination_, error);
    if (!error) path_.clear();
  }
  if (!path_.empty()) move_files();
  remove();
}

void StagedDirectory::move_files() const {
  const std::vector<fs::path> files = files_below(path_);
  std::error_code error;
  // Looked at before anything is moved, so that this mistake leaves the destination as it was.
  for (const fs::path& file : files) {
    if (fs::is_directory(destination_ / file, error)) throw_output_failed(destination_ / file, EISDIR);
  }
  const std::vector<fs::path> old_data = replaceable_data(destination_, files);
  for (const fs::path& file : files) move_file(path_ / file, destination_ / file);
  for (const fs::path& data : old_data) {
    if (!is_used(data)) fs::remove(data, error);
  }
}

}  // namespace onnxport::onnx
