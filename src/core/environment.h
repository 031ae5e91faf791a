#pragma once

#include <cstdlib>
#include <string_view>

namespace onnxport {

/// The value of an environment variable; empty if it is not set. Ends with a NUL.
inline std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view{} : value;
}

}  // namespace onnxport
