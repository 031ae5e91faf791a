#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "onnx/model.h"

namespace onnxport::onnx {

enum class WeightStorage {
  Automatic,  ///< in the file below 2 GB, else external
  External,   ///< in `<file>_data` beside it (initializers of 1 KiB and more), as Optimum's external data
  Reference,  ///< left in the checkpoint's files: hard-linked (or cloned) beside the model, addressed by offset
};

/// Elements that are not in the written file yet.
struct DeferredWeight {
  std::filesystem::path path;  ///< the file that has a gap for them
  std::uint64_t offset = 0;
  TensorSource source;
};

struct WriteOptions {
  WeightStorage weights = WeightStorage::Automatic;
  /// The directory that the files are moved to when complete, if `path` lies in a staged one. Reference gives no link
  /// the name of another file there.
  std::filesystem::path destination;
  /// The files that computed initializers read through their mapping. The pages read so far are given back now and
  /// then, else they would count as memory of this process until the end.
  std::vector<std::shared_ptr<const MappedFile>> mapped_files;
  /// If set: elements that come from mapped files are not read. A gap is left for them, and they are added here.
  std::vector<DeferredWeight>* deferred = nullptr;
  /// Called now and then, in the calling thread, with bytes written so far and in total.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

/// Writes `model` to `path` and returns the files written or linked, `path` first. Peak memory is independent of the
/// model's size: all lengths are computed first, plain tensors are copied by copy_file_range, others computed block by
/// block. Initializers that share one source region (file and offset) are stored once in external data.
/// Initializers below 1 KiB always stay in the file, so that shape constants are there when shapes are inferred.
/// An existing regular file is replaced, not overwritten, so `model` may have been read from `path`. The caller gives a
/// path inside a temporary directory and renames it when all is done; see StagedDirectory.
///
/// With Reference, a tensor that is not one region of a checkpoint file, or lies there unaligned to its element size,
/// goes to `<file>_data`. ONNX Runtime loads hard-linked external data; `onnx.load` and `onnx.checker` of Python refuse
/// it as a possible attack, unless the model lies in the checkpoint's own directory.
///
/// Throws Error(OutputFailed) with the system's reason (disk full, read-only) or when the graph without its weights is
/// beyond protobuf's 2 GB; Error(InvalidArgument) when Reference is asked for and a checkpoint file cannot be linked
/// (another file system), or an initializer has no elements to write; Error(InvalidCheckpoint) when a source file has
/// become shorter than when it was opened.
std::vector<std::filesystem::path> write_model(const Model& model, const std::filesystem::path& path,
                                               const WriteOptions& options);

}  // namespace onnxport::onnx
