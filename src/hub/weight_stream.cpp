#include "hub/weight_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "hub/digest.h"
#include "hub/download.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::hub {
namespace {

namespace fs = std::filesystem;

/// Fetched of each file before its header's length is known: enough for the headers of most.
constexpr std::uint64_t first_bytes = std::uint64_t{64} << 10;
/// The limit of the safetensors library. A longer header is refused when it is read.
constexpr std::uint64_t largest_header = 100'000'000;
/// Segments beyond those that connections work on, so that none has to wait for the reader.
constexpr std::size_t segments_ahead = 2;
constexpr std::size_t hash_block = std::size_t{1} << 20;

bool is_safetensors(const RemoteFile& file) { return file.path.ends_with(".safetensors"); }

/// Weights of sentence-transformers' modules behind the transformer ("2_Dense/model.safetensors") go along with an
/// export as files.
bool is_of_later_module(const RemoteFile& file) {
  const std::string module = fs::path(file.path).parent_path().filename().string();
  const std::size_t digits = module.find_first_not_of("0123456789");
  return digits != 0 && digits != std::string::npos && module[digits] == '_' && module[0] != '0';
}

bool is_other_weights(const RemoteFile& file) { return file.path.ends_with(".bin") || file.path.ends_with(".h5"); }

[[noreturn]] void fail_writing(const fs::path& path, int error_number) {
  throw Error(ErrorKind::OutputFailed,
              "cannot write " + path.string() + ": " + std::generic_category().message(error_number));
}

Repository describe_model(const Identity& identity, const HubOptions& options) {
  const std::atomic<bool> stop = false;
  Client client(identity, options.retry_delay, stop);
  const HttpResponse response = get_description(client);
  if (is_unreachable(response)) {
    fail(identity.endpoint + " could not be reached: " + describe(response) +
         ". A stream of weights needs the Hub; without it, the cache may serve");
  }
  if (response.status != 200) refuse(response, identity, "the description");
  return parse_repository(response.body, identity.endpoint);
}

}  // namespace

WeightStream::WeightStream(Identity identity, std::string commit, const HubOptions& options)
    : identity_(std::move(identity)), commit_(std::move(commit)), options_(options) {}

WeightStream::~WeightStream() {
  for (const File& file : files_) {
    if (file.descriptor >= 0) ::close(file.descriptor);
  }
}

std::unique_ptr<WeightStream> WeightStream::open(std::string_view model_id, const HubFileSelection& selection,
                                                 const fs::path& directory, const HubOptions& options) {
  Identity identity = identify(model_id, options);
  if (is_offline(options)) fail("a stream of weights needs the Hub, which is not asked while offline");
  if (!options.subfolder.empty() && !is_safe_path(options.subfolder)) {
    fail("the subfolder " + quote_json(options.subfolder) + " is no path");
  }
  const Repository repository = describe_model(identity, options);
  std::vector<RemoteFile> files = select(repository, selection, identity, options.subfolder);
  if (std::any_of(files.begin(), files.end(), is_other_weights)) return nullptr;

  const ModelCache cache(options.cache_dir.empty() ? default_cache_directory() : options.cache_dir, model_id);
  const auto is_streamed = [&](const RemoteFile& file) {
    return is_safetensors(file) && !is_of_later_module(file) && !fs::exists(cache.blob(file.etag));
  };
  const auto streamed = std::stable_partition(files.begin(), files.end(), std::not_fn(is_streamed));
  const std::vector<RemoteFile> kept(files.begin(), streamed);
  const fs::path snapshot = fs::absolute(download_files(kept, repository, identity, cache, options));

  std::unique_ptr<WeightStream> stream(new WeightStream(std::move(identity), repository.commit, options));
  stream->checkpoint_ = options.subfolder.empty() ? directory : directory / options.subfolder;
  for (const RemoteFile& file : kept) {
    const fs::path link = directory / file.path;
    fs::create_directories(link.parent_path());
    fs::create_symlink(snapshot / file.path, link);
  }
  for (auto file = streamed; file != files.end(); ++file) stream->add(*file, directory / file->path);
  stream->fetch_headers();
  stream->make_segments();
  return stream;
}

void WeightStream::add(const RemoteFile& remote, const fs::path& path) {
  fs::create_directories(path.parent_path());
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) fail_writing(path, errno);
  files_.push_back({remote, path, descriptor, 0});
  if (::ftruncate(descriptor, static_cast<off_t>(remote.size)) != 0) fail_writing(path, errno);
}

std::optional<std::size_t> WeightStream::index_of(const MappedFile& file) const {
  struct stat mapped {};
  if (::fstat(file.descriptor(), &mapped) != 0) return std::nullopt;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    struct stat own {};
    if (::fstat(files_[i].descriptor, &own) == 0 && own.st_ino == mapped.st_ino && own.st_dev == mapped.st_dev) {
      return i;
    }
  }
  return std::nullopt;
}

// ---- Headers --------------------------------------------------------------------------------------------------------

void WeightStream::fetch_headers() {
  std::atomic<std::size_t> next = 0;
  start(files_.size(), [&](Client& client) {
    for (std::size_t i = next++; i < files_.size() && !stop_; i = next++) fetch_header(client, files_[i]);
  });
  join();
}

void WeightStream::fetch_header(Client& client, File& file) {
  const auto fetch = [&](std::uint64_t begin, std::uint64_t end) {
    client.fetch(file.remote, commit_, {begin, end},
                 [&](std::uint64_t position, std::span<const std::byte> bytes) { write(file, position, bytes); });
    file.present = end;
  };
  if (file.remote.size == 0) return;
  fetch(0, std::min(file.remote.size, first_bytes));
  std::uint64_t length = 0;
  if (stop_ || ::pread(file.descriptor, &length, sizeof length, 0) != sizeof length || length > largest_header) return;
  const std::uint64_t end = std::min(file.remote.size, sizeof length + length);
  if (end > file.present) fetch(file.present, end);
}

void WeightStream::make_segments() {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    for (std::uint64_t begin = 0; begin < file_size(i); begin += segment_size) {
      segments_.push_back({i, {begin, std::min(begin + segment_size, file_size(i))}});
    }
    total_ += file_size(i) - files_[i].present;
  }
}

void WeightStream::write(const File& file, std::uint64_t position, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(file.descriptor, bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_writing(file.path, errno);
    position += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void WeightStream::release(std::size_t file, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t first = begin * block_size;
  const std::uint64_t last = std::min(end * block_size, file_size(file));
  // A file system that cannot do it keeps the room until the stream is gone: that costs space, nothing else.
  if (first < last) {
    ::fallocate(files_[file].descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
                static_cast<off_t>(last - first));
  }
}

// ---- Threads --------------------------------------------------------------------------------------------------------

void WeightStream::start(std::size_t count, const std::function<void(Client&)>& work) {
  count = std::min(count, static_cast<std::size_t>(std::max(options_.connections, 1)));
  for (std::size_t i = 0; i < count; ++i) {
    threads_.emplace_back([this, work] {
      try {
        Client client(identity_, options_.retry_delay, stop_);
        work(client);
      } catch (...) {
        fail_with(std::current_exception());
      }
    });
  }
}

/// The first error counts: the others follow from the end that it brings.
void WeightStream::fail_with(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  stop_ = true;
  changed_.notify_all();
}

void WeightStream::join() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (error_) std::rethrow_exception(error_);
}

void WeightStream::fetch_segments(Client& client) {
  const std::size_t window = static_cast<std::size_t>(std::max(options_.connections, 1)) + segments_ahead;
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stop_ || next_ == segments_.size() || next_ < consumed_ + window; });
    if (stop_ || next_ == segments_.size()) return;
    Segment& segment = segments_[next_++];
    lock.unlock();
    const File& file = files_[segment.file];
    const std::uint64_t begin = std::max(segment.range.begin, file.present);
    if (begin < segment.range.end) {
      client.fetch(file.remote, commit_, {begin, segment.range.end},
                   [&](std::uint64_t position, std::span<const std::byte> bytes) {
                     write(file, position, bytes);
                     done_ += bytes.size();
                   });
    }
    lock.lock();
    if (stop_) return;
    segment.is_there = true;
    changed_.notify_all();
  }
}

void WeightStream::report() const {
  if (options_.progress) options_.progress({done_, total_});
}

void WeightStream::wait_for(const Segment& segment) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, std::chrono::milliseconds(100), [&] { return stop_ || segment.is_there; })) {
    lock.unlock();
    report();
    lock.lock();
  }
  if (error_) std::rethrow_exception(error_);
}

void WeightStream::run(const std::function<void(std::size_t, std::uint64_t)>& arrived) {
  start(segments_.size(), [this](Client& client) { fetch_segments(client); });
  try {
    std::optional<Digest> digest;
    std::vector<std::byte> block(hash_block);
    for (const Segment& segment : segments_) {
      wait_for(segment);
      const File& file = files_[segment.file];
      if (segment.range.begin == 0) digest.emplace(file.remote.etag, file.remote.size);
      for (std::uint64_t position = segment.range.begin; position < segment.range.end;) {
        const std::size_t size = std::min<std::uint64_t>(block.size(), segment.range.end - position);
        const ssize_t read = ::pread(file.descriptor, block.data(), size, static_cast<off_t>(position));
        if (read < 0 && errno == EINTR) continue;
        if (read <= 0) fail_writing(file.path, read < 0 ? errno : EIO);
        digest->update(std::span(block).first(static_cast<std::size_t>(read)));
        position += static_cast<std::uint64_t>(read);
      }
      if (segment.range.end == file.remote.size && !digest->matches()) {
        fail(quote_json(file.remote.path) + " of " + quote_json(identity_.model_id) +
             " arrived damaged: its hash is not the one that the Hub states. Nothing was written; try again");
      }
      arrived(segment.file, segment.range.end);
      {
        const std::lock_guard lock(mutex_);
        ++consumed_;
      }
      changed_.notify_all();
      report();
    }
  } catch (...) {
    fail_with(std::current_exception());
  }
  join();
}

}  // namespace onnxport::hub
