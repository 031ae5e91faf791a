#include "quantization/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "onnx/value_types.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
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
    const AugmentedModel augmented(model_, values_, AugmentedModel::Kind::Ranges, file_);
    std::vector<std::string> outputs;
    for (const std::string& value : values_)
      for (const char* reduction : {"_ReduceMin", "_ReduceMax"})
        outputs.push_back(augmented.output_of(value) + reduction);
    for_each_sample(augmented.session(), outputs, [&](const std::vector<Array>& results) {
      for (std::size_t i = 0; i < seen_.size(); ++i)
        if (results[2 * i].element_count() == 1)
          seen_[i].add(*results[2 * i].data<float>(), *results[2 * i + 1].data<float>());
    });
    check_branches(model_.graph);
  }

  void find_histograms(std::size_t bins) {
    for (const SeenRange& seen : seen_) {
      const ValueRange range = seen.range();
      histograms_.push_back(empty_histogram(std::max(std::fabs(range.minimum), std::fabs(range.maximum)), bins));
    }
    const AugmentedModel augmented(model_, values_, AugmentedModel::Kind::Values, file_);
    std::vector<std::string> outputs;
    for (const std::string& value : values_) outputs.push_back(augmented.output_of(value));
    data_.rewind();
    for_each_sample(augmented.session(), outputs, [&](const std::vector<Array>& results) {
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
  /// A branch that was never taken has no ranges, and would compute nonsense.
  void check_branches(const onnx::Graph& graph) const {
    for (const onnx::Node& node : graph.nodes) {
      if (node.op_type != "If") continue;
      for (const onnx::Attribute& attribute : node.attributes) {
        const auto* branch = std::get_if<onnx::Subgraph>(&attribute.value);
        if (branch == nullptr) continue;
        if (!is_taken(**branch))
          fail(
              "no sample of the calibration data takes the " + attribute.name + " of " + quote_json(node.name) +
              " in " + file_.filename().string() +
              ": give samples for both branches (use_cache_branch false and true, the latter with past_key_values), or "
              "two or more random ones");
        check_branches(**branch);
      }
    }
  }

  /// Whether a value that the branch makes was seen, or there is none to be seen.
  bool is_taken(const onnx::Graph& branch) const {
    std::set<std::string_view> made;
    for (const onnx::Node& node : branch.nodes) made.insert(node.outputs.begin(), node.outputs.end());
    bool has_values = false;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (!made.contains(values_[i])) continue;
      if (seen_[i].samples > 0) return true;
      has_values = true;
    }
    return !has_values;
  }

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

namespace {

/// `known`: what is not to be added; initializers are.
void add_values_to_calibrate(const onnx::Graph& graph, const onnx::ValueTypes* outer,
                             const std::set<std::string, std::less<>>& operators,
                             std::set<std::string, std::less<>>& known, std::vector<std::string>& values) {
  const onnx::ValueTypes types(graph, outer);
  for (const onnx::Initializer& initializer : graph.initializers) known.insert(initializer.name);
  for (const onnx::Node& node : graph.nodes) {
    if (node.op_type == "If")
      for (const onnx::Attribute& attribute : node.attributes)
        if (const auto* branch = std::get_if<onnx::Subgraph>(&attribute.value))
          add_values_to_calibrate(**branch, &types, operators, known, values);
    if (!operators.empty() && !operators.contains(node.op_type)) continue;
    for (const auto* names : {&node.inputs, &node.outputs})
      for (const std::string& name : *names)
        if (!name.empty() && types.find(name) == DataType::Float32 && known.insert(name).second) values.push_back(name);
  }
}

}  // namespace

std::vector<std::string> values_to_calibrate(const onnx::Graph& graph,
                                             const std::set<std::string, std::less<>>& operators) {
  std::set<std::string, std::less<>> known;
  std::vector<std::string> values;
  add_values_to_calibrate(graph, nullptr, operators, known, values);
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
