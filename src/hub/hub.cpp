#include "onnxport/hub.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "checkpoint/file_names.h"
#include "hub/cache.h"
#include "hub/client.h"
#include "hub/download.h"
#include "hub/repository.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using hub::fail;
using hub::Identity;
using hub::ModelCache;
using hub::PartialBlob;
using hub::RemoteFile;
using hub::Repository;

// ---- Downloading ----------------------------------------------------------------------------------------------------

/// A file that is being downloaded, and what of it is not yet on its way.
struct Download {
  Download(const RemoteFile& remote, const ModelCache& cache)
      : file(remote), lock(cache.lock(remote.etag)), partial(cache.blob(remote.etag), remote.size) {}
  RemoteFile file;
  ModelCache::Lock lock;
  PartialBlob partial;
  std::size_t segments_left = 0;
};

/// Downloads files with several connections at once; segments of all files stand in one queue.
class Downloader {
 public:
  Downloader(const ModelCache& cache, const std::string& commit, const Identity& identity, const HubOptions& options)
      : cache_(cache), commit_(commit), identity_(identity), options_(options) {}

  /// Files of equal content are one blob.
  void add(const RemoteFile& file) {
    if (fs::exists(cache_.blob(file.etag)) || !etags_.insert(file.etag).second) return;
    auto download = std::make_unique<Download>(file, cache_);
    // Another process may have brought it while this one waited for the lock.
    if (fs::exists(cache_.blob(file.etag))) return;
    enqueue(*download);
    if (download->segments_left == 0) finish(*download);  // all was there but the name
    downloads_.push_back(std::move(download));
  }

  void run() {
    const auto count =
        std::min<std::size_t>(static_cast<std::size_t>(std::max(options_.connections, 1)), queue_.size());
    std::vector<std::thread> threads;
    running_ = count;
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    try {
      for (bool is_running = true; is_running;) {
        if (options_.progress) options_.progress({done_, total_});
        std::unique_lock lock(mutex_);
        is_running = !changed_.wait_for(lock, std::chrono::milliseconds(100), [this] { return running_ == 0; });
      }
      if (options_.progress && !error_) options_.progress({done_, total_});
    } catch (...) {
      // The caller's way to interrupt a download: what is complete is kept.
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
      stop_ = true;
    }
    for (std::thread& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Segment {
    Download* download;
    std::size_t index;
  };

  void enqueue(Download& download) {
    for (std::size_t i = 0; i < download.partial.segment_count(); ++i) {
      if (download.partial.is_complete(i)) continue;
      queue_.push_back({&download, i});
      ++download.segments_left;
      total_ += download.partial.end(i) - download.partial.begin(i);
    }
  }

  void work() {
    try {
      hub::Client client(identity_, options_.retry_delay, stop_);
      for (;;) {
        std::unique_lock lock(mutex_);
        if (queue_.empty() || stop_) break;
        const Segment segment = queue_.front();
        queue_.pop_front();
        lock.unlock();
        fetch(client, segment);
        lock.lock();
        if (stop_) break;
        segment.download->partial.set_complete(segment.index);
        if (--segment.download->segments_left > 0) continue;
        lock.unlock();
        finish(*segment.download);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stop_ = true;
    }
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_one();
  }

  void fetch(hub::Client& client, const Segment& segment) {
    const Download& download = *segment.download;
    client.fetch(download.file, commit_, {download.partial.begin(segment.index), download.partial.end(segment.index)},
                 [&](std::uint64_t position, std::span<const std::byte> bytes) {
                   download.partial.write(position, bytes);
                   done_ += bytes.size();
                 });
  }

  void finish(Download& download) {
    if (download.partial.publish(download.file.etag)) return;
    fail(quote_json(download.file.path) + " of " + quote_json(identity_.model_id) +
         " arrived damaged: its hash is not the one that the Hub states. It was discarded; try again");
  }

  const ModelCache& cache_;
  const std::string& commit_;
  const Identity& identity_;
  const HubOptions& options_;

  std::vector<std::unique_ptr<Download>> downloads_;
  std::set<std::string> etags_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Segment> queue_;
  std::size_t running_ = 0;
  std::exception_ptr error_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> done_ = 0;
  std::uint64_t total_ = 0;
};

// ---- Which files ----------------------------------------------------------------------------------------------------

/// A snapshot that was downloaded earlier. Nothing if it lacks what the selection takes of it.
std::optional<fs::path> find_snapshot(const ModelCache& cache, const HubFileSelection& selection,
                                      const std::string& revision) {
  const std::optional<std::string> commit = cache.commit_of(revision);
  if (!commit) return std::nullopt;
  std::vector<HubFile> files;
  for (std::string& path : cache.files(*commit)) files.push_back({std::move(path), 0});
  if (selection(files).empty()) return std::nullopt;
  return cache.snapshot(*commit);
}

fs::path cached_snapshot(const ModelCache& cache, const HubFileSelection& selection, const Identity& identity,
                         const std::string& reason) {
  if (const std::optional<fs::path> snapshot = find_snapshot(cache, selection, identity.revision)) return *snapshot;
  fail(quote_json(identity.model_id) + " is neither a directory here nor in the Hub's cache at revision " +
       quote_json(identity.revision) + ", and " + reason);
}

fs::path with_subfolder(fs::path snapshot, const HubOptions& options) {
  if (options.subfolder.empty()) return snapshot;
  if (!hub::is_safe_path(options.subfolder)) fail("the subfolder " + quote_json(options.subfolder) + " is no path");
  return snapshot / options.subfolder;
}

/// Files of a repository that a name's absence is worth remembering for: what transformers asks for on the way.
void write_missing(const ModelCache& cache, const Repository& repository, std::string_view subfolder) {
  for (const std::string_view name : companion_file_names()) {
    const std::string path = subfolder.empty() ? std::string(name) : std::string(subfolder) + "/" + std::string(name);
    const bool exists = std::any_of(repository.files.begin(), repository.files.end(),
                                    [&](const RemoteFile& file) { return file.path == path; });
    if (!exists) cache.write_missing(repository.commit, path);
  }
}

}  // namespace

bool is_model_id(std::string_view text) {
  // huggingface_hub.utils.validate_repo_id
  const std::size_t slash = text.find('/');
  const std::string_view name = slash == std::string_view::npos ? text : text.substr(slash + 1);
  const std::string_view organization = slash == std::string_view::npos ? std::string_view("x") : text.substr(0, slash);
  const auto is_part = [](std::string_view part) {
    const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
    return !part.empty() && part.size() <= 96 && is_word(part.front()) && is_word(part.back()) &&
           std::all_of(part.begin(), part.end(), [&](char c) { return is_word(c) || c == '-' || c == '.'; });
  };
  return is_part(organization) && is_part(name) && text.find("--") == std::string_view::npos &&
         text.find("..") == std::string_view::npos && !text.ends_with(".git");
}

fs::path hub::download_files(const std::vector<RemoteFile>& files, const Repository& repository,
                             const Identity& identity, const ModelCache& cache, const HubOptions& options) {
  {
    Downloader downloader(cache, repository.commit, identity, options);
    for (const RemoteFile& file : files) downloader.add(file);
    downloader.run();
  }
  for (const RemoteFile& file : files) cache.link(repository.commit, file.path, file.etag);
  write_missing(cache, repository, options.subfolder);
  cache.write_reference(identity.revision, repository.commit);
  return cache.snapshot(repository.commit);
}

fs::path download_model(std::string_view model_id, const HubFileSelection& selection, const HubOptions& options) {
  const Identity identity = hub::identify(model_id, options);
  const ModelCache cache(options.cache_dir.empty() ? hub::default_cache_directory() : options.cache_dir, model_id);
  if (hub::is_offline(options)) {
    return with_subfolder(cached_snapshot(cache, selection, identity, "the Hub is not asked while offline"), options);
  }

  const std::atomic<bool> stop = false;
  hub::Client client(identity, options.retry_delay, stop);
  const hub::HttpResponse response = hub::get_description(client);
  if (hub::is_unreachable(response)) {
    const std::string reason = identity.endpoint + " could not be reached: " + hub::describe(response);
    fs::path snapshot = cached_snapshot(cache, selection, identity, reason);
    if (options.warn) options.warn(reason + "; what the cache has of " + quote_json(model_id) + " is used");
    return with_subfolder(std::move(snapshot), options);
  }
  if (response.status != 200) hub::refuse(response, identity, "the description");

  const Repository repository = hub::parse_repository(response.body, identity.endpoint);
  const std::vector<RemoteFile> files = hub::select(repository, selection, identity, options.subfolder);
  return with_subfolder(hub::download_files(files, repository, identity, cache, options), options);
}

}  // namespace onnxport
