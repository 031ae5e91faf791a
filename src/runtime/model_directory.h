#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "onnxport/model.h"

namespace onnxport {

/// Where the files of an exported model lie.
struct ModelDirectory {
  std::filesystem::path onnx_file;
  std::filesystem::path config_file;
};

/// The ONNX file that from_pretrained opens among the `files` of `place` (relative paths of ONNX files, those near the
/// top first), by Optimum's rules: `file_name` if given (it may name a folder, too), else model.onnx, else the only
/// one. Where Optimum takes any of several, this is an error. Throws Error(InvalidModel) that lists the files.
std::filesystem::path choose_onnx_file(const std::vector<std::filesystem::path>& files, const std::string& place,
                                       const std::string& file_name);

/// The same in directory/subfolder and the folders below it. config.json lies beside the ONNX file, in the subfolder,
/// or in the directory. Throws Error(InvalidModel) as above, Error(InvalidCheckpoint) without a config.json.
ModelDirectory find_model_files(const std::filesystem::path& directory, const std::string& subfolder,
                                const std::string& file_name);

/// Whether there is an ONNX file in a folder or below it, where find_model_files looks.
bool has_onnx_file(const std::filesystem::path& folder);

/// What the argument of from_pretrained leads to.
struct LocalModel {
  std::filesystem::path directory;
  bool is_checkpoint = false;  ///< to be exported first
};

/// A directory, or the snapshot of a model of the Hub with the files that are needed. As in Optimum, what has no ONNX
/// file counts as a checkpoint, which options.warn is told. Throws what resolve_model throws.
LocalModel find_model(const std::filesystem::path& model, const ORTModelOptions& options);

/// Sorts paths: those near the top first, then by name.
void sort_by_depth(std::vector<std::filesystem::path>& paths);

/// The directory and subfolder together. Throws Error(InvalidModel) if it is none.
std::filesystem::path model_folder(const std::filesystem::path& directory, const std::string& subfolder);

}  // namespace onnxport
