#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/quantizer.h"

namespace onnxport {

/// How the integers of a weight are found.
enum class WeightAlgorithm {
  RoundToNearest,  ///< DefaultWeightOnlyQuantConfig of onnxruntime.quantization, bit for bit
  KQuant,          ///< KQuantWeightOnlyQuantConfig: searches each block for the scale with the least weighted error
  HalfQuadratic,   ///< HQQWeightOnlyQuantConfig (Badri and Shaji, 2023): zero points that are no integers, solved for
  KQuantMixed,  ///< KQuant, 8 bits for value and down projections of some layers and the head; see k_quant_mixed_bits
  /// GPTQ (Frantar et al., 2022), as its authors' program does it. Runs the model on data: each weight is rounded row
  /// by row, and the rows that follow make up for the error that this means for the inputs seen. Tables of Gather are
  /// rounded to nearest.
  Gptq,
  /// Activation-aware weight quantization (Lin et al., 2023), as its authors' program does it but layer by layer. Runs
  /// the model on data: inputs are divided by powers of their mean magnitudes, by the normalization that makes them or
  /// a Mul, and weights multiplied, so that rounding spares those that count most; blocks are cut off where that helps.
  Awq,
};

/// Inputs that the model is run on, to see what its weights are multiplied with.
struct WeightCalibration {
  /// JSON lines ({"text": ...} through the directory's tokenizer, or the model's inputs by name), or a safetensors file
  /// of the model's inputs, whose first axis counts the samples. Empty: random inputs, which show that a model can be
  /// quantized, and no more.
  std::filesystem::path data{};
  std::int64_t num_samples = 128;  ///< at most
  std::int64_t max_length = 128;   ///< of texts, in tokens
};

/// The settings of GPTQWeightOnlyQuantConfig, under its names.
struct GptqConfig {
  /// Added to the diagonal of the Hessian, as a part of its mean: above 0.
  double percdamp = 0.01;
  /// Rows that meet the largest inputs are rounded first. Scales are those of the weight as it is (static_groups).
  bool actorder = false;
  /// Scales are those with the least error, by the norm 2.4, instead of the range.
  bool mse = false;
};

struct AwqConfig {
  bool auto_scale = true;  ///< divide inputs by scales
  bool auto_clip = true;   ///< cut blocks off, but not in projections of queries and keys
};

/// Weight-only quantization: weights become integers of a few bits with a scale, and perhaps a zero point, for each
/// block of them; activations stay as they are.
struct WeightQuantizationConfig {
  int bits = 4;                  ///< 2, 4 or 8
  std::int64_t block_size = 32;  ///< 16, 32, 64, 128 or 256 weights along the dimension that is summed over
  bool is_symmetric = true;      ///< without zero points
  /// Floats in place of integers, rounded to nearest, in the format QDQ only: float8e4m3fn of 8 bits, float4e2m1 of 4
  /// (opset 23; ONNX Runtime has no kernel for it on processors).
  bool is_float = false;
  WeightAlgorithm algorithm = WeightAlgorithm::RoundToNearest;
  std::optional<WeightCalibration> calibration{};  ///< what Gptq and Awq need
  GptqConfig gptq{};
  AwqConfig awq{};
  /// MatMulNBits' accuracy_level, the least precision of activations inside it: 0 unset, 1 float32, 2 float16,
  /// 3 bfloat16, 4 int8.
  int accuracy_level = 0;
  /// QOperator: MatMul and Gemm become MatMulNBits, Gather becomes GatherBlockQuantized. QDQ: MatMul and Gemm stay and
  /// read a DequantizeLinear of int4, uint4, int8 or uint8 in blocks, which every runtime of ONNX knows (opset 21, to
  /// which the model is raised). QDQ has 4 and 8 bits, no Gather, no HalfQuadratic and no accuracy_level.
  QuantFormat format = QuantFormat::QOperator;
  std::vector<std::string> op_types = {"MatMul", "Gemm"};
  /// Names of nodes that stay as they are; * stands for any characters.
  std::vector<std::string> nodes_to_exclude{};
  /// Bits of the nodes whose name, or whose weight's name, contains the pattern, in which * stands for any characters.
  /// Of several that match, the last one counts.
  std::vector<std::pair<std::string, int>> bits_for{};
};

/// A weight that was quantized.
struct QuantizedWeightReport {
  std::filesystem::path file;  ///< the ONNX file that was read
  std::string weight;          ///< name of the initializer
  std::vector<std::string> nodes;
  std::vector<std::int64_t> shape;
  int bits = 0;
  std::int64_t block_size = 0;
  bool is_symmetric = false;
  std::uint64_t source_bytes = 0;
  std::uint64_t bytes = 0;  ///< of integers, scales and zero points
  double sqnr = 0;  ///< signal-to-quantization-noise ratio in dB, 10 log10(Σw² / Σ(w - ŵ)²); infinite if exact
  double maximum_error = 0;  ///< largest |w - ŵ|
  double cosine = 0;         ///< cosine similarity of w and ŵ
};

/// A node with a constant weight that stays as it is.
struct SkippedNode {
  std::filesystem::path file;
  std::string node;
  std::string op_type;
  std::string reason;
};

struct QuantizedModel {
  std::filesystem::path source;
  std::filesystem::path path;
  std::uint64_t source_bytes = 0;  ///< with external data
  std::uint64_t bytes = 0;
};

struct WeightQuantizationResult {
  std::vector<QuantizedModel> models;
  std::vector<std::filesystem::path> files;  ///< all that was published
  std::vector<QuantizedWeightReport> weights;
  std::vector<SkippedNode> skipped;
};

struct WeightQuantizationOptions {
  std::filesystem::path model;            ///< directory of ONNX models, or one ONNX file
  std::filesystem::path output;           ///< directory, created; not the one of the models
  std::string suffix{};                   ///< "q4": model.onnx becomes model_q4.onnx; "" keeps the names
  std::vector<std::string> file_names{};  ///< the ONNX files to take, all of the directory if empty
  bool external_data = false;             ///< weights in model.onnx_data also below 2 GB
  WeightQuantizationConfig config{};
  /// Called with a stage such as "Writing model.onnx", bytes done and in total.
  std::function<void(std::string_view stage, std::uint64_t done, std::uint64_t total)> progress{};
  /// Called when all models are complete, with the paths where they lie until they are published: to look at what
  /// became of them. If it returns false, or throws, nothing is published and the output is as it was.
  std::function<bool(const WeightQuantizationResult& staged)> accept{};
};

/// Quantizes the weights of all models of a directory, also those in branches of If. A weight that several nodes use is
/// quantized and stored once. Weights are read and written block by block on all cores: memory does not grow with the
/// model's size. Other files of the directory (config.json, tokenizer) are copied.
/// With Gptq and Awq the model is run first; the sums that describe a layer's inputs, the square of their number each,
/// are held for as many layers at a time as fit into 1 GiB, and the samples are run again for the others. Throws
/// Error(InvalidArgument): a setting without meaning, calibration data that are missing, empty or do not fit, a node,
/// operator or pattern that no model has (the nearest are named), the output is the models' directory;
/// Error(InvalidModel): a damaged model, missing external data, a model that is quantized already, no weight to
/// quantize, a weight or an activation that holds infinities or NaN; Error(OutputFailed); Error(RuntimeFailed) of
/// calibration.
WeightQuantizationResult quantize_weights(const WeightQuantizationOptions& options);

}  // namespace onnxport
