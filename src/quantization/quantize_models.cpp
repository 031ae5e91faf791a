#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "export/ort_config.h"
#include "export/rewrite.h"
#include "onnx/external_data.h"
#include "onnx/node_names.h"
#include "onnx/reader.h"
#include "onnx/unique_names.h"
#include "onnxport/error.h"
#include "onnxport/json.h"
#include "onnxport/quantizer.h"
#include "quantization/calibration.h"
#include "quantization/config.h"
#include "quantization/graph_quantizer.h"
#include "quantization/qdq.h"
#include "quantization/smooth_quant.h"
#include "quantization/statistics.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using quantization::ModelOutcome;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

void check_node_names(const QuantizationConfig& config, const std::vector<fs::path>& files) {
  if (config.nodes_to_quantize.empty() && config.nodes_to_exclude.empty()) return;
  std::set<std::string> known;
  onnx::for_each_node(files, [&](const onnx::Node& node) {
    if (node.name.empty()) return;
    known.insert(node.name);
    if (node.op_type == "Gemm") known.insert(node.name + "_MatMul");  // what it becomes
  });
  onnx::check_known(config.nodes_to_quantize, known, "node is called", files);
  onnx::check_known(config.nodes_to_exclude, known, "node is called", files);
}

/// "TextVectorizer of ai.onnx.contrib", or "" if all operators are ONNX's and ONNX Runtime's own.
std::string custom_operator(const onnx::Model& model) {
  static const std::set<std::string, std::less<>> known{"",
                                                        "ai.onnx",
                                                        "ai.onnx.ml",
                                                        "com.microsoft",
                                                        "com.microsoft.nchwc",
                                                        "ai.onnx.training",
                                                        "ai.onnx.preview.training",
                                                        "com.ms.internal.nhwc"};
  std::string found;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes)
      if (found.empty() && !known.contains(node.domain)) found = node.op_type + " of " + node.domain;
  });
  return found;
}

bool has_branches(const onnx::Model& model) {
  return std::any_of(model.graph.nodes.begin(), model.graph.nodes.end(),
                     [](const onnx::Node& node) { return node.op_type == "If"; });
}

/// Why a model without a float32 node to quantize has none.
std::string reason(const onnx::Model& model) {
  std::set<std::string_view> types;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Initializer& initializer : graph.initializers)
      if (is_floating_point(initializer.source.data_type)) types.insert(to_string(initializer.source.data_type));
  });
  if (!types.contains("float32") && !types.empty()) {
    return ": its weights are " + std::string(*types.begin()) +
           ", and only float32 is quantized. Export it again with --dtype fp32";
  }
  return "";
}

CalibrationDataOptions data_of(const CalibrationConfig& config, const fs::path& file) {
  return {.file = config.data,
          .model_directory = file.parent_path(),
          .num_samples = config.num_samples,
          .max_length = config.max_length};
}

CalibrationRanges calibrated(const onnx::Model& model, const fs::path& file, const CalibrationConfig& config,
                             const std::vector<std::string>& operators, bool symmetric,
                             const std::function<void(std::uint64_t)>& progress = {}) {
  CalibrationRanges ranges;
  for (const auto& [name, range] :
       quantization::calibrate(model, file, config, data_of(config, file), operators, symmetric, progress))
    ranges[name] = {range.minimum, range.maximum};
  return ranges;
}

quantization::ActivationRanges as_ranges(const CalibrationRanges& given) {
  quantization::ActivationRanges ranges;
  for (const auto& [name, range] : given) ranges[name] = {range.first, range.second};
  return ranges;
}

/// Names of the nodes that read each initializer. A Gemm's transposed weight is one of its own in dynamic quantization.
std::map<std::string, std::vector<std::string>> readers(const onnx::Model& model, bool is_static) {
  std::map<std::string, std::vector<std::string>> names;
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Initializer& initializer : graph.initializers) names[initializer.name];
  });
  onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
    for (const onnx::Node& node : graph.nodes) {
      const bool is_transposed =
          !is_static && node.op_type == "Gemm" && onnx::integer_attribute(node, "transB", 0) != 0;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.name.empty() || !names.contains(node.inputs[i])) continue;
        names[node.inputs[i] + (is_transposed && i == 1 ? "_Transposed" : "")].push_back(node.name);
      }
    }
  });
  return names;
}

class Quantization {
 public:
  explicit Quantization(const QuantizeOptions& options)
      : options_(options), config_(quantization::checked(options.config)) {
    if (config_.is_static && !options.calibration && options.calibration_tensors_range.empty()) {
      fail(
          "static quantization needs calibration: the ranges of activations, found by running the model on data. Give "
          "calibration data, or quantize dynamically");
    }
    check_smooth_quant();
    const std::vector<fs::path> files = find_onnx_files(options.model, options.file_names);
    check_node_names(config_, files);
    if (!options.calibration_tensors_range.empty() && files.size() > 1)
      fail("calibration ranges are those of one model, and " + options.model.string() + " has several: choose one");
  }

  QuantizationResult run() {
    RewriteOptions rewrite{.model = options_.model, .output = options_.output, .suffix = options_.file_suffix};
    rewrite.file_names = options_.file_names;
    rewrite.external_data = options_.use_external_data_format;
    rewrite.progress = options_.progress;
    rewrite.documents = [this] { return documents(); };
    if (options_.accept) {
      rewrite.accept = [this](const std::vector<RewrittenModel>& staged) {
        set_models(staged);
        return options_.accept(result_);
      };
    }
    RewriteResult rewritten =
        rewrite_models(rewrite, [this](onnx::Model& model, const fs::path& file) { quantize(model, file); });
    set_models(rewritten.models);
    result_.files = std::move(rewritten.files);
    return std::move(result_);
  }

 private:
  void check_smooth_quant() const {
    if (!options_.smooth_quant) return;
    if (!config_.is_static) fail("SmoothQuant is for static quantization: it makes the ranges of activations narrower");
    if (!options_.calibration || !options_.calibration_tensors_range.empty())
      fail("SmoothQuant needs calibration data; ranges that are known are those of the model as it was");
    const double alpha = options_.smooth_quant->alpha;
    if (!(alpha >= 0 && alpha <= 1)) fail("SmoothQuant's alpha is " + std::to_string(alpha) + ", not between 0 and 1");
  }

  std::vector<std::string> smooth(onnx::Model& model, const fs::path& file) const {
    const quantization::NodeSelection selection(config_);
    const auto is_chosen = [&](const onnx::Node& node) {
      const std::string product = node.name + "_MatMul";  // of a Gemm
      return selection.contains(node.op_type, {node.name, product}) ||
             selection.contains("MatMul", {node.name, product});
    };
    const auto total = static_cast<std::uint64_t>(options_.calibration->num_samples);
    return quantization::smooth(
        model, file, *options_.smooth_quant, data_of(*options_.calibration, file), is_chosen, [&](std::uint64_t done) {
          if (options_.progress)
            options_.progress("Smoothing " + file.filename().string(), std::min(done, total), total);
        });
  }

  void set_models(const std::vector<RewrittenModel>& models) {
    result_.models.clear();
    for (std::size_t i = 0; i < models.size(); ++i)
      result_.models.push_back(
          {models[i].source, models[i].path, models[i].source_bytes, models[i].bytes, quantized_nodes_[i], ranges_[i]});
  }

  void quantize(onnx::Model& model, const fs::path& file) {
    quantization::refuse_quantized(model, file.string());
    if (const std::string name = custom_operator(model); !name.empty()) {
      if (config_.is_static && options_.calibration) {
        throw Error(ErrorKind::InvalidModel, file.string() + " has the custom operator " + name +
                                                 ", which ONNX Runtime cannot run: it cannot be calibrated. Quantize "
                                                 "it dynamically");
      }
      warn(file.filename().string() + " has the custom operator " + name +
           ": what it makes has no known type and is quantized only where a float32 weight tells it");
    }
    if (options_.progress) options_.progress("Quantizing " + file.filename().string(), 0, 1);
    QuantizationConfig config = config_;
    if (options_.smooth_quant) {
      const std::vector<std::string> added = smooth(model, file);
      config.nodes_to_exclude.insert(config.nodes_to_exclude.end(), added.begin(), added.end());
    }
    const std::string why = reason(model);
    const auto nodes = options_.statistics ? readers(model, config_.is_static) : decltype(readers(model, false))();
    if (config_.is_static) {
      if (config_.format == QuantFormat::QOperator && has_branches(model))
        throw Error(
            ErrorKind::InvalidArgument,
            file.filename().string() +
                " has branches of If, which static quantization reaches in the QDQ format only: choose that, or "
                "take models without branches (decoder_model.onnx, decoder_with_past_model.onnx)");
      onnx::make_value_names_unique(model.graph);
    }
    ranges_.push_back(config_.is_static ? find_ranges(model, file) : CalibrationRanges());
    ModelOutcome outcome = quantized(model, config);
    if (outcome.quantized_nodes.empty()) {
      ++empty_;
      last_empty_ = file.filename().string() + " has no node to quantize" + why;
    }
    if (options_.statistics) {
      for (const quantization::QuantizedWeight& weight : outcome.weights) {
        QuantizationError error = quantization::weight_error(weight);
        error.file = file.filename().string();
        if (const auto found = nodes.find(error.tensor); found != nodes.end()) {
          error.nodes = found->second;
        } else if (!error.node.empty()) {
          error.nodes = {error.node};
        }
        result_.errors.push_back(std::move(error));
      }
    }
    quantized_nodes_.push_back(std::move(outcome.quantized_nodes));
  }

  ModelOutcome quantized(onnx::Model& model, const QuantizationConfig& config) const {
    if (!config.is_static) return quantization::quantize_operators(model, config, nullptr);
    quantization::ActivationRanges ranges = as_ranges(ranges_.back());
    if (config.format == QuantFormat::QOperator) return quantization::quantize_operators(model, config, &ranges);
    return quantization::quantize_qdq(model, config, std::move(ranges));
  }

  CalibrationRanges find_ranges(const onnx::Model& model, const fs::path& file) const {
    if (!options_.calibration_tensors_range.empty()) return options_.calibration_tensors_range;
    const std::string stage = "Calibrating " + file.filename().string();
    const auto total = static_cast<std::uint64_t>(options_.calibration->num_samples);
    return calibrated(model, file, *options_.calibration, config_.operators_to_quantize,
                      config_.activations_symmetric && config_.weights_symmetric, [&](std::uint64_t done) {
                        if (options_.progress) options_.progress(stage, std::min(done, total), total);
                      });
  }

  /// Called when all models are written and nothing is published yet.
  std::vector<std::pair<std::string, Json>> documents() {
    if (empty_ == quantized_nodes_.size()) fail(last_empty_);
    if (empty_ > 0) warn(last_empty_);
    OrtConfig config;
    config.use_external_data_format = options_.use_external_data_format;
    config.quantization = quantization::to_json(config_);
    return {{"ort_config.json", to_json(std::move(config))}};
  }

  void warn(const std::string& message) {
    result_.warnings.push_back(message);
    if (options_.warn) options_.warn(message);
  }

  const QuantizeOptions& options_;
  QuantizationConfig config_;
  QuantizationResult result_;
  std::vector<std::map<std::string, int>> quantized_nodes_;
  std::vector<CalibrationRanges> ranges_;
  std::size_t empty_ = 0;
  std::string last_empty_;
};

}  // namespace

QuantizationResult quantize_models(const QuantizeOptions& options) { return Quantization(options).run(); }

// ---- ORTQuantizer ---------------------------------------------------------------------------------------------------

ORTQuantizer ORTQuantizer::from_pretrained(const fs::path& model, const std::string& file_name) {
  const std::vector<fs::path> files =
      find_onnx_files(model, file_name.empty() ? std::vector<std::string>{} : std::vector{file_name});
  if (files.size() > 1) {
    std::string names;
    for (const fs::path& file : files) names += (names.empty() ? "" : ", ") + file.filename().string();
    throw Error(ErrorKind::InvalidModel, model.string() + " has several ONNX files: choose one of " + names);
  }
  return ORTQuantizer(files.front());
}

CalibrationRanges ORTQuantizer::fit(const CalibrationConfig& calibration,
                                    const std::vector<std::string>& operators_to_quantize,
                                    bool force_symmetric_range) const {
  onnx::Model model = onnx::read_model(path_);
  onnx::check_external_data(model, path_);
  onnx::make_value_names_unique(model.graph);
  return calibrated(model, path_, calibration, operators_to_quantize, force_symmetric_range);
}

QuantizationResult ORTQuantizer::quantize(QuantizationConfig config, const fs::path& save_dir,
                                          const CalibrationRanges& calibration_tensors_range,
                                          const std::string& file_suffix, bool use_external_data_format,
                                          const QuantizationPreprocessor& preprocessor) const {
  const QuantizationPreprocessor::Nodes nodes = preprocessor.collect(path_);
  config.nodes_to_quantize.insert(config.nodes_to_quantize.end(), nodes.to_quantize.begin(), nodes.to_quantize.end());
  config.nodes_to_exclude.insert(config.nodes_to_exclude.end(), nodes.to_exclude.begin(), nodes.to_exclude.end());
  QuantizeOptions options;
  options.model = path_;
  options.output = save_dir;
  options.config = std::move(config);
  options.file_suffix = file_suffix;
  options.use_external_data_format = use_external_data_format;
  options.calibration_tensors_range = calibration_tensors_range;
  return quantize_models(options);
}

}  // namespace onnxport
