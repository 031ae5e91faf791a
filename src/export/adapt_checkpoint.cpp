#include "export/adapt_checkpoint.h"

#include "architectures/build.h"
#include "checkpoint/name_map.h"

namespace onnxport {

std::vector<std::string> OldNames::of(std::vector<std::string> names) const {
  for (std::string& name : names)
    if (const auto found = old_names_.find(name); found != old_names_.end()) name = found->second;
  return names;
}

OldNames adapt_checkpoint(Checkpoint& checkpoint, const ArchitectureOptions& options, const Registry& registry) {
  if (!options.config_map.empty())
    rename_members(checkpoint.config, read_name_map(options.config_map, "--config-map", false));
  if (!options.model_type.empty())
    checkpoint.config.set("model_type", architecture_named(options.model_type, "--as", registry).model_type);
  if (options.weights_map.empty()) return {};
  return OldNames(rename_tensors(checkpoint, read_name_map(options.weights_map, "--weights-map", true)));
}

}  // namespace onnxport
