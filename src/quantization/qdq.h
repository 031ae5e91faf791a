#pragma once

#include "onnx/model.h"
#include "quantization/graph_quantizer.h"

namespace onnxport::quantization {

/// Static quantization in the QDQ format, as onnxruntime/quantization/qdq_quantizer.py: QuantizeLinear and
/// DequantizeLinear around the values that the chosen operators read and make, weights in integers. Reaches into
/// branches of If: what they read of the graph around them is quantized in the branch, and the integers of weights that
/// they share stand once beside the weights. Names of values must be unique (onnx::make_value_names_unique). Throws
/// Error(InvalidModel): weights with NaN, an opset below 11, or below 13 with per_channel; Error(InvalidArgument): a
/// value without a range.
ModelOutcome quantize_qdq(onnx::Model& model, const QuantizationConfig& config, ActivationRanges ranges);

}  // namespace onnxport::quantization
