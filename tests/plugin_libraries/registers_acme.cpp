// The model type of examples/plugin, and another.
#include "architectures/plugin_entry.h"

namespace {

void add(onnxport::Registry& registry) {
  registry.add({"aardvark", "", {}});
  registry.add({"acme", "", {}});
}

}  // namespace

ONNXPORT_PLUGIN(add)
