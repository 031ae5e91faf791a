#include "hub/repository.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "hub/cache.h"
#include "hub/client.h"
#include "onnxport/error.h"
#include "onnxport/json.h"

namespace onnxport::hub {
namespace {

const Json& member(const Json& object, std::string_view name, bool (Json::*is_type)() const, const std::string& where) {
  const Json* value = object.find(name);
  if (value == nullptr || !(value->*is_type)()) {
    fail(where + " answered with a description of the model that lacks " + quote_json(name));
  }
  return *value;
}

}  // namespace

Repository parse_repository(const std::string& body, const std::string& where) {
  Json json;
  try {
    json = parse_json(body, where);
  } catch (const Error& error) {
    fail(error.what());
  }
  Repository repository;
  repository.commit = member(json, "sha", &Json::is_string, where).string();
  if (!is_hexadecimal_name(repository.commit)) fail(where + " names a commit that is none");
  for (const Json& sibling : member(json, "siblings", &Json::is_array, where).array()) {
    RemoteFile file;
    file.path = member(sibling, "rfilename", &Json::is_string, where).string();
    if (!is_safe_path(file.path)) {
      fail("the model has a file with the name " + quote_json(file.path) +
           ", which leads outside its directory; it is refused");
    }
    const Json* lfs = sibling.find("lfs");
    const bool is_large = lfs != nullptr && lfs->is_object();
    const Json& description = is_large ? *lfs : sibling;
    file.etag = member(description, is_large ? "sha256" : "blobId", &Json::is_string, where).string();
    const std::int64_t size = member(description, "size", &Json::is_integer, where).integer();
    if (!is_hexadecimal_name(file.etag) || size < 0) fail(where + " describes " + quote_json(file.path) + " wrongly");
    file.size = static_cast<std::uint64_t>(size);
    repository.files.push_back(std::move(file));
  }
  return repository;
}

std::vector<RemoteFile> select(const Repository& repository, const HubFileSelection& selection,
                               const Identity& identity, std::string_view subfolder) {
  std::vector<HubFile> files;
  for (const RemoteFile& file : repository.files) files.push_back({file.path, file.size});
  std::vector<RemoteFile> selected;
  for (const std::string& path : selection(files)) {
    const auto found = std::find_if(repository.files.begin(), repository.files.end(),
                                    [&](const RemoteFile& file) { return file.path == path; });
    if (found != repository.files.end()) selected.push_back(*found);
  }
  if (selected.empty()) {
    fail(quote_json(identity.model_id) + " has no file that is needed" +
         (subfolder.empty() ? std::string() : " in " + quote_json(subfolder)) + " at revision " +
         quote_json(identity.revision));
  }
  return selected;
}

}  // namespace onnxport::hub
