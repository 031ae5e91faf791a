#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "hub/http.h"
#include "hub/repository.h"
#include "onnxport/hub.h"

/// Requests to the Hub itself: who asks, how failures are repeated, and what is said of those that last.
namespace onnxport::hub {

/// Throws Error(HubFailed).
[[noreturn]] void fail(const std::string& message);

/// Which model is asked for, at which revision, and by whom.
struct Identity {
  std::string model_id;
  std::string revision;
  std::string endpoint;  ///< "https://huggingface.co", without a slash at the end
  std::string token;     ///< empty for none
};

/// The identity that options, environment variables and the file of the last login make. Throws Error(HubFailed): the
/// id or the revision is none, the endpoint is no URL, the token has characters that no token has.
Identity identify(std::string_view model_id, const HubOptions& options);

/// Whether only the cache is to be used.
bool is_offline(const HubOptions& options);

/// One thread's way to the Hub: follows redirections, keeps the token to the Hub itself, repeats what failed.
class Client {
 public:
  /// `stop` ends waits and transfers from another thread.
  Client(const Identity& identity, std::chrono::milliseconds retry_delay, const std::atomic<bool>& stop)
      : identity_(identity), retry_delay_(retry_delay), stop_(stop) {}

  const Identity& identity() const { return identity_; }

  /// Prepares each attempt, so that a receiver starts anew or goes on. True if the last attempt brought something: then
  /// attempts are counted anew.
  using Prepare = std::function<bool(HttpRequest&)>;
  HttpResponse get(HttpRequest request, const Prepare& prepare = {});

  /// Bytes [range.begin, range.end) of a file at a commit, in order, to `write`; those that came before a connection
  /// was cut are not asked for again. Returns early if `stop` is set. Throws Error(HubFailed) for what lasts.
  void fetch(const RemoteFile& file, std::string_view commit, ByteRange range,
             const std::function<void(std::uint64_t position, std::span<const std::byte>)>& write);

 private:
  HttpResponse follow(HttpRequest request);
  void sleep(std::chrono::milliseconds time) const;

  const Identity& identity_;
  std::chrono::milliseconds retry_delay_;
  const std::atomic<bool>& stop_;
  HttpConnection connection_;
};

/// No answer of the Hub itself, so that the cache may stand in.
bool is_unreachable(const HttpResponse& response);
/// Why there is no answer, or none of use.
std::string describe(const HttpResponse& response);
/// Turns an answer that is none into one message. `what` is "the description", or one of the model's files.
[[noreturn]] void refuse(const HttpResponse& response, const Identity& identity, const std::string& what);

/// Asks for the list of a model's files.
HttpResponse get_description(Client& client);

}  // namespace onnxport::hub
