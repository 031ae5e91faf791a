#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/json.h"

/// What quantization has done to a model, as a page to look at and as JSON.
namespace onnxport::quantization {

/// A weight before and after.
struct LayerError {
  std::string file;                ///< "model.onnx", the model that was read
  std::vector<std::string> nodes;  ///< "/encoder/layer.0/attention/self/query/Gemm"; all that use the weight
  std::string weight;              ///< "encoder.layer.0.attention.self.query.weight"
  std::vector<std::int64_t> shape{};
  double bits = 0;       ///< of an element
  double sqnr = 0;       ///< 10 log10(sum of w² / sum of (w - ŵ)²), in decibels; infinite without an error
  double max_error = 0;  ///< the largest |w - ŵ|
  double cosine = 1;     ///< of the angle between w and ŵ
};

/// One output over all samples.
struct OutputError {
  std::string name;
  double relative = 0;   ///< |y - ŷ| / |y|, in Euclidean norms
  double max_error = 0;  ///< the largest |y - ŷ|
  double cosine = 1;
};

/// A model before and after, measured by running both.
struct ModelMeasurement {
  std::string file;                ///< "model.onnx"
  std::string result;              ///< "model_quantized.onnx"
  std::uint64_t bytes_before = 0;  ///< with external data
  std::uint64_t bytes_after = 0;
  double seconds_before = 0;  ///< median of a run on one sample
  double seconds_after = 0;
  std::int64_t samples = 0;
  std::vector<OutputError> outputs{};
};

/// A task set: whether both models say the same, and how often each says what the labels say.
struct TaskAccuracy {
  std::int64_t samples = 0;
  double agreement = 0;        ///< share of the samples' predictions (largest logit) that stay the same
  double mean_difference = 0;  ///< of logits, absolute
  std::int64_t labelled = 0;
  double accuracy_before = 0;  ///< share of the labelled samples
  double accuracy_after = 0;
};

struct QuantizationReport {
  std::string model;
  std::string settings;  ///< "int4, block size 32, symmetric"
  std::vector<LayerError> layers{};
  std::vector<ModelMeasurement> models{};
  std::optional<TaskAccuracy> accuracy{};
  std::optional<double> tolerance{};
  std::vector<std::string> excluded{};  ///< nodes that --tolerance left as they were
};

/// By SQNR, the least first.
std::vector<LayerError> worst_first(std::vector<LayerError> layers);

/// The nodes that lose most: those whose SQNR lies more than 6 dB (one bit) below the median, worst first.
std::vector<std::string> layers_to_exclude(const std::vector<LayerError>& layers);

/// "encoder.layer.0" and "attention.self.query": the first part of a name that ends in a number, and what follows. A
/// name without a number has no layer.
struct LayerName {
  std::string layer;
  std::string module;
};
LayerName split_layer_name(std::string_view weight);

Json to_json(const QuantizationReport& report);
/// One page that needs nothing else: no script, no font, no image.
std::string to_html(const QuantizationReport& report);

/// By the suffix: .html, .htm or .json. Throws Error(InvalidArgument) for another one.
void check_report_path(const std::filesystem::path& path);
/// Writes the report as the suffix says; the file is complete or not there. Throws Error(InvalidArgument) for another
/// suffix, Error(OutputFailed).
void write_report(const QuantizationReport& report, const std::filesystem::path& path);

/// What is left out of a quantization so that its output error stays below a tolerance.
struct Exclusion {
  std::vector<std::string> excluded;  ///< nodes, worst first
  double error = 0;                   ///< with them excluded
};

/// Excludes the layers with the least SQNR, as few as it takes (found by doubling and halving, so that `attempt` is
/// called about 2 log2(layers) times), until attempt's result is at most `tolerance`. `attempt` quantizes without the
/// nodes given and returns the model's output error. Layers that share a node are excluded together. The best layer
/// stays: without it nothing would be quantized. Throws Error(ValidationFailed) if the error is larger even so.
Exclusion exclude_worst(const std::vector<LayerError>& layers, double tolerance,
                        const std::function<double(const std::vector<std::string>& excluded)>& attempt);

}  // namespace onnxport::quantization
