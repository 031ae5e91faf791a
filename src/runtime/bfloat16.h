#pragma once

#include "onnx/model.h"

namespace onnxport {

/// True if a weight, an input or an output of the model is of type bfloat16.
bool has_bfloat16(const onnx::Model& model);

/// The same model with float32 wherever it has bfloat16: values keep the rounding that they have, what is computed is
/// not rounded. For execution providers without bfloat16. Subgraphs and functions stay as they are.
onnx::Model without_bfloat16(onnx::Model model);

}  // namespace onnxport
