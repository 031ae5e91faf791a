#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace onnxport {

/// For a checkpoint of a model type that onnxport lacks but that is derived from one that it has.
struct ArchitectureOptions {
  std::string model_type{};  ///< the architecture to take, whatever config.json says
  /// JSON text (an object) or the path of a JSON file: members of config.json and the names that the architecture has
  /// for them, {"n_layer": "num_hidden_layers"}; dots lead into sections.
  std::string config_map{};
  /// The same for tensors. Rules are tried in the order of the text, and the first that fits a name decides; each `*`
  /// stands for one or more characters, {"h.*.attn.*": "encoder.layer.*.attention.*"}; null drops a tensor.
  std::string weights_map{};
  /// Shared libraries of architectures that onnxport lacks (docs/add-an-architecture.md); loading one runs its code.
  std::vector<std::filesystem::path> plugins{};

  bool operator==(const ArchitectureOptions&) const = default;
};

}  // namespace onnxport
