#include "hub/http.h"

#include <array>
#include <cctype>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

#include <curl/curl.h>
#include <dlfcn.h>

#include "core/environment.h"
#include "onnxport/error.h"

namespace onnxport::hub {
namespace {

constexpr std::size_t largest_body = 64 << 20;
constexpr std::size_t largest_header = 64 << 10;

/// libcurl, loaded when the Hub is first asked: it brings thirty libraries along, which no other command is to wait
/// for.
class Curl {
 public:
  /// Throws Error(HubFailed) if it is not installed.
  static const Curl& instance() {
    static const Curl curl;
    return curl;
  }

  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_reset) easy_reset;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_perform) easy_perform;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;
  decltype(&::curl_url) url;
  decltype(&::curl_url_set) url_set;
  decltype(&::curl_url_get) url_get;
  decltype(&::curl_url_cleanup) url_cleanup;
  decltype(&::curl_free) free;

 private:
  Curl() {
    void* library = nullptr;
    for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"}) {
      if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == nullptr) {
      throw Error(ErrorKind::HubFailed,
                  std::string("libcurl, which downloads models, was not found: install it (Debian's package is "
                              "libcurl4), or name a directory. ") +
                      dlerror());
    }
    decltype(&::curl_global_init) global_init = nullptr;
    find(library, "curl_global_init", global_init);
    find(library, "curl_easy_init", easy_init);
    find(library, "curl_easy_reset", easy_reset);
    find(library, "curl_easy_setopt", easy_setopt);
    find(library, "curl_easy_perform", easy_perform);
    find(library, "curl_easy_getinfo", easy_getinfo);
    find(library, "curl_easy_strerror", easy_strerror);
    find(library, "curl_easy_cleanup", easy_cleanup);
    find(library, "curl_slist_append", slist_append);
    find(library, "curl_slist_free_all", slist_free_all);
    find(library, "curl_url", url);
    find(library, "curl_url_set", url_set);
    find(library, "curl_url_get", url_get);
    find(library, "curl_url_cleanup", url_cleanup);
    find(library, "curl_free", free);
    global_init(CURL_GLOBAL_DEFAULT);
  }

  template <typename Function>
  static void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) {
      throw Error(ErrorKind::HubFailed, std::string("the installed libcurl lacks ") + name + ": it is too old");
    }
  }
};

/// A URL in its parts, or nothing for what is none.
class Url {
 public:
  explicit Url(std::string_view text) : parts_(curl_.url()) { set(text); }
  ~Url() { curl_.url_cleanup(parts_); }
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;

  /// A URL that is set on one that is known is taken relative to it.
  void set(std::string_view text) {
    is_valid_ = is_valid_ && curl_.url_set(parts_, CURLUPART_URL, std::string(text).c_str(), 0) == CURLUE_OK;
  }

  /// Empty if there is no such part.
  std::string get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (!is_valid_ || curl_.url_get(parts_, part, &text, flags) != CURLUE_OK) return {};
    std::string result = text;
    curl_.free(text);
    return result;
  }

 private:
  const Curl& curl_ = Curl::instance();
  CURLU* parts_;
  bool is_valid_ = true;
};

/// Seconds without a byte after which a connection counts as dead.
long idle_timeout() {
  if (const std::string_view text = environment("HF_HUB_DOWNLOAD_TIMEOUT"); !text.empty()) {
    if (const long seconds = std::strtol(text.data(), nullptr, 10); seconds > 0) return seconds;
  }
  return 10;
}

const char* certificate_bundle() {
  for (const char* name : {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    if (const std::string_view file = environment(name); !file.empty()) return file.data();
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
  std::exception_ptr thrown{};  ///< by the receiver: kept while libcurl's own code is on the stack
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
  Curl::instance().easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  if (transfer.request.receive && (status == 200 || status == 206)) {
    try {
      if (transfer.request.receive(status, std::as_bytes(std::span(data, size)))) return size;
      transfer.stopped = true;
    } catch (...) {
      transfer.thrown = std::current_exception();
    }
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
    curl = Curl::instance().easy_init();
    if (curl == nullptr) throw std::bad_alloc();
  }
  ~Handle() { Curl::instance().easy_cleanup(curl); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

HttpConnection::HttpConnection() : handle_(std::make_unique<Handle>()) {}
HttpConnection::~HttpConnection() = default;
HttpConnection::HttpConnection(HttpConnection&&) noexcept = default;
HttpConnection& HttpConnection::operator=(HttpConnection&&) noexcept = default;

HttpResponse HttpConnection::get(const HttpRequest& request) {
  HttpResponse response;
  const Curl& library = Curl::instance();
  CURL* curl = handle_->curl;
  library.easy_reset(curl);  // keeps the connection
  Transfer transfer{.curl = curl, .request = request, .response = response};
  std::array<char, CURL_ERROR_SIZE> message{};

  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers) headers = library.slist_append(headers, header.c_str());
  library.easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  library.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  library.easy_setopt(curl, CURLOPT_USERAGENT, "onnxport/" ONNXPORT_VERSION);
  library.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  library.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  library.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // signals do not belong to a library's threads
  library.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, idle_timeout());
  library.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  library.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, idle_timeout());
  library.easy_setopt(curl, CURLOPT_HEADERFUNCTION, &on_header);
  library.easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  library.easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_body);
  library.easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  library.easy_setopt(curl, CURLOPT_ERRORBUFFER, message.data());
  if (const char* bundle = certificate_bundle()) library.easy_setopt(curl, CURLOPT_CAINFO, bundle);
  if (request.range) {
    const std::string range = std::to_string(request.range->begin) + "-" + std::to_string(request.range->end - 1);
    library.easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }

  const CURLcode code = library.easy_perform(curl);
  library.slist_free_all(headers);
  library.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  if (transfer.stopped) {
    response.failure = "stopped";
  } else if (transfer.too_large) {
    response.failure = "the answer is larger than any real one";
  } else if (code != CURLE_OK) {
    response.failure = message.front() != '\0' ? message.data() : library.easy_strerror(code);
    response.is_connected =
        code != CURLE_COULDNT_RESOLVE_HOST && code != CURLE_COULDNT_RESOLVE_PROXY && code != CURLE_COULDNT_CONNECT;
  }
  return response;
}

// ---- URLs -----------------------------------------------------------------------------------------------------------

std::string url_origin(std::string_view url) {
  const Url parsed(url);
  const std::string scheme = lower(parsed.get(CURLUPART_SCHEME));
  const std::string host = lower(parsed.get(CURLUPART_HOST));
  const std::string port = parsed.get(CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if ((scheme != "http" && scheme != "https") || host.empty() || port.empty()) return {};
  return scheme + "://" + host + ":" + port;
}

std::string resolve_url(std::string_view base, std::string_view location) {
  Url url(base);
  url.set(location);
  const std::string result = url.get(CURLUPART_URL);
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
