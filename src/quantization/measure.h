#pragma once

#include <filesystem>

#include "quantization/calibration_data.h"
#include "quantization/report.h"

/// Models before and after quantization, run side by side.
namespace onnxport::quantization {

/// Runs both models on the samples of `data`. An output's error is taken over all of its elements of all samples, but
/// for those that both models give a value beyond any number (1e30), with which logits are masked; times are the
/// medians of the samples' runs. Fills all but the sizes. Outputs that are no floating-point numbers are left out.
/// Throws what CalibrationData throws; Error(RuntimeFailed); Error(InvalidModel) for outputs of different shapes.
ModelMeasurement measure_outputs(const std::filesystem::path& before, const std::filesystem::path& after,
                                 const CalibrationDataOptions& data);

/// The largest relative error of an output, what a tolerance bounds; infinite if an output is NaN. Throws
/// Error(InvalidModel) if there is no output to compare.
double output_error(const ModelMeasurement& measurement);

/// Compares predictions on a task set: JSON lines as calibration takes them, each with a "label" or without: the number
/// or the name (label2id of config.json) of a class, or an array of them for the tokens, -100 for one that does not
/// count. The prediction is the largest element along the last axis of the output logits, or of the first output.
/// Throws Error(InvalidArgument) with the line: an unknown label, or one that does not fit the output; what
/// CalibrationData throws.
TaskAccuracy measure_task(const std::filesystem::path& before, const std::filesystem::path& after,
                          const CalibrationDataOptions& task_set);

}  // namespace onnxport::quantization
