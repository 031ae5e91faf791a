#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "onnxport/json.h"
#include "onnxport/model.h"

namespace onnxport::pipelines {

/// The class that config.json names; empty if there is none.
std::string architecture_of(const Json& config);

/// Throws Error(InvalidModel) unless the model's output "logits" has that many axes and config.json names no class of
/// another task. `head` is the end of the classes that fit, "ForTokenClassification".
void require_head(const ORTModel& model, std::string_view head, std::size_t rank, std::string_view task);

}  // namespace onnxport::pipelines
