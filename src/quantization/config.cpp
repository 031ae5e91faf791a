// Presets and checks as in optimum/onnxruntime/configuration.py.
#include "quantization/config.h"

#include <algorithm>
#include <span>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "core/nearest.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::InvalidArgument, message); }

// onnxruntime/quantization/registry.py
const std::vector<std::string> integer_operators{
    "Conv", "MatMul", "Attention", "LSTM", "Gather", "Transpose", "EmbedLayerNormalization"};
const std::vector<std::string> qlinear_operators{"ArgMax",    "Conv",
                                                 "Gemm",      "MatMul",
                                                 "Add",       "Mul",
                                                 "Relu",      "Clip",
                                                 "LeakyRelu", "Sigmoid",
                                                 "MaxPool",   "GlobalAveragePool",
                                                 "Split",     "Pad",
                                                 "Reshape",   "Squeeze",
                                                 "Unsqueeze", "Flatten",
                                                 "Resize",    "AveragePool",
                                                 "Concat",    "Softmax",
                                                 "Where",     "Gather",
                                                 "Transpose", "EmbedLayerNormalization"};
const std::vector<std::string> qdq_operators{"Conv",
                                             "ConvTranspose",
                                             "Gemm",
                                             "Clip",
                                             "Relu",
                                             "Reshape",
                                             "Transpose",
                                             "Squeeze",
                                             "Unsqueeze",
                                             "Flatten",
                                             "Resize",
                                             "MaxPool",
                                             "AveragePool",
                                             "Slice",
                                             "Pad",
                                             "MatMul",
                                             "Split",
                                             "Gather",
                                             "GatherElements",
                                             "Where",
                                             "InstanceNormalization",
                                             "LayerNormalization",
                                             "BatchNormalization",
                                             "TopK",
                                             "CumSum"};

QuantizationConfig preset_config(const QuantizationPreset& preset, QuantType weights, bool reduce_range) {
  QuantizationConfig config;
  config.is_static = preset.is_static;
  config.format = preset.is_static ? QuantFormat::QDQ : QuantFormat::QOperator;
  config.mode = preset.is_static ? QuantizationMode::QLinearOps : QuantizationMode::IntegerOps;
  config.activations_symmetric = preset.use_symmetric_activations;
  config.weights_dtype = weights;
  config.weights_symmetric = preset.use_symmetric_weights;
  config.per_channel = preset.per_channel;
  config.reduce_range = reduce_range;
  config.nodes_to_quantize = preset.nodes_to_quantize;
  config.nodes_to_exclude = preset.nodes_to_exclude;
  config.operators_to_quantize = preset.operators_to_quantize;
  return config;
}

// ---- ort_config.json ------------------------------------------------------------------------------------------------

template <typename Value>
using Names = std::vector<std::pair<std::string, Value>>;

const Names<QuantType> type_names{{"QInt8", QuantType::QInt8}, {"QUInt8", QuantType::QUInt8}};
const Names<QuantFormat> format_names{{"QOperator", QuantFormat::QOperator}, {"QDQ", QuantFormat::QDQ}};
const Names<QuantizationMode> mode_names{{"IntegerOps", QuantizationMode::IntegerOps},
                                         {"QLinearOps", QuantizationMode::QLinearOps}};

template <typename Value>
std::string name_of(Value value, const Names<Value>& names) {
  return std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.second == value; })->first;
}

Json strings(const std::vector<std::string>& values) { return Json::Array(values.begin(), values.end()); }

/// Reads the members of "quantization", and names the file and the member in its errors.
class ConfigReader {
 public:
  ConfigReader(const Json& members, std::string origin) : members_(members), origin_(std::move(origin)) {}

  void read(const char* name, bool& target) {
    if (const Json* value = member(name)) {
      if (!value->is_boolean()) fail_member(name, "true or false");
      target = value->boolean();
    }
  }
  void read(const char* name, std::vector<std::string>& target) {
    const Json* value = member(name);
    if (value == nullptr) return;
    const auto is_string = [](const Json& element) { return element.is_string(); };
    if (!value->is_array() || !std::all_of(value->array().begin(), value->array().end(), is_string))
      fail_member(name, "an array of strings");
    target.clear();
    for (const Json& element : value->array()) target.push_back(element.string());
  }
  void read(const char* name, std::map<std::string, int>& target) {
    const Json* value = member(name);
    if (value == nullptr) return;
    if (!value->is_object()) fail_member(name, "an object of integers");
    target.clear();
    for (const auto& [key, axis] : value->object()) {
      if (!axis.is_integer() || axis.integer() < -64 || axis.integer() > 64) fail_member(name, "an object of axes");
      target[key] = static_cast<int>(axis.integer());
    }
  }
  template <typename Value>
  void read(const char* name, Value& target, const Names<Value>& names) {
    const Json* value = member(name);
    if (value == nullptr) return;
    std::vector<std::string> words;
    for (const auto& [word, meaning] : names) {
      if (value->is_string() && value->string() == word) {
        target = meaning;
        return;
      }
      words.push_back(word);
    }
    fail_member(name, words.front() + " or " + words.back());
  }
  void refuse_others() const {
    for (const auto& [name, value] : members_.object()) {
      if (std::find(known_.begin(), known_.end(), name) == known_.end())
        fail(origin_ + ": quantization has an unknown member " + quote_json(name) + describe_nearest(name, known_));
    }
  }

 private:
  const Json* member(const char* name) {
    known_.emplace_back(name);
    const Json* value = members_.find(name);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  [[noreturn]] void fail_member(const char* name, const std::string& expected) const {
    fail(origin_ + ": " + name + " of quantization is " + dump_json(*members_.find(name)) + ", not " + expected);
  }

  const Json& members_;
  std::string origin_;
  std::vector<std::string> known_;
};

}  // namespace

const std::vector<std::string>& quantizable_operators(bool is_static, QuantFormat format) {
  if (!is_static) return integer_operators;
  return format == QuantFormat::QDQ ? qdq_operators : qlinear_operators;
}

// u8/s8 is faster than u8/u8 on lower-end ARM64 and the same on others.
QuantizationConfig AutoQuantizationConfig::arm64(const QuantizationPreset& preset) {
  return preset_config(preset, QuantType::QInt8, false);
}
// u8/u8: the instructions of AVX2 for u8/s8 saturate.
QuantizationConfig AutoQuantizationConfig::avx2(const QuantizationPreset& preset) {
  return preset_config(preset, QuantType::QUInt8, preset.reduce_range);
}
QuantizationConfig AutoQuantizationConfig::avx512(const QuantizationPreset& preset) {
  return preset_config(preset, QuantType::QInt8, preset.reduce_range);
}
QuantizationConfig AutoQuantizationConfig::avx512_vnni(const QuantizationPreset& preset) {
  return preset_config(preset, QuantType::QInt8, false);
}
QuantizationConfig AutoQuantizationConfig::ppc64le(const QuantizationPreset& preset) {
  return preset_config(preset, QuantType::QInt8, false);
}
QuantizationConfig AutoQuantizationConfig::tensorrt(const QuantizationPreset& preset) {
  QuantizationPreset symmetric = preset;
  symmetric.is_static = true;
  symmetric.use_symmetric_activations = true;
  symmetric.use_symmetric_weights = true;
  QuantizationConfig config = preset_config(symmetric, QuantType::QInt8, false);
  config.activations_dtype = QuantType::QInt8;
  config.qdq_add_pair_to_weight = true;
  config.qdq_dedicated_pair = true;
  return config;
}

CalibrationConfig AutoCalibrationConfig::minmax(std::filesystem::path data, bool moving_average,
                                                double averaging_constant) {
  CalibrationConfig config;
  config.data = std::move(data);
  config.moving_average = moving_average;
  config.averaging_constant = averaging_constant;
  return config;
}
CalibrationConfig AutoCalibrationConfig::entropy(std::filesystem::path data, std::int64_t num_bins,
                                                 std::int64_t num_quantized_bins) {
  CalibrationConfig config;
  config.method = CalibrationMethod::Entropy;
  config.data = std::move(data);
  config.num_bins = num_bins;
  config.num_quantized_bins = num_quantized_bins;
  return config;
}
CalibrationConfig AutoCalibrationConfig::percentiles(std::filesystem::path data, std::int64_t num_bins,
                                                     double percentile) {
  CalibrationConfig config;
  config.method = CalibrationMethod::Percentile;
  config.data = std::move(data);
  config.num_bins = num_bins;
  config.percentile = percentile;
  return config;
}

QuantizationConfig quantization_config_from_file(const std::filesystem::path& ort_config) {
  std::error_code error;
  const std::filesystem::path file =
      std::filesystem::is_directory(ort_config, error) ? ort_config / "ort_config.json" : ort_config;
  if (!std::filesystem::is_regular_file(file, error)) fail("there is no file " + file.string());
  const Json json = parse_json(read_text_file(file), file.string());
  const Json* members = json.find("quantization");
  if (members == nullptr || !members->is_object() || members->object().empty())
    fail(file.string() + " has no \"quantization\": an object with the members of QuantizationConfig is needed");
  QuantizationConfig config;
  ConfigReader reader(*members, file.string());
  if (members->find("is_static") == nullptr) fail(file.string() + ": quantization lacks is_static");
  reader.read("is_static", config.is_static);
  config.format = config.is_static ? QuantFormat::QDQ : QuantFormat::QOperator;
  config.mode = config.is_static ? QuantizationMode::QLinearOps : QuantizationMode::IntegerOps;
  reader.read("format", config.format, format_names);
  reader.read("mode", config.mode, mode_names);
  reader.read("activations_dtype", config.activations_dtype, type_names);
  reader.read("activations_symmetric", config.activations_symmetric);
  reader.read("weights_dtype", config.weights_dtype, type_names);
  reader.read("weights_symmetric", config.weights_symmetric);
  reader.read("per_channel", config.per_channel);
  reader.read("reduce_range", config.reduce_range);
  reader.read("nodes_to_quantize", config.nodes_to_quantize);
  reader.read("nodes_to_exclude", config.nodes_to_exclude);
  reader.read("operators_to_quantize", config.operators_to_quantize);
  reader.read("qdq_add_pair_to_weight", config.qdq_add_pair_to_weight);
  reader.read("qdq_dedicated_pair", config.qdq_dedicated_pair);
  reader.read("qdq_op_type_per_channel_support_to_axis", config.qdq_op_type_per_channel_support_to_axis);
  reader.refuse_others();
  return config;
}

namespace quantization {

QuantizationConfig checked(QuantizationConfig config) {
  if (!config.is_static && config.mode == QuantizationMode::QLinearOps)
    fail("dynamic quantization has no mode QLinearOps: use IntegerOps, or quantize statically with calibration");
  if (config.is_static && config.mode == QuantizationMode::IntegerOps)
    fail("static quantization has no mode IntegerOps: use QLinearOps, or quantize dynamically");
  if (!config.is_static && config.activations_dtype == QuantType::QInt8)
    fail("dynamic quantization needs activations_dtype QUInt8, not QInt8");
  if (config.activations_dtype == QuantType::QInt8 && config.weights_dtype == QuantType::QUInt8)
    fail("ONNX Runtime has no activations_dtype QInt8 with weights_dtype QUInt8");
  std::vector<std::string> known = quantizable_operators(config.is_static, config.format);
  if (config.operators_to_quantize.empty()) config.operators_to_quantize = known;
  if (!config.is_static) known.emplace_back("Gemm");
  for (const std::string& name : config.operators_to_quantize) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      fail(std::string(config.is_static ? "static" : "dynamic") + " quantization does not know the operator " +
           quote_json(name) + describe_nearest(name, known));
    }
  }
  return config;
}

Json::Object to_json(const QuantizationConfig& config) {
  Json::Object axes;
  for (const auto& [operator_name, axis] : config.qdq_op_type_per_channel_support_to_axis)
    axes.emplace_back(operator_name, axis);
  return {{"is_static", config.is_static},
          {"format", name_of(config.format, format_names)},
          {"mode", name_of(config.mode, mode_names)},
          {"activations_dtype", name_of(config.activations_dtype, type_names)},
          {"activations_symmetric", config.activations_symmetric},
          {"weights_dtype", name_of(config.weights_dtype, type_names)},
          {"weights_symmetric", config.weights_symmetric},
          {"per_channel", config.per_channel},
          {"reduce_range", config.reduce_range},
          {"nodes_to_quantize", strings(config.nodes_to_quantize)},
          {"nodes_to_exclude", strings(config.nodes_to_exclude)},
          {"operators_to_quantize", strings(config.operators_to_quantize)},
          {"qdq_add_pair_to_weight", config.qdq_add_pair_to_weight},
          {"qdq_dedicated_pair", config.qdq_dedicated_pair},
          {"qdq_op_type_per_channel_support_to_axis", std::move(axes)}};
}

}  // namespace quantization
}  // namespace onnxport
