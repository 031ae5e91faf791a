#pragma once

#include <map>
#include <string>
#include <vector>

#include "architectures/registry.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/architecture_options.h"

namespace onnxport {

/// What a checkpoint that was adapted calls its tensors itself: names that mean something to whoever looks for them in
/// its files.
class OldNames {
 public:
  OldNames() = default;
  /// `old_names` has the checkpoint's name for each new one; empty if none was renamed.
  explicit OldNames(std::map<std::string, std::string> old_names) : old_names_(std::move(old_names)) {}

  std::vector<std::string> of(std::vector<std::string> names) const;

 private:
  std::map<std::string, std::string> old_names_;
};

/// Makes a checkpoint look as the architecture wants it that `options` name: its model_type, the members of its config
/// and the names of its tensors.
/// Throws Error(InvalidArgument) for a map that is wrong, Error(UnsupportedArchitecture) for an unknown model type.
OldNames adapt_checkpoint(Checkpoint& checkpoint, const ArchitectureOptions& options, const Registry& registry);

}  // namespace onnxport
