#pragma once

#include "onnx/model.h"

namespace onnxport::onnx {

/// Raises a model's opset of ai.onnx to `version` (at most 23), and its IR version to what that opset asks for. Nodes
/// whose operator has changed since are rewritten to mean what they did; a model that has the opset already is left as
/// it is. Reaches into subgraphs.
/// Throws Error(InvalidModel): an opset below 13, or an operator that cannot be rewritten (GroupNormalization and DFT).
void raise_opset(Model& model, int version);

}  // namespace onnxport::onnx
