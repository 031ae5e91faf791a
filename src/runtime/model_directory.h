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

/// `model` itself if it is there, else the snapshot of that model of the Hub: with its ONNX file and the small files
/// beside it or, for `export_`, with its checkpoint. Throws what download_model throws.
std::filesystem::path local_model(const std::filesystem::path& model, const ORTModelOptions& options);

/// Sorts paths: those near the top first, then by name.
void sort_by_depth(std::vector<std::filesystem::path>& paths);

/// The directory and subfolder together. Throws Error(InvalidModel) if it is none.
std::filesystem::path model_folder(const std::filesystem::path& directory, const std::string& subfolder);

/// A directory that is removed with all that is in it when the object goes.
class TemporaryDirectory {
 public:
  /// Below the system's directory for temporary files (TMPDIR). Throws Error(OutputFailed).
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace onnxport
