// A model type that onnxport has.
#include "architectures/plugin_entry.h"

namespace {

void add(onnxport::Registry& registry) { registry.add({"bert", "bert", {}}); }

}  // namespace

ONNXPORT_PLUGIN(add)
