#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/array.h"
#include "onnxport/error.h"

/// 8-bit quantization of ONNX models, with the names and options that Optimum has in Python.
namespace onnxport {

enum class QuantType { QInt8, QUInt8 };
/// QOperator: operators of their own (MatMulInteger, QLinearMatMul); QDQ: QuantizeLinear and DequantizeLinear around
/// the operators as they were, which a runtime fuses.
enum class QuantFormat { QOperator, QDQ };
/// IntegerOps: activations are quantized while the model runs; QLinearOps: by ranges that calibration has found.
enum class QuantizationMode { IntegerOps, QLinearOps };
enum class CalibrationMethod { MinMax, Entropy, Percentile };

/// Optimum's QuantizationConfig. Names of nodes and operators that the model or the mode does not have are errors.
struct QuantizationConfig {
  bool is_static = false;
  QuantFormat format = QuantFormat::QOperator;
  QuantizationMode mode = QuantizationMode::IntegerOps;
  QuantType activations_dtype = QuantType::QUInt8;
  bool activations_symmetric = false;
  QuantType weights_dtype = QuantType::QInt8;
  bool weights_symmetric = true;
  bool per_channel = false;                      ///< a scale for each column of a matrix instead of one for all
  bool reduce_range = false;                     ///< 7 bits, for processors with AVX2 or AVX-512 but without VNNI
  std::vector<std::string> nodes_to_quantize{};  ///< all if empty
  std::vector<std::string> nodes_to_exclude{};
  std::vector<std::string> operators_to_quantize{};  ///< quantizable_operators() if empty
  bool qdq_add_pair_to_weight = false;  ///< weights stay float32, behind QuantizeLinear and DequantizeLinear
  bool qdq_dedicated_pair = false;      ///< a pair for each node that reads a value
  std::map<std::string, int> qdq_op_type_per_channel_support_to_axis{{"MatMul", 1}};
};

/// The operators that a static or dynamic quantization in this format can quantize, in Optimum's order. A Gemm with a
/// product and a sum only (alpha and beta 1, A not transposed) counts as the MatMul and the Add that it becomes.
const std::vector<std::string>& quantizable_operators(bool is_static, QuantFormat format);

/// The arguments that all presets of AutoQuantizationConfig take.
struct QuantizationPreset {
  bool is_static = false;
  bool use_symmetric_activations = false;
  bool use_symmetric_weights = true;
  bool per_channel = true;
  bool reduce_range = false;  ///< avx2 and avx512 only; the others ignore it
  std::vector<std::string> nodes_to_quantize{};
  std::vector<std::string> nodes_to_exclude{};
  std::vector<std::string> operators_to_quantize{};
};

/// Configurations for a kind of hardware.
struct AutoQuantizationConfig {
  static QuantizationConfig arm64(const QuantizationPreset& preset = {});
  static QuantizationConfig avx2(const QuantizationPreset& preset = {});
  static QuantizationConfig avx512(const QuantizationPreset& preset = {});
  static QuantizationConfig avx512_vnni(const QuantizationPreset& preset = {});
  static QuantizationConfig ppc64le(const QuantizationPreset& preset = {});
  /// Static, QDQ and symmetric, with pairs as TensorRT wants them. Takes no symmetries of the preset.
  static QuantizationConfig tensorrt(const QuantizationPreset& preset = {});
};

/// The quantization of an ort_config.json, Optimum's or ours. Throws Error(InvalidArgument): no such file, no
/// quantization in it, unknown members and values (nearest shown).
QuantizationConfig quantization_config_from_file(const std::filesystem::path& ort_config);

/// How much of a weight quantization has lost: the dequantized weight against the real one.
struct QuantizationError {
  std::string file;     ///< "model.onnx"
  std::string node;     ///< "/encoder/layer.0/attention/self/query/Gemm"
  std::string op_type;  ///< of the node as it was
  std::string tensor;   ///< name of the weight
  std::uint64_t elements = 0;
  double sqnr = 0;       ///< 10 log10(sum of x^2 / sum of (x - x')^2), in decibels; infinite without an error
  double max_error = 0;  ///< largest |x - x'|
  double cosine = 0;     ///< of the angle between x and x'; 1 if both are zero
};

/// What became of a directory of models.
struct QuantizationResult {
  struct Model {
    std::filesystem::path source;
    std::filesystem::path path;
    std::uint64_t source_bytes = 0;  ///< with external data
    std::uint64_t bytes = 0;
    std::map<std::string, int> quantized_nodes;  ///< operator to number of nodes that were quantized
  };
  std::vector<Model> models;
  std::vector<std::filesystem::path> files;  ///< all that was written
  std::vector<QuantizationError> errors;     ///< if asked for; a line for each quantized weight
  std::vector<std::string> warnings;
};

struct QuantizeOptions {
  std::filesystem::path model;   ///< directory of ONNX models, or one ONNX file
  std::filesystem::path output;  ///< directory, created
  QuantizationConfig config{};
  std::string file_suffix = "quantized";
  std::vector<std::string> file_names{};  ///< all ONNX files of the directory if empty
  bool use_external_data_format = false;  ///< Optimum's name: weights in a file of their own also below 2 GB
  bool statistics = false;                ///< compute QuantizationResult::errors
  std::function<void(std::string_view line)> warn{};
  std::function<void(std::string_view stage, std::uint64_t done, std::uint64_t total)> progress{};
};

/// Quantizes all models of a directory, as `optimum-cli onnxruntime quantize` does: model.onnx becomes
/// model_quantized.onnx beside config.json, ort_config.json and the tokenizer's files. Weights are streamed. The
/// branches of an If (merged decoders) are quantized, too, and share their weights as before.
///
/// Throws Error(InvalidArgument): a configuration that contradicts itself, unknown operators or nodes (nearest shown),
/// nothing to quantize, static without calibration, output equal to input; Error(InvalidModel): damaged models, missing
/// external data, an already quantized model, weights with NaN; Error(OutputFailed). The output is then as it was.
QuantizationResult quantize_models(const QuantizeOptions& options);

}  // namespace onnxport
