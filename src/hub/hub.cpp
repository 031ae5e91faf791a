#include "onnxport/hub.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "checkpoint/file_names.h"
#include "core/environment.h"
#include "hub/cache.h"
#include "hub/http.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using hub::HttpConnection;
using hub::HttpRequest;
using hub::HttpResponse;
using hub::ModelCache;
using hub::PartialBlob;

constexpr int attempts = 5;
constexpr int most_redirections = 10;
constexpr std::chrono::milliseconds longest_delay{60'000};

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::HubFailed, message); }

bool is_true(std::string_view value) {
  std::string text(value);
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

bool is_offline(const HubOptions& options) {
  return options.local_files_only || is_true(environment("HF_HUB_OFFLINE")) ||
         is_true(environment("TRANSFORMERS_OFFLINE"));
}

std::string endpoint(const HubOptions& options) {
  std::string text = options.endpoint;
  if (text.empty()) {
    text = environment("HF_ENDPOINT");
    if (text.empty()) text = "https://huggingface.co";
  }
  while (text.ends_with('/')) text.pop_back();
  if (hub::url_origin(text).empty()) fail("the Hub's endpoint " + quote_json(text) + " is no http or https URL");
  return text;
}

std::string trimmed(std::string text) {
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
  while (!text.empty() && is_space(text.back())) text.pop_back();
  return text;
}

/// As huggingface_hub.get_token() finds it; empty for none.
std::string find_token(const HubOptions& options) {
  std::string token;
  if (options.token) {
    token = *options.token;
  } else if (!is_true(environment("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    token = environment("HF_TOKEN");
    if (token.empty()) token = environment("HUGGING_FACE_HUB_TOKEN");
    if (token.empty()) {
      const fs::path path = environment("HF_TOKEN_PATH");
      std::ifstream file(path.empty() ? hub::home_directory() / "token" : path);
      std::getline(file, token);
    }
  }
  token = trimmed(std::move(token));
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    fail("the Hub's token has characters that no token has; log in again, or set HF_TOKEN");
  }
  return token;
}

// ---- Requests to the Hub --------------------------------------------------------------------------------------------

bool is_redirection(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// What may be gone when it is asked again.
bool is_transient(const HttpResponse& response) {
  if (!response.failure.empty()) return response.failure != "stopped";
  return response.status == 408 || response.status == 429 || (response.status >= 500 && response.status != 501);
}

/// One thread's way to the Hub: follows redirections, keeps the token to the Hub itself, repeats what failed.
class Client {
 public:
  Client(std::string endpoint, std::string token, std::chrono::milliseconds retry_delay, const std::atomic<bool>& stop)
      : endpoint_(std::move(endpoint)), token_(std::move(token)), retry_delay_(retry_delay), stop_(stop) {}

  const std::string& endpoint() const { return endpoint_; }

  /// `before` runs before each attempt, so that a receiver starts anew.
  HttpResponse get(HttpRequest request, const std::function<void()>& before = {}) {
    std::chrono::milliseconds delay = retry_delay_;
    for (int attempt = 1;; ++attempt) {
      if (before) before();
      HttpResponse response = follow(request);
      if (!is_transient(response) || attempt == attempts || stop_) return response;
      std::chrono::milliseconds wait = delay;
      // The Hub says how long it wants to be left alone, in seconds.
      if (const long seconds = std::strtol(response.header("retry-after").c_str(), nullptr, 10); seconds > 0) {
        wait = std::max(wait, std::chrono::milliseconds(std::min(seconds, 3600L) * 1000));
      }
      sleep(std::min(wait, longest_delay));
      delay *= 2;
    }
  }

 private:
  HttpResponse follow(HttpRequest request) {
    const std::string home = hub::url_origin(endpoint_);
    for (int hops = 0;; ++hops) {
      HttpRequest hop = request;
      // Other hosts hold the large files; their URLs are signed, and the token is none of their business.
      if (!token_.empty() && hub::url_origin(hop.url) == home) hop.headers.push_back("Authorization: Bearer " + token_);
      HttpResponse response = connection_.get(hop);
      if (!is_redirection(response.status)) return response;
      const std::string target = hub::resolve_url(request.url, response.header("location"));
      const bool is_downgrade = request.url.starts_with("https://") && target.starts_with("http://");
      if (target.empty() || is_downgrade || hops == most_redirections) {
        response.failure = "stopped";
        response.status = 0;
        response.body = target.empty() ? "it redirects to no URL"
                        : is_downgrade ? "it redirects from https to http"
                                       : "it redirects without end";
        return response;
      }
      request.url = target;
    }
  }

  /// In small steps, so that a failure elsewhere ends the wait.
  void sleep(std::chrono::milliseconds time) const {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!stop_ && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(
          std::min<std::chrono::nanoseconds>(std::chrono::milliseconds(50), end - std::chrono::steady_clock::now()));
    }
  }

  std::string endpoint_;
  std::string token_;
  std::chrono::milliseconds retry_delay_;
  const std::atomic<bool>& stop_;
  HttpConnection connection_;
};

struct Identity {
  std::string model_id;
  std::string revision;
  bool has_token = false;
};

std::string describe(const HttpResponse& response) {
  if (response.status == 0) return response.body.empty() ? response.failure : response.body;
  const std::string reason = response.header("x-error-message");
  std::string text = "HTTP status " + std::to_string(response.status);
  if (!reason.empty()) text += " (" + reason + ")";
  if (!response.failure.empty()) text += ", " + response.failure;
  return text;
}

/// Turns an answer that is none into one message. `what` is "the model", or one of its files.
[[noreturn]] void refuse(const HttpResponse& response, const std::string& endpoint, const Identity& identity,
                         const std::string& what) {
  const std::string model = quote_json(identity.model_id);
  const std::string code = response.header("x-error-code");
  if (code == "GatedRepo") {
    fail(model + " is gated: ask for access at " + endpoint + "/" + identity.model_id +
         (identity.has_token ? ", the token in use has none" : ", then give a token with --token or HF_TOKEN"));
  }
  if (code == "RevisionNotFound") {
    fail(model + " has no revision " + quote_json(identity.revision) + ": give a branch, a tag or a commit");
  }
  if (code == "EntryNotFound") fail(model + " has no file " + what + " at revision " + quote_json(identity.revision));
  if (code == "RepoNotFound" || response.status == 404 || response.status == 401) {
    fail(model + " is neither a directory here nor a model at " + endpoint + " (HTTP status " +
         std::to_string(response.status) + "). Check the spelling; if it is private, " +
         (identity.has_token ? "the token in use does not see it" : "give a token with --token or HF_TOKEN"));
  }
  if (response.status == 403) {
    fail("access to " + model + " is forbidden" + (identity.has_token ? " with the token in use" : " without a token"));
  }
  fail(what + " of " + model + " could not be downloaded from " + endpoint + ": " + describe(response));
}

/// No answer of the Hub itself, so that the cache may stand in.
bool is_unreachable(const HttpResponse& response) { return response.status == 0 || response.status >= 500; }

// ---- What a repository holds ----------------------------------------------------------------------------------------

struct RemoteFile {
  std::string path;
  std::string etag;  ///< SHA-256 of a large file, git's SHA-1 of another
  std::uint64_t size = 0;
};

struct Repository {
  std::string commit;
  std::vector<RemoteFile> files;
};

const Json& member(const Json& object, std::string_view name, bool (Json::*is_type)() const, const std::string& where) {
  const Json* value = object.find(name);
  if (value == nullptr || !(value->*is_type)()) {
    fail(where + " answered with a description of the model that lacks " + quote_json(name));
  }
  return *value;
}

Repository parse_repository(const std::string& body, const std::string& where) {
  Json json;
  try {
    json = parse_json(body, where);
  } catch (const Error& error) {
    fail(error.what());
  }
  Repository repository;
  repository.commit = member(json, "sha", &Json::is_string, where).string();
  if (!hub::is_hexadecimal_name(repository.commit)) fail(where + " names a commit that is none");
  for (const Json& sibling : member(json, "siblings", &Json::is_array, where).array()) {
    RemoteFile file;
    file.path = member(sibling, "rfilename", &Json::is_string, where).string();
    if (!hub::is_safe_path(file.path)) {
      fail("the model has a file with the name " + quote_json(file.path) +
           ", which leads outside its directory; it is refused");
    }
    const Json* lfs = sibling.find("lfs");
    const bool is_large = lfs != nullptr && lfs->is_object();
    const Json& description = is_large ? *lfs : sibling;
    file.etag = member(description, is_large ? "sha256" : "blobId", &Json::is_string, where).string();
    const std::int64_t size = member(description, "size", &Json::is_integer, where).integer();
    if (!hub::is_hexadecimal_name(file.etag) || size < 0)
      fail(where + " describes " + quote_json(file.path) + " wrongly");
    file.size = static_cast<std::uint64_t>(size);
    repository.files.push_back(std::move(file));
  }
  return repository;
}

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
  Downloader(const ModelCache& cache, const std::string& commit, const Identity& identity, const std::string& endpoint,
             const std::string& token, const HubOptions& options)
      : cache_(cache), commit_(commit), identity_(identity), endpoint_(endpoint), token_(token), options_(options) {}

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
      Client client(endpoint_, token_, options_.retry_delay, stop_);
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

  void fetch(Client& client, const Segment& segment) {
    const Download& download = *segment.download;
    const std::uint64_t begin = download.partial.begin(segment.index);
    const std::uint64_t end = download.partial.end(segment.index);
    std::uint64_t position = begin;  // of the next byte that arrives
    HttpRequest request{.url = client.endpoint() + "/" + identity_.model_id + "/resolve/" + commit_ + "/" +
                               hub::quote_url(download.file.path, "/")};
    const bool is_whole = begin == 0 && end == download.file.size;
    if (!is_whole) request.range = {begin, end};
    std::uint64_t skipped = 0;
    bool too_long = false;
    request.receive = [&](long status, std::span<const std::byte> bytes) {
      if (stop_) return false;
      // A server without ranges sends the file from its beginning: what lies before and behind the segment is dropped.
      const bool is_unranged = status == 200 && !is_whole;
      if (is_unranged && skipped < begin) {
        const std::uint64_t skip = std::min<std::uint64_t>(begin - skipped, bytes.size());
        skipped += skip;
        bytes = bytes.subspan(static_cast<std::size_t>(skip));
      }
      if (bytes.size() > end - position) {
        too_long = !is_unranged;
        bytes = bytes.first(static_cast<std::size_t>(end - position));
      }
      download.partial.write(position, bytes);
      position += bytes.size();
      done_ += bytes.size();
      return !too_long && !(is_unranged && position == end);
    };
    const HttpResponse response = client.get(request, [&] {
      done_ -= position - begin;
      position = begin;
      skipped = 0;
    });
    if (stop_ || (position == end && !too_long)) return;
    if (too_long || response.status == 200 || response.status == 206) {
      fail(quote_json(download.file.path) + " of " + quote_json(identity_.model_id) + " could not be downloaded: " +
           (too_long                    ? "it is longer than the Hub says"
            : !response.failure.empty() ? response.failure
                                        : "it is shorter than the Hub says") +
           ". What is complete was kept: try again");
    }
    refuse(response, endpoint_, identity_, quote_json(download.file.path));
  }

  void finish(Download& download) {
    if (download.partial.publish(download.file.etag)) return;
    fail(quote_json(download.file.path) + " of " + quote_json(identity_.model_id) +
         " arrived damaged: its hash is not the one that the Hub states. It was discarded; try again");
  }

  const ModelCache& cache_;
  const std::string& commit_;
  const Identity& identity_;
  const std::string& endpoint_;
  const std::string& token_;
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

/// The Hub's list as a selection sees it, and back.
std::vector<RemoteFile> select(const Repository& repository, const HubFileSelection& selection) {
  std::vector<HubFile> files;
  for (const RemoteFile& file : repository.files) files.push_back({file.path, file.size});
  std::vector<RemoteFile> selected;
  for (const std::string& path : selection(files)) {
    const auto found = std::find_if(repository.files.begin(), repository.files.end(),
                                    [&](const RemoteFile& file) { return file.path == path; });
    if (found != repository.files.end()) selected.push_back(*found);
  }
  return selected;
}

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

fs::path download_model(std::string_view model_id, const HubFileSelection& selection, const HubOptions& options) {
  if (!is_model_id(model_id)) {
    fail(quote_json(model_id) + " is no id of a model: \"name\" or \"organization/name\" is one");
  }
  const std::string revision = options.revision.empty() ? "main" : options.revision;
  if (!hub::is_safe_path(revision)) fail(quote_json(revision) + " is no revision");
  const ModelCache cache(options.cache_dir.empty() ? hub::default_cache_directory() : options.cache_dir, model_id);
  Identity identity{std::string(model_id), revision};
  if (is_offline(options)) {
    return with_subfolder(cached_snapshot(cache, selection, identity, "the Hub is not asked while offline"), options);
  }

  const std::string address = endpoint(options);
  const std::string token = find_token(options);
  identity.has_token = !token.empty();
  const std::atomic<bool> stop = false;
  Client client(address, token, options.retry_delay, stop);
  const HttpResponse response = client.get(
      {.url = address + "/api/models/" + identity.model_id + "/revision/" + hub::quote_url(revision) + "?blobs=true"});
  if (is_unreachable(response)) {
    const std::string reason = address + " could not be reached: " + describe(response);
    fs::path snapshot = cached_snapshot(cache, selection, identity, reason);
    if (options.warn) options.warn(reason + "; what the cache has of " + quote_json(model_id) + " is used");
    return with_subfolder(std::move(snapshot), options);
  }
  if (response.status != 200) refuse(response, address, identity, "the description");

  const Repository repository = parse_repository(response.body, address);
  const std::vector<RemoteFile> files = select(repository, selection);
  if (files.empty()) {
    fail(quote_json(model_id) + " has no file that is needed" +
         (options.subfolder.empty() ? std::string() : " in " + quote_json(options.subfolder)) + " at revision " +
         quote_json(revision));
  }
  {
    Downloader downloader(cache, repository.commit, identity, address, token, options);
    for (const RemoteFile& file : files) downloader.add(file);
    downloader.run();
  }
  for (const RemoteFile& file : files) cache.link(repository.commit, file.path, file.etag);
  write_missing(cache, repository, options.subfolder);
  cache.write_reference(revision, repository.commit);
  return with_subfolder(cache.snapshot(repository.commit), options);
}

}  // namespace onnxport
