#pragma once

#include <string>

#include "cli/command_line.h"

namespace onnxport::cli {

/// --calibration FILE, which both commands that quantize have. `purpose`: what is done with the data. `apply` is called
/// with the file, or "" for made-up inputs.
Option calibration_option(const std::string& purpose, Apply apply);

}  // namespace onnxport::cli
