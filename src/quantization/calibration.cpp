#include "quantization/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "onnx/value_types.h"
#include "onnxport/error.h"
#include "quantization/augmented_model.h"

namespace onnxport::quantization {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

void check(const CalibrationConfig& config) {
  if (config.method == CalibrationMethod::MinMax && config.moving_average &&
      !(config.averaging_constant >= 0 && config.averaging_constant <= 1))
    fail("averaging_constant is " + std::to_string(config.averaging_constant) + ", not between 0 and 1");
  if (config.method != CalibrationMethod::MinMax && (config.num_bins < 1 || config.num_bins > (1 << 24)))
    fail("num_bins is " + std::to_string(config.num_bins) + "; 1 or more are needed");
  if (config.method == CalibrationMethod::Entropy &&
      (config.num_quantized_bins < 1 || config.num_quantized_bins > config.num_bins))
    fail("num_quantized_bins is " + std::to_string(config.num_quantized_bins) + ", not between 1 and num_bins (" +
         std::to_string(config.num_bins) + ")");
  if (config.method == CalibrationMethod::Percentile && !(config.percentile >= 0 && config.percentile <= 100))
    fail("percentile is " + std::to_string(config.percentile) + ", not between 0 and 100");
}

/// The range of one value over all samples.
struct SeenRange {
  float minimum = std::numeric_limits<float>::infinity();
  float maximum = -std::numeric_limits<float>::infinity();
  float minimum_sum = 0;
  float maximum_sum = 0;
  std::int64_t samples = 0;

  void add(float low, float high) {
    if (!(low <= high)) return;  // NaN, or of a tensor without elements
    minimum = std::min(minimum, low);
    maximum = std::max(maximum, high);
    minimum_sum += low;
    maximum_sum += high;
    ++samples;
  }
  ValueRange range() const { return samples == 0 ? ValueRange{} : ValueRange{minimum, maximum}; }
  ValueRange mean() const {
    if (samples == 0) return {};
    return {minimum_sum / static_cast<float>(samples), maximum_sum / static_cast<float>(samples)};
  }
};

class Calibration {
 public:
  Calibration(const onnx::Model& model, fs::path file, CalibrationData data, std::vector<std::string> values,
              const std::function<void(std::uint64_t)>& progress)
      : model_(model),
        file_(std::move(file)),
        data_(std::move(data)),
        values_(std::move(values)),
        progress_(progress),
        seen_(values_.size()) {}

  void find_ranges() {
    std::vector<std::string> outputs;
    for (const std::string& value : values_)
      outputs.insert(outputs.end(), {value + "_ReduceMin", value + "_ReduceMax"});
    const AugmentedModel augmented(model_, values_, AugmentedModel::Kind::Ranges, file_);
    for_each_sample(augmented.session(), outputs, [&](const std::vector<Array>& results) {
      for (std::size_t i = 0; i < seen_.size(); ++i)
        if (results[2 * i].element_count() == 1)
          seen_[i].add(*results[2 * i].data<float>(), *results[2 * i + 1].data<float>());
    });
  }

  void find_histograms(std::size_t bins) {
    for (const SeenRange& seen : seen_) {
      const ValueRange range = seen.range();
      histograms_.push_back(empty_histogram(std::max(std::fabs(range.minimum), std::fabs(range.maximum)), bins));
    }
    const AugmentedModel augmented(model_, values_, AugmentedModel::Kind::Values, file_);
    data_.rewind();
    for_each_sample(augmented.session(), values_, [&](const std::vector<Array>& results) {
      for (std::size_t i = 0; i < results.size(); ++i) add_values(histograms_[i], results[i].values<float>());
    });
  }

  template <typename RangeOf>
  ActivationRanges ranges(bool symmetric, const RangeOf& range_of) const {
    ActivationRanges ranges;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      ValueRange range = range_of(seen_[i], histograms_.empty() ? Histogram{} : histograms_[i]);
      if (symmetric) {
        range.maximum = std::max(std::fabs(range.minimum), std::fabs(range.maximum));
        range.minimum = -range.maximum;
      }
      ranges.emplace(values_[i], range);
    }
    return ranges;
  }

 private:
  template <typename Visit>
  void for_each_sample(const Session& session, const std::vector<std::string>& outputs, const Visit& visit) {
    while (const std::optional<NamedArrays> inputs = data_.next()) {
      visit(session.run(*inputs, outputs));
      if (progress_) progress_(++done_);
    }
  }

  const onnx::Model& model_;
  fs::path file_;
  CalibrationData data_;
  std::vector<std::string> values_;
  const std::function<void(std::uint64_t)>& progress_;
  std::vector<SeenRange> seen_;
  std::vector<Histogram> histograms_;
  std::uint64_t done_ = 0;
};

}  // namespace

std::vector<std::string> values_to_calibrate(const onnx::Graph& graph,
                                             const std::set<std::string, std::less<>>& operators) {
  const onnx::ValueTypes types(graph);
  std::set<std::string, std::less<>> known;  // also holds what is not to be calibrated: initializers
  for (const onnx::Initializer& initializer : graph.initializers) known.insert(initializer.name);
  std::vector<std::string> values;
  for (const onnx::Node& node : graph.nodes) {
    if (!operators.empty() && !operators.contains(node.op_type)) continue;
    for (const auto* names : {&node.inputs, &node.outputs})
      for (const std::string& name : *names)
        if (!name.empty() && types.find(name) == DataType::Float32 && known.insert(name).second) values.push_back(name);
  }
  return values;
}

ActivationRanges calibrate(const onnx::Model& model, const fs::path& file, const CalibrationConfig& config,
                           const CalibrationDataOptions& data, const std::vector<std::string>& operators,
                           bool symmetric, const std::function<void(std::uint64_t)>& progress) {
  check(config);
  std::vector<std::string> values = values_to_calibrate(model.graph, {operators.begin(), operators.end()});
  if (values.empty()) return {};
  Calibration calibration(model, file, CalibrationData(data, model_inputs(model.graph)), std::move(values), progress);
  calibration.find_ranges();
  if (config.method == CalibrationMethod::MinMax) {
    return calibration.ranges(symmetric, [&](const SeenRange& seen, const Histogram&) {
      return config.moving_average ? seen.mean() : seen.range();
    });
  }
  calibration.find_histograms(static_cast<std::size_t>(config.num_bins));
  if (config.method == CalibrationMethod::Percentile) {
    return calibration.ranges(symmetric, [&](const SeenRange& seen, const Histogram& histogram) {
      return percentile_range(histogram, config.percentile, seen.range());
    });
  }
  return calibration.ranges(symmetric, [&](const SeenRange& seen, const Histogram& histogram) {
    return entropy_range(histogram, static_cast<std::size_t>(config.num_quantized_bins), seen.range());
  });
}

}  // namespace onnxport::quantization
