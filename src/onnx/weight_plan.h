#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "onnx/model.h"
#include "onnx/writer.h"

namespace onnxport::onnx {

/// Where the bytes of an initializer lie outside the model file.
struct ExternalLocation {
  std::string file_name;  ///< in the model's directory
  std::uint64_t offset = 0;
};

/// Where the bytes of a model's initializers go.
struct WeightPlan {
  /// Those that do not lie in the model file, of all graphs. The initializers belong to the model.
  std::map<const Initializer*, ExternalLocation> locations;

  /// The file beside the model: what lies at which offset, in ascending order; the sources belong to the model.
  std::string data_file_name;
  std::vector<std::pair<std::uint64_t, const TensorSource*>> data;
  std::uint64_t data_size = 0;

  /// Names in the model's directory, and the checkpoint files that they have to be links to.
  std::vector<std::pair<std::string, std::filesystem::path>> links;
};

WeightPlan plan_external(const Model& model, const std::filesystem::path& path);
/// Throws Error(InvalidArgument) if a checkpoint file is no longer there.
WeightPlan plan_reference(const Model& model, const std::filesystem::path& path, const WriteOptions& options);

/// Makes `link` a hard link to `target`, or a clone of it (btrfs, XFS) where hard links are not possible.
/// Throws Error(InvalidArgument) if neither is possible.
void link_weights(const std::filesystem::path& target, const std::filesystem::path& link);

}  // namespace onnxport::onnx
