#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport::hub {

/// Bytes [begin, end) of a file.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct HttpResponse {
  long status = 0;                             ///< 0 if none came: `failure` says why
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< unless it went to a receiver
  std::string failure;                         ///< what the connection failed of, else empty
  bool is_connected = true;                    ///< false: the host is unknown, or nothing answers there

  std::string header(std::string_view name) const;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers{};  ///< "Name: value"
  std::optional<ByteRange> range{};
  /// Receives the body of a response with status 200 or 206; other bodies are kept in the response. Returns false to
  /// stop, which makes `failure` "stopped".
  std::function<bool(long status, std::span<const std::byte>)> receive{};
  /// The first request to a host: if it cannot be connected to, there is no network, and asking again only takes time.
  bool is_first_contact = false;
};

/// One connection, kept alive between requests; for one thread at a time. Redirections are not followed. Proxies and
/// certificates come from the environment: https_proxy, no_proxy, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE.
class HttpConnection {
 public:
  HttpConnection();
  ~HttpConnection();
  HttpConnection(HttpConnection&&) noexcept;
  HttpConnection& operator=(HttpConnection&&) noexcept;

  /// Never throws for what the other side does; what the receiver throws is passed on. A body beyond 64 MiB without a
  /// receiver is a failure.
  HttpResponse get(const HttpRequest& request);

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

/// "scheme://host:port" in lower case, with the port always stated; "" for what is no http or https URL.
std::string url_origin(std::string_view url);
/// `location` as seen from `base`: absolute, or relative to its origin or path. "" if it is no http or https URL.
std::string resolve_url(std::string_view base, std::string_view location);
/// Percent-encodes all but letters, digits, "-._~" and the characters in `keep`.
std::string quote_url(std::string_view text, std::string_view keep = {});

}  // namespace onnxport::hub
