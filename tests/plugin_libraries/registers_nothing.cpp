#include "architectures/plugin_entry.h"

ONNXPORT_PLUGIN([](onnxport::Registry&) {})
