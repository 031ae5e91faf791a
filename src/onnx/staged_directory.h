#pragma once

#include <filesystem>

namespace onnxport::onnx {

/// A temporary directory that becomes the output when everything in it is complete, so that an export that fails or is
/// killed leaves nothing half-made behind and an earlier export untouched.
///
/// It is a hidden sibling of the destination, `.NAME.onnxport-XXXXXX`; inside the destination if that is a mount point
/// or its parent must not be written to, since files can be renamed within one mount only. Directories that killed
/// processes left are removed when the next one is made for the same destination.
class StagedDirectory {
 public:
  /// Creates the destination's missing parents, but not the destination.
  /// Throws Error(OutputFailed): the destination is not a directory, or none can be made beside or in it.
  explicit StagedDirectory(const std::filesystem::path& destination);
  /// Removes the directory and all that was not committed.
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  /// Where to write the files.
  const std::filesystem::path& path() const { return path_; }
  const std::filesystem::path& destination() const { return destination_; }

  /// Moves all files into the destination, ONNX files last, so that a model is there only when its external data is.
  /// Files of the same name are replaced. External data of a replaced model that is named after it (model.onnx_data)
  /// and that no model refers to any more is removed; all other files stay.
  /// Throws Error(OutputFailed): a directory has the name of a file, or the system refuses a move.
  void commit();

 private:
  void move_files() const;
  void remove() noexcept;

  std::filesystem::path destination_;
  std::filesystem::path path_;
  int lock_ = -1;  ///< the directory, locked: a lock that nobody holds marks one whose process has died
};

}  // namespace onnxport::onnx
