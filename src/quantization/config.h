#pragma once

#include "onnxport/json.h"
#include "onnxport/quantizer.h"

namespace onnxport::quantization {

/// The configuration with `operators_to_quantize` filled in. Throws Error(InvalidArgument) for combinations that cannot
/// be, and for operators that are not quantizable (nearest shown).
QuantizationConfig checked(QuantizationConfig config);

/// The members that Optimum writes into ort_config.json.
Json::Object to_json(const QuantizationConfig& config);

}  // namespace onnxport::quantization
