#pragma once

#include <vector>

#include "quantization/weight_only/blockwise_weight.h"

namespace onnxport::testing {

/// What the integers of a padded weight stand for, [K, N].
std::vector<float> dequantized_columns(const quantization::BlockwiseWeight& weight);

}  // namespace onnxport::testing
