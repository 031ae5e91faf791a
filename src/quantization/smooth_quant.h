#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "onnx/model.h"
#include "onnxport/quantizer.h"
#include "quantization/calibration_data.h"

namespace onnxport::quantization {

/// SmoothQuant (Xiao et al., 2022): what MatMul and Gemm nodes of the outermost graph multiply with constant weights is
/// divided by max|x|^alpha / max|w|^(1 - alpha), channel by channel, and the weights are multiplied, so that outliers
/// of activations do not widen the range of all. max|x| is taken over the samples, max|w| over all weights that meet
/// the value. The division is folded into the normalization in front where nothing else sees its output, else it is a
/// Mul; without config.folding it always is.
///
/// Weights stay lazy. `is_chosen` says which nodes are to be quantized. `progress` is called with samples done. Returns
/// the names of the Muls, which are not to be quantized: what they divide has the outliers. Throws what CalibrationData
/// and AugmentedModel throw; Error(InvalidModel): activations that hold NaN or infinities.
std::vector<std::string> smooth(onnx::Model& model, const std::filesystem::path& file, const SmoothQuantConfig& config,
                                const CalibrationDataOptions& data,
                                const std::function<bool(const onnx::Node&)>& is_chosen,
                                const std::function<void(std::uint64_t)>& progress);

}  // namespace onnxport::quantization
