#pragma once

#include "onnx/model.h"

namespace onnxport::optimization {

/// Initializers with the same type, shape and bytes become one, also those of subgraphs with those around them; which
/// of two branches' equal weights moves to the outermost graph. Only tensors that lie in memory or a mapped file are
/// compared. Returns how many went.
int share_weights(onnx::Model& model);

}  // namespace onnxport::optimization
