#pragma once

#include "cli/command_line.h"

namespace onnxport::cli {

/// One file each.
Command export_onnx_command();
Command inspect_command();
Command list_command();
Command env_command();

}  // namespace onnxport::cli
