#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/array.h"
#include "onnxport/session_types.h"

namespace onnxport {

/// An ONNX Runtime session. libonnxruntime.so is loaded when the first one is made, so that commands which do not need
/// it start at once. No header of ONNX Runtime is needed by users of this class.
class Session {
 public:
  using Value = ModelInput;

  /// Throws Error(RuntimeFailed) with ONNX Runtime's message; says how to install it if the library is not found.
  /// Throws Error(InvalidArgument) for a provider that the library lacks (lists those it has).
  explicit Session(const std::filesystem::path& model, const SessionOptions& options = {},
                   const ExecutionProvider& provider = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  const std::vector<Value>& inputs() const;
  const std::vector<Value>& outputs() const;

  /// Runs the model; results stand in the order of `output_names`, or of outputs() if it is empty. Inputs are read
  /// where they lie, results are ONNX Runtime's own memory. Several threads may run one session at once.
  std::vector<Array> run(std::span<const std::pair<std::string, Array>> inputs,
                         std::span<const std::string> output_names = {}) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// Version of the ONNX Runtime library in use ("1.32.0"), and where it was found.
std::string onnxruntime_version();
std::filesystem::path onnxruntime_library();

}  // namespace onnxport
