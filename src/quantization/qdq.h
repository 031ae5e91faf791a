#pragma once

#include "onnx/model.h"
#include "quantization/graph_quantizer.h"

namespace onnxport::quantization {

/// Static quantization in the QDQ format, as onnxruntime/quantization/qdq_quantizer.py: QuantizeLinear and
/// DequantizeLinear around the values that the chosen operators read and make, weights in integers. Graphs inside
/// others are left as they are. Throws Error(InvalidModel): weights with NaN, an opset
/// below 11, or below 13 with per_channel; Error(InvalidArgument): a value without a
/// range.
ModelOutcome quantize_qdq(onnx::Model& model, const QuantizationConfig& config, ActivationRanges ranges);

}  // namespace onnxport::quantization
