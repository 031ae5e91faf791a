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

/// How ranges of activations are found: Optimum's CalibrationConfig, and the data.
struct CalibrationConfig {
  CalibrationMethod method = CalibrationMethod::MinMax;
  std::int64_t num_bins = 2048;           ///< of the histograms, entropy and percentile
  std::int64_t num_quantized_bins = 128;  ///< entropy
  double percentile = 99.999;             ///< how much of the values a range holds
  bool moving_average = false;            ///< minmax: the mean of the samples' ranges instead of the widest
  /// Kept for Optimum's sake: its calibrator uses it only when data are given in several portions.
  double averaging_constant = 0.01;

  /// JSON lines ({"text": ...} through the directory's tokenizer, or the model's inputs by name), or a safetensors file
  /// of the model's inputs, whose first axis counts the samples. Empty: random inputs, which show that a model can be
  /// quantized, and no more.
  std::filesystem::path data{};
  std::int64_t num_samples = 100;
  std::int64_t max_length = 128;  ///< of texts, in tokens
};

/// Optimum's defaults for each method.
struct AutoCalibrationConfig {
  static CalibrationConfig minmax(std::filesystem::path data, bool moving_average = false,
                                  double averaging_constant = 0.01);
  static CalibrationConfig entropy(std::filesystem::path data, std::int64_t num_bins = 128,
                                   std::int64_t num_quantized_bins = 128);
  static CalibrationConfig percentiles(std::filesystem::path data, std::int64_t num_bins = 2048,
                                       double percentile = 99.999);
};

/// Smallest and largest element of activations, by the name of the value.
using CalibrationRanges = std::map<std::string, std::pair<float, float>>;

/// SmoothQuant (Xiao et al., 2022), the extra options SmoothQuant, SmoothQuantAlpha and SmoothQuantFolding of
/// onnxruntime's quantize_static: what MatMul and Gemm multiply with weights is divided by
/// max|x|^alpha / max|w|^(1 - alpha) for each channel, and the weights are multiplied.
struct SmoothQuantConfig {
  double alpha = 0.5;  ///< 0 to 1: how much of the difficulty goes from activations to weights
  /// Divide in the LayerNormalization in front, where nothing else reads its output, instead of by a Mul.
  bool folding = true;
};

/// The quantization of an ort_config.json, Optimum's or ours. Throws Error(InvalidArgument): no such file, no
/// quantization in it, unknown members and values (nearest shown).
QuantizationConfig quantization_config_from_file(const std::filesystem::path& ort_config);

/// How much of a weight quantization has lost: the dequantized weight against the real one.
struct QuantizationError {
  std::string file;                  ///< "model.onnx"
  std::string node;                  ///< "/encoder/layer.0/attention/self/query/Gemm"
  std::string op_type;               ///< of the node as it was
  std::string tensor;                ///< name of the weight
  std::vector<std::string> nodes{};  ///< all that the quantized weight is for, those without a name left out
  std::vector<std::int64_t> shape{};
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
    CalibrationRanges ranges;                    ///< in static quantization
  };
  std::vector<Model> models;
  std::vector<std::filesystem::path> files;  ///< all that was published
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
  /// Static quantization needs one of both: how to calibrate, or the ranges of a calibration (of one model).
  std::optional<CalibrationConfig> calibration{};
  CalibrationRanges calibration_tensors_range{};
  /// Before static quantization, in the outermost graph. Needs `calibration`: ranges are those of the smoothed model.
  std::optional<SmoothQuantConfig> smooth_quant{};
  bool statistics = false;  ///< compute QuantizationResult::errors
  std::function<void(std::string_view line)> warn{};
  std::function<void(std::string_view stage, std::uint64_t done, std::uint64_t total)> progress{};
  /// Called when all models are complete, with the paths where they lie until they are published: to look at what
  /// became of them. If it returns false, or throws, nothing is published and the output is as it was.
  std::function<bool(const QuantizationResult& staged)> accept{};
};

/// Quantizes all models of a directory, as `optimum-cli onnxruntime quantize` does: model.onnx becomes
/// model_quantized.onnx beside config.json, ort_config.json and the tokenizer's files. Weights are streamed. The
/// branches of an If (merged decoders) are quantized, too, and share their weights as before.
///
/// Static quantization changes the outermost graph. The model is run on the calibration data first, one
/// sample at a time; entropy and percentile run it twice.
///
/// Throws Error(InvalidArgument): a configuration that contradicts itself, unknown operators or nodes (nearest shown),
/// nothing to quantize, static without calibration, calibration data of a wrong shape or empty, output equal to input;
/// Error(InvalidModel): damaged models, missing external data, an already quantized model, weights with NaN;
/// Error(OutputFailed). The output is then as it was.
QuantizationResult quantize_models(const QuantizeOptions& options);

/// A pass of Optimum's QuantizationPreprocessor: names nodes to quantize and nodes to leave.
struct PreprocessorPass {
  enum class Kind { NodeFollowedBy, NodeAfter, FullyConnected, Gelu, LayerNorm };
  Kind kind;
  std::string first{};   ///< the operator to exclude, or its parent
  std::string second{};  ///< the following operator, or the one to exclude
};

/// Leaves nodes of the first operator whose output a node of the second reads.
PreprocessorPass ExcludeNodeFollowedBy(std::string operator_type_to_exclude, std::string following_operator_type);
/// Leaves nodes of the second operator that read the output of a node of the first.
PreprocessorPass ExcludeNodeAfter(std::string parent_operator_type, std::string operator_type_to_exclude);
/// Quantizes a MatMul with the Add of its bias, and Gemm, and with them nothing else.
PreprocessorPass IncludeFullyConnectedNodes();
/// Leaves the nodes that GELU is decomposed into: Div, Erf, Add, Mul, Mul.
PreprocessorPass ExcludeGeLUNodes();
/// Leaves the nodes that layer normalization is decomposed into: ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul,
/// Add.
PreprocessorPass ExcludeLayerNormNodes();

class QuantizationPreprocessor {
 public:
  void register_pass(PreprocessorPass pass) { passes_.push_back(std::move(pass)); }

  struct Nodes {
    std::vector<std::string> to_quantize;
    std::vector<std::string> to_exclude;
  };
  /// What the passes name in a model's outermost graph; excluded nodes are not to be quantized, whoever says so.
  Nodes collect(const std::filesystem::path& onnx_file) const;

 private:
  std::vector<PreprocessorPass> passes_;
};

/// One ONNX file of a directory, to be quantized: Optimum's class of this name, over quantize_models.
class ORTQuantizer {
 public:
  /// Throws Error(InvalidModel): no ONNX file, or several of them and no `file_name`.
  static ORTQuantizer from_pretrained(const std::filesystem::path& model, const std::string& file_name = {});

  const std::filesystem::path& onnx_model_path() const { return path_; }

  /// Ranges of the float32 values that nodes of these operators (of any, if empty) read and make.
  CalibrationRanges fit(const CalibrationConfig& calibration,
                        const std::vector<std::string>& operators_to_quantize = {},
                        bool force_symmetric_range = false) const;

  QuantizationResult quantize(QuantizationConfig config, const std::filesystem::path& save_dir,
                              const CalibrationRanges& calibration_tensors_range = {},
                              const std::string& file_suffix = "quantized", bool use_external_data_format = false,
                              const QuantizationPreprocessor& preprocessor = {}) const;

 private:
  explicit ORTQuantizer(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace onnxport
