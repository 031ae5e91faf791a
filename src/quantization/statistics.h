#pragma once

#include "onnxport/quantizer.h"
#include "quantization/graph_quantizer.h"

namespace onnxport::quantization {

/// The error of one weight. Reads it twice, on all cores, in blocks. `file` is left empty.
QuantizationError weight_error(const QuantizedWeight& weight);

}  // namespace onnxport::quantization
