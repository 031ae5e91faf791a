#include "support/hub_server.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "onnxport/json.h"

namespace onnxport::testing {
namespace {

std::string digest(const EVP_MD* kind, std::string_view content) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  EVP_Digest(content.data(), content.size(), bytes.data(), &size, kind, nullptr);
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += {"0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15]};
  return text;
}

std::string etag(const HubServerFile& file) { return file.is_large ? sha256(file.content) : git_sha1(file.content); }

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      decoded += static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

HubReply error_reply(int status, const std::string& code) {
  return {.status = status, .headers = {{"X-Error-Code", code}, {"X-Error-Message", code}}, .body = "{}"};
}

/// The part of a content that a Range header asks for.
HubReply content_reply(const HubRequest& request, const std::string& content) {
  const auto range = request.headers.find("range");
  if (range == request.headers.end()) return {.body = content};
  char* end = nullptr;
  const std::size_t first = std::strtoull(range->second.c_str() + std::string_view("bytes=").size(), &end, 10);
  const std::size_t last = std::strtoull(end + 1, nullptr, 10);
  if (first >= content.size()) return {.status = 416};
  return {.status = 206,
          .headers = {{"Content-Range", "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" +
                                            std::to_string(content.size())}},
          .body = content.substr(first, last - first + 1)};
}

bool send_all(int connection, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

/// The next request of a connection that is kept alive; nothing at its end.
std::optional<HubRequest> read_request(int connection, const std::string& host) {
  std::string text;
  std::array<char, 4096> block{};
  while (text.find("\r\n\r\n") == std::string::npos) {
    const ssize_t size = ::recv(connection, block.data(), block.size(), 0);
    if (size <= 0) return std::nullopt;
    text.append(block.data(), static_cast<std::size_t>(size));
  }
  HubRequest request{.path = {}, .host = host, .headers = {}};
  const std::size_t path = text.find(' ') + 1;
  request.path = percent_decoded(std::string_view(text).substr(path, text.find(' ', path) - path));
  for (std::size_t begin = text.find("\r\n") + 2; begin < text.size();) {
    const std::size_t end = text.find("\r\n", begin);
    const std::size_t colon = text.find(": ", begin);
    if (end == begin) break;
    std::string name = text.substr(begin, colon - begin);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request.headers[name] = text.substr(colon + 2, end - colon - 2);
    begin = end + 2;
  }
  return request;
}

}  // namespace

std::string sha256(std::string_view content) { return digest(EVP_sha256(), content); }

std::string git_sha1(std::string_view content) {
  return digest(EVP_sha1(), "blob " + std::to_string(content.size()) + std::string(1, '\0') + std::string(content));
}

HubServer::HubServer() {
  listen(0);
  listen(1);
}

HubServer::~HubServer() {
  stop_ = true;
  for (const int listener : listeners_) ::shutdown(listener, SHUT_RDWR);
  {
    const std::lock_guard lock(mutex_);
    for (const int connection : connections_) ::shutdown(connection, SHUT_RDWR);
  }
  for (std::size_t i = 0;; ++i) {
    std::thread thread;
    {
      const std::lock_guard lock(mutex_);
      if (i == threads_.size()) break;
      thread = std::move(threads_[i]);
    }
    thread.join();
  }
  for (const int connection : connections_) ::close(connection);
  for (const int listener : listeners_) ::close(listener);
}

void HubServer::listen(int index) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener < 0 || ::bind(listener, generic, size) != 0 || ::listen(listener, 64) != 0 ||
      ::getsockname(listener, generic, &size) != 0) {
    throw std::runtime_error("cannot listen on the loopback device");
  }
  listeners_[index] = listener;
  ports_[index] = ntohs(address.sin_port);
  const std::string host = index == 0 ? hub_host() : storage_host();
  const std::lock_guard lock(mutex_);
  threads_.emplace_back([this, listener, host] { accept_connections(listener, host); });
}

void HubServer::accept_connections(int listener, std::string host) {
  while (!stop_) {
    const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    const std::lock_guard lock(mutex_);
    connections_.push_back(connection);
    threads_.emplace_back([this, connection, host] { serve(connection, host); });
  }
}

void HubServer::serve(int connection, const std::string& host) {
  while (!stop_) {
    const std::optional<HubRequest> request = read_request(connection, host);
    if (!request) break;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(*request);
    }
    std::optional<HubReply> answer;
    if (intercept) {
      const std::lock_guard lock(intercept_mutex_);
      answer = intercept(*request);
    }
    if (!answer) answer = reply(*request);
    std::string head = "HTTP/1.1 " + std::to_string(answer->status) + " X\r\n";
    for (const auto& [name, value] : answer->headers) head += name + ": " + value + "\r\n";
    head += "Content-Length: " + std::to_string(answer->body.size()) + "\r\n\r\n";
    if (!send_all(connection, head)) break;
    for (int waited = 0; waited < answer->pause_milliseconds && !stop_; waited += 10) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (!send_all(connection, std::string_view(answer->body).substr(0, answer->cut_after.value_or(std::string::npos))))
      break;
    if (answer->cut_after) break;
  }
  ::shutdown(connection, SHUT_RDWR);
}

std::vector<HubRequest> HubServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t HubServer::count(std::string_view part) const {
  const std::vector<HubRequest> all = requests();
  return static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [&](const HubRequest& request) { return request.path.find(part) != std::string::npos; }));
}

HubReply HubServer::describe(const std::string& id, const HubServerModel& model) const {
  Json::Array siblings;
  for (const auto& [path, file] : model.files) {
    const auto size = static_cast<std::int64_t>(file.content.size());
    Json sibling;
    sibling.set("rfilename", path);
    sibling.set("size", size);
    sibling.set("blobId", git_sha1(file.content));
    if (file.is_large) {
      Json lfs;
      lfs.set("sha256", sha256(file.content));
      lfs.set("size", size);
      lfs.set("pointerSize", 134);
      sibling.set("lfs", std::move(lfs));
    }
    siblings.push_back(std::move(sibling));
  }
  Json json;
  json.set("id", id);
  json.set("sha", model.commit);
  json.set("siblings", std::move(siblings));
  return {.body = dump_json(json)};
}

HubReply HubServer::resolve(const HubRequest& request, const HubServerModel& model, const std::string& path) const {
  const auto file = model.files.find(path);
  if (file == model.files.end()) return error_reply(404, "EntryNotFound");
  const std::map<std::string, std::string> headers{
      {"X-Repo-Commit", model.commit},
      {file->second.is_large ? "X-Linked-Etag" : "ETag", "\"" + etag(file->second) + "\""},
      {"X-Linked-Size", std::to_string(file->second.content.size())}};
  HubReply answer;
  if (file->second.is_large) {
    answer.status = 302;
    answer.headers["Location"] = "http://" + storage_host() + "/storage/" + etag(file->second) + "?signature=x%2Fy";
  } else {
    answer = content_reply(request, file->second.content);
  }
  answer.headers.insert(headers.begin(), headers.end());
  return answer;
}

HubReply HubServer::reply(const HubRequest& request) const {
  const std::string path = request.path.substr(0, request.path.find('?'));
  if (path.starts_with("/storage/")) {
    for (const auto& [id, model] : models) {
      for (const auto& [name, file] : model.files) {
        if (path == "/storage/" + etag(file)) return content_reply(request, file.content);
      }
    }
    return {.status = 404};
  }
  for (const auto& [id, model] : models) {
    const std::string api = "/api/models/" + id + "/revision/";
    const std::string files = "/" + id + "/resolve/";
    if (!path.starts_with(api) && !path.starts_with(files)) continue;
    const auto authorization = request.headers.find("authorization");
    const bool has_token = authorization != request.headers.end() && authorization->second == "Bearer " + model.token;
    if (!model.token.empty() && !has_token) {
      return model.is_gated ? error_reply(403, "GatedRepo") : error_reply(401, "RepoNotFound");
    }
    const std::string rest = path.substr((path.starts_with(api) ? api : files).size());
    std::string revision = rest;
    std::string file;
    if (path.starts_with(files)) {
      revision = rest.substr(0, rest.find('/'));
      file = rest.substr(rest.find('/') + 1);
    }
    const bool exists = revision == model.commit ||
                        std::find(model.revisions.begin(), model.revisions.end(), revision) != model.revisions.end();
    if (!exists) return error_reply(404, "RevisionNotFound");
    return file.empty() ? describe(id, model) : resolve(request, model, file);
  }
  return error_reply(404, "RepoNotFound");
}

}  // namespace onnxport::testing
