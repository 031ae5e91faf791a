#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace onnxport {

/// What went wrong, for callers that react differently to different causes.
enum class ErrorKind {
  InvalidArgument,          ///< an option or argument that has no meaning or is out of range
  InvalidCheckpoint,        ///< a checkpoint's file is missing, corrupt or contradicts its config
  InvalidModel,             ///< an ONNX file that cannot be read
  InvalidTokenizer,         ///< a tokenizer's file is missing, corrupt or has a component that onnxport lacks
  UnsupportedArchitecture,  ///< model_type or a config option that onnxport does not implement
  UnsupportedTask,          ///< the architecture has no such task
  MissingTensor,            ///< the architecture needs a tensor that the checkpoint lacks
  ShapeMismatch,            ///< a tensor's shape contradicts the config or another tensor
  ValidationFailed,         ///< the exported model does not reproduce the reference
  OutputFailed,             ///< a file could not be written
  RuntimeFailed,            ///< ONNX Runtime is missing or reported an error
  HubFailed,                ///< a model id could not be resolved or downloaded
};

/// The name of the kind as written above, for logs and JSON.
std::string_view to_string(ErrorKind kind);

/// The one exception type. what() says what is wrong, where (file, tensor or field) and what to do about it.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace onnxport
