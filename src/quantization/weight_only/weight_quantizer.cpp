#include "onnxport/weight_quantizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "core/nearest.h"
#include "export/rewrite.h"
#include "onnx/reader.h"
#include "quantization/weight_only/calibrated_weights.h"
#include "quantization/weight_only/weight_graph.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using quantization::matches_pattern;
using quantization::QuantizedEntry;
using quantization::WeightNode;

constexpr std::array kBits = {2, 4, 8};
constexpr std::array<std::int64_t, 5> kBlockSizes = {16, 32, 64, 128, 256};
constexpr int kHighestAccuracyLevel = 4;

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

template <typename Values, typename Value>
bool is_one_of(const Values& values, const Value& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

void check_bits(int bits, const std::string& what) {
  if (!is_one_of(kBits, bits)) refuse(what + " are " + std::to_string(bits) + " bits; there are 2, 4 and 8");
}

void check_calibration(const WeightQuantizationConfig& config) {
  if (!quantization::is_calibrated(config.algorithm)) return;
  if (!config.calibration)
    refuse(
        "the algorithm needs calibration data: it looks at what weights are multiplied with. Give texts, or other "
        "inputs of the model");
  if (!(config.gptq.percdamp > 0) || !std::isfinite(config.gptq.percdamp))
    refuse("percdamp is " + std::to_string(config.gptq.percdamp) + "; it must be a number above 0, such as 0.01");
}

void check_floats(const WeightQuantizationConfig& config) {
  if (!config.is_float) return;
  if (config.format != QuantFormat::QDQ) refuse("weights of floats are there in the format QDQ only");
  if (!config.is_symmetric) refuse("weights of floats have no zero points");
  if (config.algorithm != WeightAlgorithm::RoundToNearest)
    refuse("weights of floats are rounded to nearest: the other algorithms find integers");
}

void check_qdq(const WeightQuantizationConfig& config) {
  if (config.format != QuantFormat::QDQ) return;
  const auto refuse_bits = [](int bits) {
    if (bits != 4 && bits != 8)
      refuse("the format QDQ has no weights of " + std::to_string(bits) +
             " bits: DequantizeLinear takes integers of 4 and 8. QOperator has them");
  };
  refuse_bits(config.bits);
  for (const auto& [pattern, bits] : config.bits_for) refuse_bits(bits);
  if (config.algorithm == WeightAlgorithm::HalfQuadratic)
    refuse(
        "the algorithm's zero points are no integers, and DequantizeLinear takes no others: use the format QOperator");
  if (config.accuracy_level != 0)
    refuse("the accuracy level is one of MatMulNBits, which the format QDQ does not have: use QOperator");
  if (is_one_of(config.op_types, std::string("Gather")))
    refuse(
        "the format QDQ has no Gather: a table that is dequantized before its rows are looked up takes the memory of "
        "the one of floats. Use QOperator for tables");
}

void check_config(const WeightQuantizationConfig& config) {
  check_bits(config.bits, "weights");
  for (const auto& [pattern, bits] : config.bits_for) check_bits(bits, "weights of " + quote_json(pattern));
  if (!is_one_of(kBlockSizes, config.block_size)) {
    refuse("the block size is " + std::to_string(config.block_size) +
           "; ONNX Runtime has kernels for 16, 32, 64, 128 and 256");
  }
  if (config.accuracy_level < 0 || config.accuracy_level > kHighestAccuracyLevel)
    refuse("the accuracy level is " + std::to_string(config.accuracy_level) + "; there are 0 to 4");
  check_calibration(config);
  check_floats(config);
  check_qdq(config);
  const std::vector<std::string> types = {"MatMul", "Gemm", "Gather"};
  if (config.op_types.empty()) refuse("no operator type is given; there are MatMul, Gemm and Gather");
  for (const std::string& type : config.op_types) {
    if (is_one_of(types, type)) continue;
    refuse("operator type " + quote_json(type) + " has no weights that can be quantized" +
           describe_nearest(type, types) + "; there are MatMul, Gemm and Gather");
  }
}

/// Nodes of all models together.
struct Names {
  std::vector<WeightNode> weight_nodes;
  std::set<std::string> all_nodes;
};

Names read_names(const std::vector<fs::path>& files) {
  Names names;
  for (const fs::path& file : files) {
    const onnx::Model model = onnx::read_model(file);
    for (WeightNode& node : quantization::find_weight_nodes(model)) names.weight_nodes.push_back(std::move(node));
    onnx::for_each_graph(model.graph, [&](const onnx::Graph& graph) {
      for (const onnx::Node& node : graph.nodes) names.all_nodes.insert(node.name);
    });
  }
  return names;
}

void check_patterns(const WeightQuantizationConfig& config, const Names& names) {
  std::vector<std::string> known;
  for (const WeightNode& node : names.weight_nodes) known.push_back(node.node);
  for (const std::string& pattern : config.nodes_to_exclude) {
    const auto matches = [&](const std::string& name) { return matches_pattern(name, pattern); };
    if (std::any_of(names.all_nodes.begin(), names.all_nodes.end(), matches)) continue;
    if (std::any_of(known.begin(), known.end(), matches)) continue;
    refuse("no node is named " + quote_json(pattern) + describe_nearest(pattern, known));
  }
  for (const auto& [pattern, bits] : config.bits_for) {
    const std::string anywhere = "*" + pattern + "*";
    if (std::any_of(names.weight_nodes.begin(), names.weight_nodes.end(), [&](const WeightNode& node) {
          return matches_pattern(node.node, anywhere) || matches_pattern(node.weight, anywhere);
        }))
      continue;
    refuse("no node with a weight matches " + quote_json(pattern) + describe_nearest(pattern, known));
  }
}

/// The configuration without names that stand for nothing, with the bits that the algorithm chooses before the user's.
WeightQuantizationConfig resolve(const WeightQuantizationConfig& config, const std::vector<fs::path>& files) {
  WeightQuantizationConfig resolved = config;
  const bool is_mixed = config.algorithm == WeightAlgorithm::KQuantMixed;
  if (config.nodes_to_exclude.empty() && config.bits_for.empty() && !is_mixed) return resolved;
  const Names names = read_names(files);
  check_patterns(config, names);
  if (is_mixed) {
    resolved.bits_for = quantization::k_quant_mixed_bits(names.weight_nodes);
    resolved.bits_for.insert(resolved.bits_for.end(), config.bits_for.begin(), config.bits_for.end());
  }
  return resolved;
}

std::uint64_t quantized_bytes(const QuantizedEntry& entry) {
  const bool is_symmetric = entry.quantized.settings().block.is_symmetric;
  return entry.quantized.packed().byte_size() + entry.quantized.scales().byte_size() +
         (is_symmetric ? 0 : entry.quantized.zero_points().byte_size());
}

QuantizedWeightReport report(const fs::path& file, const QuantizedEntry& entry) {
  const quantization::BlockSettings& block = entry.quantized.settings().block;
  const quantization::WeightError error = entry.quantized.error();
  if (!std::isfinite(error.noise)) {
    throw Error(ErrorKind::InvalidModel,
                file.string() + ": weight " + quote_json(entry.weight) +
                    " holds infinities or NaN, which no integer stands for. Exclude its node, " +
                    quote_json(entry.nodes.front()) + ", or repair the checkpoint");
  }
  QuantizedWeightReport result{.file = file,
                               .weight = entry.weight,
                               .nodes = entry.nodes,
                               .shape = entry.shape,
                               .bits = block.bits,
                               .block_size = block.block_size,
                               .is_symmetric = block.is_symmetric,
                               .source_bytes = entry.source_bytes,
                               .bytes = quantized_bytes(entry)};
  result.sqnr = error.noise > 0 ? 10 * std::log10(error.signal / error.noise) : std::numeric_limits<double>::infinity();
  result.maximum_error = error.maximum;
  // ŵ = w - e, so that w·ŵ = w·w - w·e and ŵ·ŵ = w·w - 2 w·e + e·e.
  const double product = error.signal - error.product;
  const double length = std::sqrt(error.signal) * std::sqrt(std::max(0.0, product - error.product + error.noise));
  result.cosine = error.noise == 0 ? 1.0 : length > 0 ? product / length : 0.0;
  return result;
}

/// Quantizes one model after the other and remembers what became of each weight.
class WeightQuantizer {
 public:
  explicit WeightQuantizer(const WeightQuantizationOptions& options)
      : options_(options), config_(resolve(options.config, find_onnx_files(options.model, options.file_names))) {}

  WeightQuantizationResult run() {
    RewriteOptions rewrite;
    rewrite.model = options_.model;
    rewrite.output = options_.output;
    rewrite.suffix = options_.suffix;
    rewrite.file_names = options_.file_names;
    rewrite.external_data = options_.external_data;
    rewrite.progress = options_.progress;
    // Errors of weights are known when the models are written, and nothing is published before.
    rewrite.documents = [this] {
      finish();
      return std::vector<std::pair<std::string, Json>>{};
    };
    if (options_.accept) {
      rewrite.accept = [this](const std::vector<RewrittenModel>& staged) {
        set_models(staged);
        return options_.accept(result_);
      };
    }
    const RewriteResult written =
        rewrite_models(rewrite, [&](onnx::Model& model, const fs::path& file) { edit(model, file); });
    set_models(written.models);
    result_.files = written.files;
    return std::move(result_);
  }

 private:
  void set_models(const std::vector<RewrittenModel>& models) {
    result_.models.clear();
    for (const RewrittenModel& model : models)
      result_.models.push_back({model.source, model.path, model.source_bytes, model.bytes});
  }

  void edit(onnx::Model& model, const fs::path& file) {
    std::optional<onnx::Model> original;
    if (quantization::is_calibrated(config_.algorithm)) original = model;
    quantization::QuantizedGraph graph = [&] {
      try {
        return quantization::quantize_graph(model, config_, [&](std::uint64_t done, std::uint64_t total) {
          // What is computed when it is written is as good as done here.
          if (options_.progress && config_.algorithm == WeightAlgorithm::HalfQuadratic)
            options_.progress("Quantizing " + file.filename().string(), done, total);
        });
      } catch (const Error& error) {
        throw Error(error.kind(), file.string() + ": " + error.what());
      }
    }();
    if (original)
      quantization::divide_inputs(
          model, quantization::solve_weights(*original, graph.weights,
                                             {.file = file, .config = config_, .progress = options_.progress}));
    for (QuantizedEntry& entry : graph.weights) entries_.emplace_back(file, std::move(entry));
    for (quantization::SkippedEntry& node : graph.skipped)
      result_.skipped.push_back({file, std::move(node.node), std::move(node.op_type), std::move(node.reason)});
    // Several models of one directory need not all have weights, but one must.
    files_.push_back(file);
  }

  void finish() {
    if (entries_.empty()) {
      std::string message = files_.front().string() + ": there is no weight to quantize";
      if (!result_.skipped.empty()) {
        const SkippedNode& node = result_.skipped.front();
        message += "; node " + quote_json(node.node) + ", a " + node.op_type + ", stays because " + node.reason;
      }
      throw Error(ErrorKind::InvalidModel, message);
    }
    for (const auto& [file, entry] : entries_) result_.weights.push_back(report(file, entry));
  }

  const WeightQuantizationOptions& options_;
  WeightQuantizationConfig config_;
  std::vector<fs::path> files_;
  std::vector<std::pair<fs::path, QuantizedEntry>> entries_;
  WeightQuantizationResult result_;
};

}  // namespace

WeightQuantizationResult quantize_weights(const WeightQuantizationOptions& options) {
  check_config(options.config);
  return WeightQuantizer(options).run();
}

}  // namespace onnxport
