#pragma once

#include "architectures/registry.h"
#include "onnxport_plugin_interface.h"  // generated: a digest of the headers that plugins are compiled with

/// What a plugin has to be: made with the same headers, for a standard library whose types are laid out the same way.
/// Beginning with the mark by which a file is known for a plugin before it is loaded.
#define ONNXPORT_PLUGIN_MARK "onnxport plugin for "
#if defined(_LIBCPP_VERSION)
#define ONNXPORT_STANDARD_LIBRARY "libc++"
#elif defined(_GLIBCXX_DEBUG)
#define ONNXPORT_STANDARD_LIBRARY "libstdc++ in debug mode"
#elif defined(_GLIBCXX_USE_CXX11_ABI) && _GLIBCXX_USE_CXX11_ABI
#define ONNXPORT_STANDARD_LIBRARY "libstdc++"
#else
#define ONNXPORT_STANDARD_LIBRARY "libstdc++ with the ABI of GCC 4"
#endif
#define ONNXPORT_PLUGIN_INTERFACE \
  ONNXPORT_PLUGIN_MARK "onnxport " ONNXPORT_INTERFACE_VERSION ", " ONNXPORT_STANDARD_LIBRARY

namespace onnxport {

/// What a plugin's library has under the name onnxport_plugin.
struct PluginEntry {
  const char* interface;  ///< ONNXPORT_PLUGIN_INTERFACE, when it was compiled; the first member in every version
  void (*register_architectures)(Registry& registry);
};

}  // namespace onnxport

/// Makes a shared library a plugin whose architectures `function(Registry&)` registers; once in a library.
/// onnxport_add_plugin() of the CMake package writes it.
#define ONNXPORT_PLUGIN(function)                                                              \
  extern "C" {                                                                                 \
  extern const ::onnxport::PluginEntry onnxport_plugin __attribute__((visibility("default"))); \
  const ::onnxport::PluginEntry onnxport_plugin{ONNXPORT_PLUGIN_INTERFACE, function};          \
  }
