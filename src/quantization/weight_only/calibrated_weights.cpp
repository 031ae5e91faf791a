#include "quantization/weight_only/calibrated_weights.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor_source.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "quantization/augmented_model.h"
#include "quantization/calibration_data.h"
#include "quantization/weight_only/activation_statistics.h"
#include "quantization/weight_only/awq.h"
#include "quantization/weight_only/gptq.h"

namespace onnxport::quantization {
namespace {

/// Weights that are multiplied with the same values.
struct Layer {
  std::vector<std::string> inputs;
  std::vector<QuantizedEntry*> weights;

  std::int64_t size() const { return weights.front()->quantized.vector_size(); }
  std::uint64_t statistics_bytes() const { return static_cast<std::uint64_t>(size() * size()) * sizeof(double); }
};

std::vector<Layer> find_layers(std::span<QuantizedEntry> entries) {
  std::map<std::vector<std::string>, std::size_t> known;
  std::vector<Layer> layers;
  for (QuantizedEntry& entry : entries) {
    if (entry.inputs.empty() || entry.quantized.settings().block.method != BlockMethod::Calibrated) continue;
    std::vector<std::string> inputs = entry.inputs;
    std::sort(inputs.begin(), inputs.end());
    const auto [found, is_new] = known.try_emplace(inputs, layers.size());
    if (is_new) layers.push_back({std::move(inputs), {}});
    layers[found->second].weights.push_back(&entry);
  }
  return layers;
}

CalibrationDataOptions data_options(const SolveOptions& options) {
  const WeightCalibration& calibration = *options.config.calibration;
  return {.file = calibration.data,
          .model_directory = options.file.parent_path(),
          .num_samples = calibration.num_samples,
          .max_length = calibration.max_length};
}

class WeightSolver {
 public:
  WeightSolver(const onnx::Model& model, std::vector<Layer> layers, const SolveOptions& options)
      : options_(options),
        layers_(std::move(layers)),
        data_(data_options(options), model_inputs(model.graph)),
        augmented_(model, made_values(model.graph), AugmentedModel::Kind::Values, options.file) {
    for (const Layer& layer : layers_) weights_ += layer.weights.size();
  }

  std::vector<DividedInputs> run() {
    const std::vector<std::size_t> passes = plan_passes();
    for (std::size_t pass = 0; pass + 1 < passes.size(); ++pass) {
      const std::span<Layer> layers = std::span(layers_).subspan(passes[pass], passes[pass + 1] - passes[pass]);
      std::vector<ActivationStatistics> statistics = observe(layers, pass, passes.size() - 1);
      for (std::size_t i = 0; i < layers.size(); ++i) solve(layers[i], std::move(statistics[i]));
    }
    return std::move(divided_);
  }

 private:
  /// The values that weights are multiplied with, without those that the samples give themselves.
  std::vector<std::string> made_values(const onnx::Graph& graph) {
    std::set<std::string> given;
    for (const onnx::ValueInfo& input : graph.inputs) given.insert(input.name);
    std::set<std::string> values;
    for (const Layer& layer : layers_)
      for (const std::string& input : layer.inputs)
        if (!given.contains(input)) values.insert(input);
    return {values.begin(), values.end()};
  }

  /// The first layer of each pass over the samples, and the number of layers.
  std::vector<std::size_t> plan_passes() const {
    std::vector<std::size_t> first;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      bytes += layers_[i].statistics_bytes();
      if (!first.empty() && bytes <= options_.activation_bytes) continue;
      first.push_back(i);
      bytes = layers_[i].statistics_bytes();
    }
    first.push_back(layers_.size());
    return first;
  }

  std::vector<ActivationStatistics> observe(std::span<const Layer> layers, std::size_t pass, std::size_t passes) {
    std::vector<ActivationStatistics> statistics;
    std::vector<std::string> names;
    for (const Layer& layer : layers) {
      statistics.emplace_back(layer.size());
      names.insert(names.end(), layer.inputs.begin(), layer.inputs.end());
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    data_.rewind();
    const auto samples = static_cast<std::uint64_t>(options_.config.calibration->num_samples);
    for (std::uint64_t sample = 0; const std::optional<NamedArrays> inputs = data_.next(); ++sample) {
      show("Calibrating", pass * samples + sample, passes * samples);
      const std::map<std::string, Array> values = run_sample(*inputs, names);
      for (std::size_t i = 0; i < layers.size(); ++i)
        for (const std::string& input : layers[i].inputs) add(statistics[i], layers[i], values.at(input));
    }
    return statistics;
  }

  std::map<std::string, Array> run_sample(const NamedArrays& inputs, const std::vector<std::string>& names) const {
    std::map<std::string, Array> values;
    std::vector<std::string> made;
    for (const std::string& name : names) {
      const auto given =
          std::find_if(inputs.begin(), inputs.end(), [&](const auto& input) { return input.first == name; });
      if (given == inputs.end()) {
        made.push_back(name);
      } else {
        values.emplace(name, given->second);
      }
    }
    if (made.empty()) return values;
    std::vector<std::string> outputs;
    for (const std::string& name : made) outputs.push_back(augmented_.output_of(name));
    std::vector<Array> results = augmented_.session().run(inputs, outputs);
    for (std::size_t i = 0; i < made.size(); ++i) values.emplace(made[i], std::move(results[i]));
    return values;
  }

  void add(ActivationStatistics& statistics, const Layer& layer, const Array& values) const {
    if (values.element_count() == 0) return;
    if (values.shape().empty() || values.shape().back() != layer.size())
      throw Error(ErrorKind::InvalidModel, options_.file.string() + ": " + quote_json(layer.inputs.front()) + ", " +
                                               shape_to_string(values.shape()) + ", cannot be multiplied with " +
                                               quote_json(layer.weights.front()->weight));
    const Array floats = materialize(cast(from_array(values), DataType::Float32));
    statistics.add(floats.values<float>());
  }

  void solve(const Layer& layer, ActivationStatistics statistics) {
    check_finite(layer, statistics);
    if (options_.config.algorithm == WeightAlgorithm::Gptq) {
      solve_by_gptq(layer, std::move(statistics));
    } else {
      solve_by_awq(layer, statistics);
    }
  }

  void solve_by_gptq(const Layer& layer, ActivationStatistics statistics) {
    const GptqConfig& config = options_.config.gptq;
    const std::optional<GptqFactor> factor = factor_activations(std::move(statistics), config);
    if (!factor) {
      throw Error(ErrorKind::InvalidArgument, "the inputs of " + quote_json(layer.weights.front()->nodes.front()) +
                                                  " depend on each other too closely for percdamp " +
                                                  std::to_string(config.percdamp) +
                                                  ": give a larger one, or more samples");
    }
    for (QuantizedEntry* entry : layer.weights) {
      show_next_weight();
      entry->quantized.set_solved(solve_gptq(entry->quantized.weight(), entry->quantized.settings(), *factor, config));
    }
  }

  void solve_by_awq(const Layer& layer, const ActivationStatistics& statistics) {
    const AwqConfig& config = options_.config.awq;
    std::vector<AwqWeight> weights;
    bool is_looked_up = false;
    for (const QuantizedEntry* entry : layer.weights) {
      std::vector<std::string> names = entry->nodes;
      names.push_back(entry->weight);
      weights.push_back({.weight = entry->quantized.weight(),
                         .settings = entry->quantized.settings(),
                         .is_clipped = config.auto_clip && is_clipped_by_awq(names)});
      is_looked_up = is_looked_up || entry->is_looked_up;
    }
    // Rows that are looked up would come out scaled.
    std::vector<float> scales;
    if (config.auto_scale && !is_looked_up) scales = search_awq_scales(weights, statistics);
    // The power 0: nothing is to be divided.
    if (std::all_of(scales.begin(), scales.end(), [](float scale) { return scale == 1.0F; })) scales.clear();
    DividedInputs divided{.values = layer.inputs, .weights = {}, .divisors = scales};
    for (std::size_t i = 0; i < weights.size(); ++i) {
      show_next_weight();
      layer.weights[i]->quantized.set_solved(solve_awq(weights[i], scales, statistics));
      divided.weights.push_back(layer.weights[i]->packed);
    }
    if (!scales.empty()) divided_.push_back(std::move(divided));
  }

  void show_next_weight() { show("Quantizing", solved_++, weights_); }

  void check_finite(const Layer& layer, const ActivationStatistics& statistics) const {
    if (statistics.is_finite()) return;
    throw Error(
        ErrorKind::InvalidModel,
        options_.file.string() + ": what node " + quote_json(layer.weights.front()->nodes.front()) +
            " multiplies holds infinities or NaN for the calibration data. Exclude the node, or look at the data");
  }

  void show(const std::string& what, std::uint64_t done, std::uint64_t total) const {
    if (options_.progress) options_.progress(what + " " + options_.file.filename().string(), done, total);
  }

  const SolveOptions& options_;
  std::vector<Layer> layers_;
  CalibrationData data_;
  AugmentedModel augmented_;
  std::uint64_t weights_ = 0;
  std::uint64_t solved_ = 0;
  std::vector<DividedInputs> divided_;
};

}  // namespace

std::vector<DividedInputs> solve_weights(const onnx::Model& model, std::span<QuantizedEntry> entries,
                                         const SolveOptions& options) {
  std::vector<Layer> layers = find_layers(entries);
  if (layers.empty()) return {};
  return WeightSolver(model, std::move(layers), options).run();
}

}  // namespace onnxport::quantization
