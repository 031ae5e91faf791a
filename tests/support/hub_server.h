#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace onnxport::testing {

/// SHA-256 in hexadecimal, and the SHA-1 that git gives a file.
std::string sha256(std::string_view content);
std::string git_sha1(std::string_view content);

/// What a client asked: headers by name in lower case.
struct HubRequest {
  std::string path;  ///< with its query, percent-decoded
  std::string host;  ///< "127.0.0.1:4711"
  std::map<std::string, std::string> headers;
};

struct HubReply {
  int status = 200;
  std::map<std::string, std::string> headers{};
  std::string body{};
  std::optional<std::size_t> cut_after{};  ///< closes the connection after that many bytes of the body
  int pause_milliseconds = 0;              ///< before the body
};

struct HubServerFile {
  std::string content;
  bool is_large = false;  ///< in git's large file storage: resolved to another host, named by its SHA-256
};

struct HubServerModel {
  std::map<std::string, HubServerFile> files;
  std::string commit = std::string(40, 'a');
  std::vector<std::string> revisions{"main"};
  std::string token{};  ///< needed to see the model
  bool is_gated = false;
};

/// A Hugging Face Hub on this machine, for what a client of models asks: /api/models/ID/revision/R, /ID/resolve/R/FILE
/// with its redirections, etags and ranges. Large files lie on a second host (another port), as on the real one. A test
/// may answer in its stead.
class HubServer {
 public:
  HubServer();
  ~HubServer();
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  std::map<std::string, HubServerModel> models;
  /// Answers instead of the server where it returns something. Called from several threads, one at a time.
  std::function<std::optional<HubReply>(const HubRequest&)> intercept{};

  std::string url() const { return "http://" + hub_host(); }
  std::string hub_host() const { return "127.0.0.1:" + std::to_string(ports_[0]); }
  std::string storage_host() const { return "127.0.0.1:" + std::to_string(ports_[1]); }
  std::vector<HubRequest> requests() const;
  /// How many requests had this in their path.
  std::size_t count(std::string_view part) const;

  /// What the server answers by itself, for a test that changes only a little of it.
  HubReply reply(const HubRequest& request) const;

 private:
  void listen(int index);
  void accept_connections(int listener, std::string host);
  void serve(int connection, const std::string& host);
  HubReply describe(const std::string& id, const HubServerModel& model) const;
  HubReply resolve(const HubRequest& request, const HubServerModel& model, const std::string& path) const;

  int listeners_[2] = {-1, -1};
  int ports_[2] = {0, 0};
  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;
  std::mutex intercept_mutex_;
  std::vector<HubRequest> requests_;
  std::vector<std::thread> threads_;
  std::vector<int> connections_;
};

}  // namespace onnxport::testing
