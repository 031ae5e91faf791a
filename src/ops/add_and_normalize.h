#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "graph/lower_context.h"

namespace onnxport::ops {

/// Lowers a normalization with the addition before it to one operator of ONNX Runtime (`op_type`:
/// SkipLayerNormalization, SkipSimplifiedLayerNormalization), where the target allows it and the operand is a sum of
/// two tensors of its own shape with two or three axes. The operands after the first are the operator's weight and
/// bias. Where the sum is used elsewhere, too, the operator gives it out. Returns the result's name; nullopt: not
/// possible.
std::optional<std::string> add_and_normalize(LowerContext& context, std::string_view op_type, float epsilon);

}  // namespace onnxport::ops
