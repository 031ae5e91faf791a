#pragma once

#include <filesystem>

namespace onnxport {

/// A directory that is removed with all that is in it when the object goes.
class TemporaryDirectory {
 public:
  /// Its path is absolute and without links, below the system's directory for temporary files (TMPDIR). Throws
  /// Error(OutputFailed).
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace onnxport
