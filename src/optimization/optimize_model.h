#pragma once

#include "onnx/model.h"
#include "onnxport/optimizer.h"

namespace onnxport::optimization {

/// Runs the passes that the config asks for over the model and its subgraphs, and tells of them in `report`.
void optimize_model(onnx::Model& model, const OptimizationConfig& config, OptimizedModel& report);

}  // namespace onnxport::optimization
