// Calls what no onnxport has.
#include "architectures/plugin_entry.h"

namespace onnxport {

void what_nobody_defines(Registry& registry);

}  // namespace onnxport

namespace {

void add(onnxport::Registry& registry) { onnxport::what_nobody_defines(registry); }

}  // namespace

ONNXPORT_PLUGIN(add)
