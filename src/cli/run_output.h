#pragma once

#include <string>
#include <string_view>

#include "onnxport/json.h"

namespace onnxport::cli {

/// What a pipeline gave for one input as lines for a reader. `input` is the input as JSON.
std::string format_output(std::string_view task, const Json& input, const Json& output);

}  // namespace onnxport::cli
