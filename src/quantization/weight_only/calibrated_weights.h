#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "onnx/model.h"
#include "onnxport/weight_quantizer.h"
#include "quantization/weight_only/divided_inputs.h"
#include "quantization/weight_only/weight_graph.h"

namespace onnxport::quantization {

struct SolveOptions {
  std::filesystem::path file;  ///< where the model was read from
  WeightQuantizationConfig config;
  /// Sums over activations that are held at a time; at least those of one layer are.
  std::uint64_t activation_bytes = std::uint64_t{1} << 30;
  /// Called with a stage such as "Calibrating model.onnx", samples or weights done and in total.
  std::function<void(std::string_view stage, std::uint64_t done, std::uint64_t total)> progress{};
};

/// Runs `model`, which is not quantized yet, on the samples of config.calibration, and finds the integers of `entries`,
/// which quantize_graph made of it, by config.algorithm. What is returned is to be done to the quantized model by
/// divide_inputs. Samples are run one by one and no activation is kept.
/// Throws what CalibrationData and AugmentedModel throw; Error(InvalidModel): activations that hold NaN or infinities;
/// Error(InvalidArgument): too little damping.
std::vector<DividedInputs> solve_weights(const onnx::Model& model, std::span<QuantizedEntry> entries,
                                         const SolveOptions& options);

}  // namespace onnxport::quantization
