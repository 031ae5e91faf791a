#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quantization/calibration_data.h"
#include "quantization/report.h"

/// Quantization whose result is measured before anyone sees it.
namespace onnxport::quantization {

struct AssessmentOptions {
  CalibrationDataOptions data{};      ///< what the models are run on
  std::filesystem::path task_set{};   ///< see measure_task; empty for none
  std::optional<double> tolerance{};  ///< the largest output_error of any model
  /// Called with a stage such as "Measuring model.onnx", models done and in total.
  std::function<void(std::string_view stage, std::uint64_t done, std::uint64_t total)> progress{};
};

/// Models that were quantized and are not published yet.
struct StagedQuantization {
  struct Model {
    std::filesystem::path source;
    std::filesystem::path path;      ///< where it lies now
    std::string name;                ///< of its file, when it is published
    std::uint64_t source_bytes = 0;  ///< with external data
    std::uint64_t bytes = 0;
  };
  std::vector<Model> models;
  std::vector<LayerError> layers;
};

/// Quantizes without the nodes of `excluded`, and publishes the models if `accept` says so.
using Quantize = std::function<void(const std::vector<std::string>& excluded,
                                    const std::function<bool(const StagedQuantization& staged)>& accept)>;

/// Quantizes, runs the models before and after, and publishes what it has measured; with a tolerance without the worst
/// layers, see exclude_worst. Fills all of the report but `model` and `settings`.
/// Throws Error(ValidationFailed) if the tolerance cannot be kept; Error(InvalidArgument): data that does not fit, a
/// task set for several models at once; what `quantize`, measure_outputs and measure_task throw. Nothing is published
/// then.
QuantizationReport assess_quantization(const AssessmentOptions& options, const Quantize& quantize);

}  // namespace onnxport::quantization
