#pragma once

#include <filesystem>
#include <vector>

#include "hub/cache.h"
#include "hub/client.h"
#include "hub/repository.h"
#include "onnxport/hub.h"

namespace onnxport::hub {

/// Brings files of a model into the cache, links them in their snapshot and returns its directory. As download_model,
/// which does the same for what a selection takes.
std::filesystem::path download_files(const std::vector<RemoteFile>& files, const Repository& repository,
                                     const Identity& identity, const ModelCache& cache, const HubOptions& options);

}  // namespace onnxport::hub
