#pragma once

#include <optional>

#include "onnxport/json.h"

namespace onnxport {

/// Optimum's ORTConfig, the content of ort_config.json: how a model was optimized or quantized, members in its order.
struct OrtConfig {
  std::optional<int> opset{};
  bool use_external_data_format = false;
  bool one_external_file = true;
  Json::Object optimization{};  ///< members of OptimizationConfig by name; sorted when written
  Json::Object quantization{};  ///< members of QuantizationConfig
};

/// As Optimum writes it: all members sorted by name.
Json to_json(OrtConfig config);

}  // namespace onnxport
