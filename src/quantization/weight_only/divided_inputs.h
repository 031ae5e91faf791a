#pragma once

#include <span>
#include <string>
#include <vector>

#include "onnx/model.h"

namespace onnxport::quantization {

/// Values that some nodes with quantized weights are to see divided.
struct DividedInputs {
  std::vector<std::string> values;   ///< what they multiply
  std::vector<std::string> weights;  ///< names of their packed weights, which tell them from other nodes
  std::vector<float> divisors;       ///< [K], for the last axis of each value
};

/// Divides by the weight (and bias) of the normalization that makes a value, if nothing else uses it, else by a Mul in
/// front of the nodes. Reaches into branches of If.
void divide_inputs(onnx::Model& model, std::span<const DividedInputs> inputs);

}  // namespace onnxport::quantization
