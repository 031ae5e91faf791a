#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"

namespace onnxport::cli {

/// Where and how a model's id is looked up. `options` are HubOptions, or others with members of these names.
template <typename Options>
std::vector<Option> hub_options(Options& options) {
  return {{"--revision", "REVISION", "Branch, tag or commit of the model.", "main", store(options.revision)},
          {"--token", "TOKEN", "Token for private and gated models.", "HF_TOKEN, else that of the last login",
           [&options](const std::string& token) { options.token = token; }},
          {"--cache_dir", "DIR", "Cache to download to; Python's huggingface_hub has the same.",
           "HF_HUB_CACHE, else HF_HOME/hub", store(options.cache_dir)}};
}

}  // namespace onnxport::cli
