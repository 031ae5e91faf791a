#include "hub/client.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "core/environment.h"
#include "hub/cache.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::hub {
namespace {

namespace fs = std::filesystem;

constexpr int attempts = 5;
constexpr int most_redirections = 10;
constexpr std::chrono::milliseconds longest_delay{60'000};

bool is_true(std::string_view value) {
  std::string text(value);
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

std::string endpoint(const HubOptions& options) {
  std::string text = options.endpoint;
  if (text.empty()) {
    text = environment("HF_ENDPOINT");
    if (text.empty()) text = "https://huggingface.co";
  }
  while (text.ends_with('/')) text.pop_back();
  if (url_origin(text).empty()) fail("the Hub's endpoint " + quote_json(text) + " is no http or https URL");
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
      std::ifstream file(path.empty() ? home_directory() / "token" : path);
      std::getline(file, token);
    }
  }
  token = trimmed(std::move(token));
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    fail("the Hub's token has characters that no token has; log in again, or set HF_TOKEN");
  }
  return token;
}

bool is_redirection(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// What may be gone when it is asked again.
bool is_transient(const HttpResponse& response) {
  if (!response.failure.empty()) return response.failure != "stopped";
  return response.status == 408 || response.status == 429 || (response.status >= 500 && response.status != 501);
}

}  // namespace

void fail(const std::string& message) { throw Error(ErrorKind::HubFailed, message); }

Identity identify(std::string_view model_id, const HubOptions& options) {
  if (!is_model_id(model_id)) {
    fail(quote_json(model_id) + " is no id of a model: \"name\" or \"organization/name\" is one");
  }
  Identity identity{.model_id = std::string(model_id),
                    .revision = options.revision.empty() ? "main" : options.revision,
                    .endpoint = {},
                    .token = {}};
  if (!is_safe_path(identity.revision)) fail(quote_json(identity.revision) + " is no revision");
  if (is_offline(options)) return identity;
  identity.endpoint = endpoint(options);
  identity.token = find_token(options);
  return identity;
}

bool is_offline(const HubOptions& options) {
  return options.local_files_only || is_true(environment("HF_HUB_OFFLINE")) ||
         is_true(environment("TRANSFORMERS_OFFLINE"));
}

// ---- Client ---------------------------------------------------------------------------------------------------------

HttpResponse Client::get(HttpRequest request, const Prepare& prepare) {
  std::chrono::milliseconds delay = retry_delay_;
  for (int attempt = 1;; ++attempt) {
    if (prepare && prepare(request)) {
      attempt = 1;
      delay = retry_delay_;
    }
    HttpResponse response = follow(request);
    if (!is_transient(response) || attempt == attempts || stop_) return response;
    if (request.is_first_contact && !response.is_connected) return response;
    std::chrono::milliseconds wait = delay;
    // The Hub says how long it wants to be left alone, in seconds.
    if (const long seconds = std::strtol(response.header("retry-after").c_str(), nullptr, 10); seconds > 0) {
      wait = std::max(wait, std::chrono::milliseconds(std::min(seconds, 3600L) * 1000));
    }
    sleep(std::min(wait, longest_delay));
    delay *= 2;
  }
}

HttpResponse Client::follow(HttpRequest request) {
  const std::string home = url_origin(identity_.endpoint);
  for (int hops = 0;; ++hops) {
    HttpRequest hop = request;
    // Other hosts hold the large files; their URLs are signed, and the token is none of their business.
    if (!identity_.token.empty() && url_origin(hop.url) == home) {
      hop.headers.push_back("Authorization: Bearer " + identity_.token);
    }
    HttpResponse response = connection_.get(hop);
    if (!is_redirection(response.status)) return response;
    const std::string target = resolve_url(request.url, response.header("location"));
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
void Client::sleep(std::chrono::milliseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!stop_ && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(std::chrono::milliseconds(50), end - std::chrono::steady_clock::now()));
  }
}

void Client::fetch(const RemoteFile& file, std::string_view commit, ByteRange range,
                   const std::function<void(std::uint64_t, std::span<const std::byte>)>& write) {
  std::uint64_t position = range.begin;  // of the next byte that arrives
  std::uint64_t asked = range.begin;     // where the current attempt begins
  std::uint64_t skipped = 0;
  bool too_long = false;
  HttpRequest request{.url = identity_.endpoint + "/" + identity_.model_id + "/resolve/" + std::string(commit) + "/" +
                             quote_url(file.path, "/")};
  request.receive = [&](long status, std::span<const std::byte> bytes) {
    if (stop_) return false;
    // A server without ranges sends the file from its beginning: what lies before and behind the range is dropped.
    const bool is_unranged = status == 200 && (asked != 0 || range.end != file.size);
    if (is_unranged && skipped < asked) {
      const std::uint64_t skip = std::min<std::uint64_t>(asked - skipped, bytes.size());
      skipped += skip;
      bytes = bytes.subspan(static_cast<std::size_t>(skip));
    }
    if (bytes.size() > range.end - position) {
      too_long = !is_unranged;
      bytes = bytes.first(static_cast<std::size_t>(range.end - position));
    }
    write(position, bytes);
    position += bytes.size();
    return !too_long && !(is_unranged && position == range.end);
  };
  const HttpResponse response = get(request, [&](HttpRequest& attempt) {
    const bool brought_something = position > asked;
    asked = position;
    skipped = 0;
    if (asked != 0 || range.end != file.size) attempt.range = {asked, range.end};
    return brought_something;
  });
  if (stop_ || (position == range.end && !too_long)) return;
  if (too_long || response.status == 200 || response.status == 206) {
    fail(quote_json(file.path) + " of " + quote_json(identity_.model_id) + " could not be downloaded: " +
         (too_long                    ? "it is longer than the Hub says"
          : !response.failure.empty() ? response.failure
                                      : "it is shorter than the Hub says") +
         ". What is complete was kept: try again");
  }
  refuse(response, identity_, quote_json(file.path));
}

// ---- Answers --------------------------------------------------------------------------------------------------------

std::string describe(const HttpResponse& response) {
  if (response.status == 0) return response.body.empty() ? response.failure : response.body;
  const std::string reason = response.header("x-error-message");
  std::string text = "HTTP status " + std::to_string(response.status);
  if (!reason.empty()) text += " (" + reason + ")";
  if (!response.failure.empty()) text += ", " + response.failure;
  return text;
}

void refuse(const HttpResponse& response, const Identity& identity, const std::string& what) {
  const std::string model = quote_json(identity.model_id);
  const std::string& endpoint = identity.endpoint;
  const bool has_token = !identity.token.empty();
  const std::string code = response.header("x-error-code");
  if (code == "GatedRepo") {
    fail(model + " is gated: ask for access at " + endpoint + "/" + identity.model_id +
         (has_token ? ", the token in use has none" : ", then give a token with --token or HF_TOKEN"));
  }
  if (code == "RevisionNotFound") {
    fail(model + " has no revision " + quote_json(identity.revision) + ": give a branch, a tag or a commit");
  }
  if (code == "EntryNotFound") fail(model + " has no file " + what + " at revision " + quote_json(identity.revision));
  if (code == "RepoNotFound" || response.status == 404 || response.status == 401) {
    fail(model + " is neither a directory here nor a model at " + endpoint + " (HTTP status " +
         std::to_string(response.status) + "). Check the spelling; if it is private, " +
         (has_token ? "the token in use does not see it" : "give a token with --token or HF_TOKEN"));
  }
  if (response.status == 403) {
    fail("access to " + model + " is forbidden" + (has_token ? " with the token in use" : " without a token"));
  }
  fail(what + " of " + model + " could not be downloaded from " + endpoint + ": " + describe(response));
}

bool is_unreachable(const HttpResponse& response) { return response.status == 0 || response.status >= 500; }

HttpResponse get_description(Client& client) {
  const Identity& identity = client.identity();
  return client.get({.url = identity.endpoint + "/api/models/" + identity.model_id + "/revision/" +
                            quote_url(identity.revision) + "?blobs=true",
                     .is_first_contact = true});
}

}  // namespace onnxport::hub
