// A plugin for a version that never was.
#include "architectures/plugin_entry.h"

extern "C" {
extern const onnxport::PluginEntry onnxport_plugin __attribute__((visibility("default")));
const onnxport::PluginEntry onnxport_plugin{ONNXPORT_PLUGIN_MARK "onnxport 0.0.1 (0123456789ab), libstdc++", nullptr};
}
