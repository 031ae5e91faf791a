#pragma once

#include <span>
#include <string>
#include <vector>

#include "onnx/model.h"

namespace onnxport::quantization {

/// Values that some nodes are to see divided: MatMul and Gemm, with quantized weights or plain ones, MatMulNBits.
struct DividedInputs {
  std::vector<std::string> values;   ///< what they multiply
  std::vector<std::string> weights;  ///< names of their (packed) weights, which tell them from other nodes
  std::vector<float> divisors;       ///< [K], for the last axis of each value
};

/// Divides by the weight (and bias) of the normalization that makes a value, if nothing else uses it, else by a Mul in
/// front of the nodes; without `folding` always by the Mul. Reaches into branches of If. Returns the names of the Muls.
std::vector<std::string> divide_inputs(onnx::Model& model, std::span<const DividedInputs> inputs, bool folding = true);

}  // namespace onnxport::quantization
