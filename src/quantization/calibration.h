#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "onnx/model.h"
#include "onnxport/quantizer.h"
#include "quantization/calibration_data.h"
#include "quantization/graph_quantizer.h"

/// Ranges of activations, found by running a model: onnxruntime/quantization/calibrate.py, to the number.
namespace onnxport::quantization {

/// The float32 values that nodes of these operators (of any, if empty) read or make, but initializers; of the graph and
/// of branches of If, whose names must be unique (onnx::make_value_names_unique).
std::vector<std::string> values_to_calibrate(const onnx::Graph& graph,
                                             const std::set<std::string, std::less<>>& operators);

/// How a tensor's values are spread: np.histogram with bins of one width around zero.
struct Histogram {
  std::vector<std::int64_t> counts;
  std::vector<float> edges;  ///< one more than counts
};

/// np.linspace(-threshold, threshold, bins + 1) in float32, and no counts yet. A threshold of 0 spans [-0.5, 0.5].
Histogram empty_histogram(float threshold, std::size_t bins);
/// np.histogram(values, bins, range=(-threshold, threshold)), added.
void add_values(Histogram& histogram, std::span<const float> values);
/// HistogramCollector.compute_percentile and get_entropy_threshold; cut to the range that was seen.
ValueRange percentile_range(const Histogram& histogram, double percentile, ValueRange seen);
ValueRange entropy_range(const Histogram& histogram, std::size_t quantized_bins, ValueRange seen);

/// Runs the model on all data, without ONNX Runtime's optimizations, and returns the values' ranges. Activations live
/// as long as one sample's run: with MinMax they are reduced in the graph; the other methods read the data twice.
/// `symmetric` makes each range symmetric around 0.
/// Throws Error(InvalidArgument): what CalibrationData throws, options out of range; Error(InvalidModel): custom
/// operators, which cannot be run; Error(RuntimeFailed); Error(InvalidArgument) if no sample takes a branch of an If.
ActivationRanges calibrate(const onnx::Model& model, const std::filesystem::path& file, const CalibrationConfig& config,
                           const CalibrationDataOptions& data, const std::vector<std::string>& operators,
                           bool symmetric, const std::function<void(std::uint64_t done)>& progress = {});

}  // namespace onnxport::quantization
