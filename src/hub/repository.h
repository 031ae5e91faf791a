#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/hub.h"

namespace onnxport::hub {

struct RemoteFile {
  std::string path;
  std::string etag;  ///< SHA-256 of a large file, git's SHA-1 of another
  std::uint64_t size = 0;
};

struct Identity;

/// What the Hub says of a model at one commit.
struct Repository {
  std::string commit;
  std::vector<RemoteFile> files;
};

/// Reads the answer to /api/models/ID/revision/REVISION?blobs=true; `where` names the Hub in messages.
/// Throws Error(HubFailed): no such answer, a path that leads outside the model's directory, a size or hash that is
/// none.
Repository parse_repository(const std::string& body, const std::string& where);

/// The files that a selection takes. Throws Error(HubFailed) if there are none.
std::vector<RemoteFile> select(const Repository& repository, const HubFileSelection& selection,
                               const Identity& identity, std::string_view subfolder);

}  // namespace onnxport::hub
