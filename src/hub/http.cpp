#include "hub/http.h"

#include <array>
#include <cctype>
#include <cstdlib>
#include <new>
#include <utility>

#include <curl/curl.h>

namespace onnxport::hub {
namespace {

constexpr std::size_t largest_body = 64 << 20;
constexpr std::size_t largest_header = 64 << 10;

struct GlobalInitialization {
  GlobalInitialization() { curl_global_init(CURL_GLOBAL_DEFAULT); }
};

/// Seconds without a byte after which a connection counts as dead.
long idle_timeout() {
  if (const char* text = std::getenv("HF_HUB_DOWNLOAD_TIMEOUT")) {
    if (const long seconds = std::strtol(text, nullptr, 10); seconds > 0) return seconds;
  }
  return 10;
}

const char* certificate_bundle() {
  for (const char* name : {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    if (const char* file = std::getenv(name); file != nullptr && *file != '\0') return file;
  }
  return nullptr;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

/// What the callbacks of one transfer share.
struct Transfer {
  CURL* curl;
  const HttpRequest& request;
  HttpResponse& response;
  std::size_t header_bytes = 0;
  bool stopped = false;
  bool too_large = false;
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* context) {
  Transfer& transfer = *static_cast<Transfer*>(context);
  const std::string_view line(data, size);
  transfer.header_bytes += size;
  if (transfer.header_bytes > largest_header) {
    transfer.too_large = true;
    return 0;
  }
  // A proxy's and a provisional answer come before the real one: only the last counts.
  if (line.starts_with("HTTP/")) transfer.response.headers.clear();
  if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    transfer.response.headers[lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
  }
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* context) {
  Transfer& transfer = *static_cast<Transfer*>(context);
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  if (transfer.request.receive && (status == 200 || status == 206)) {
    if (transfer.request.receive(status, std::as_bytes(std::span(data, size)))) return size;
    transfer.stopped = true;
    return 0;
  }
  if (transfer.response.body.size() + size > largest_body) {
    transfer.too_large = true;
    return 0;
  }
  transfer.response.body.append(data, size);
  return size;
}

}  // namespace

std::string HttpResponse::header(std::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string() : found->second;
}

struct HttpConnection::Handle {
  CURL* curl = nullptr;
  Handle() {
    static const GlobalInitialization initialization;
    curl = curl_easy_init();
    if (curl == nullptr) throw std::bad_alloc();
  }
  ~Handle() { curl_easy_cleanup(curl); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

HttpConnection::HttpConnection() : handle_(std::make_unique<Handle>()) {}
HttpConnection::~HttpConnection() = default;
HttpConnection::HttpConnection(HttpConnection&&) noexcept = default;
HttpConnection& HttpConnection::operator=(HttpConnection&&) noexcept = default;

HttpResponse HttpConnection::get(const HttpRequest& request) {
  HttpResponse response;
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);  // keeps the connection
  Transfer transfer{.curl = curl, .request = request, .response = response};
  std::array<char, CURL_ERROR_SIZE> message{};

  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers) headers = curl_slist_append(headers, header.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "onnxport/" ONNXPORT_VERSION);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // signals do not belong to a library's threads
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, idle_timeout());
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, idle_timeout());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message.data());
  if (const char* bundle = certificate_bundle()) curl_easy_setopt(curl, CURLOPT_CAINFO, bundle);
  if (request.range) {
    const std::string range = std::to_string(request.range->begin) + "-" + std::to_string(request.range->end - 1);
    curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }

  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
  if (transfer.stopped) {
    response.failure = "stopped";
  } else if (transfer.too_large) {
    response.failure = "the answer is larger than any real one";
  } else if (code != CURLE_OK) {
    response.failure = message.front() != '\0' ? message.data() : curl_easy_strerror(code);
  }
  return response;
}

// ---- URLs -----------------------------------------------------------------------------------------------------------

std::string url_origin(std::string_view url) {
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, std::string(url).c_str(), 0) != CURLUE_OK) return {};
  std::string origin;
  for (const auto& [part, before] : {std::pair{CURLUPART_SCHEME, ""}, {CURLUPART_HOST, "://"}, {CURLUPART_PORT, ":"}}) {
    char* text = nullptr;
    if (curl_url_get(parsed.get(), part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
    origin += before + lower(text);
    curl_free(text);
  }
  return origin.starts_with("http://") || origin.starts_with("https://") ? origin : std::string();
}

std::string resolve_url(std::string_view base, std::string_view location) {
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, std::string(base).c_str(), 0) != CURLUE_OK) return {};
  // A URL that is set on one that is known is taken relative to it.
  if (curl_url_set(parsed.get(), CURLUPART_URL, std::string(location).c_str(), 0) != CURLUE_OK) return {};
  char* text = nullptr;
  if (curl_url_get(parsed.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) return {};
  const std::string result = text;
  curl_free(text);
  return url_origin(result).empty() ? std::string() : result;
}

std::string quote_url(std::string_view text, std::string_view keep) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string quoted;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte)) || std::string_view("-._~").find(c) != std::string_view::npos ||
        keep.find(c) != std::string_view::npos) {
      quoted += c;
    } else {
      quoted += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return quoted;
}

}  // namespace onnxport::hub
