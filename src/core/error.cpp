#include "onnxport/error.h"

namespace onnxport {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::InvalidArgument:
      return "InvalidArgument";
    case ErrorKind::InvalidCheckpoint:
      return "InvalidCheckpoint";
    case ErrorKind::InvalidModel:
      return "InvalidModel";
    case ErrorKind::InvalidTokenizer:
      return "InvalidTokenizer";
    case ErrorKind::UnsupportedArchitecture:
      return "UnsupportedArchitecture";
    case ErrorKind::UnsupportedTask:
      return "UnsupportedTask";
    case ErrorKind::MissingTensor:
      return "MissingTensor";
    case ErrorKind::ShapeMismatch:
      return "ShapeMismatch";
    case ErrorKind::ValidationFailed:
      return "ValidationFailed";
    case ErrorKind::OutputFailed:
      return "OutputFailed";
    case ErrorKind::RuntimeFailed:
      return "RuntimeFailed";
    case ErrorKind::HubFailed:
      return "HubFailed";
  }
  return "Unknown";
}

}  // namespace onnxport
