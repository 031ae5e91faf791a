#include "architectures/plugin_entry.h"

namespace {

void add(onnxport::Registry& registry) {
  registry.add({"emca", "", {}});
  registry.add({"emca", "", {}});
}

}  // namespace

ONNXPORT_PLUGIN(add)
