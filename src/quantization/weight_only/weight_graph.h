#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "onnx/model.h"
#include "onnxport/weight_quantizer.h"
#include "quantization/weight_only/blockwise_weight.h"

namespace onnxport::quantization {

/// A node that multiplies with a constant weight, or looks rows of one up.
struct WeightNode {
  std::string node;  ///< its name, or that of its output if it has none
  std::string op_type;
  std::string weight;
  WeightLayout layout;
};

/// All nodes of the model, and of graphs inside, that have a weight, whether or not it can be quantized.
std::vector<WeightNode> find_weight_nodes(const onnx::Model& model);

/// A quantized weight of a model; its error is known when the model has been written.
struct QuantizedEntry {
  std::string weight;
  std::vector<std::string> nodes;
  std::vector<std::int64_t> shape;
  std::uint64_t source_bytes = 0;
  BlockwiseWeight quantized;
  std::string packed{};               ///< name of the tensor of integers
  std::vector<std::string> inputs{};  ///< values that are multiplied with it, each once
  bool is_looked_up = false;          ///< rows of it are looked up
};

struct SkippedEntry {
  std::string node;
  std::string op_type;
  std::string reason;
};

struct QuantizedGraph {
  std::vector<QuantizedEntry> weights;
  std::vector<SkippedEntry> skipped;
};

/// Replaces MatMul, Gemm and Gather nodes of constant weights by MatMulNBits and GatherBlockQuantized, or has MatMul
/// and Gemm read DequantizeLinear. `config` is valid and its patterns were resolved by resolve_bits. With an algorithm
/// that is_calibrated, solve_weights is to follow. `progress` hears of each weight: HalfQuadratic solves here, the
/// others compute when the model is written. Throws Error(InvalidModel) if the model is quantized already, or if its
/// opset cannot be raised to that of blocked DequantizeLinear (raise_opset).
QuantizedGraph quantize_graph(onnx::Model& model, const WeightQuantizationConfig& config,
                              const std::function<void(std::uint64_t done, std::uint64_t total)>& progress = {});

/// Whether the algorithm runs the model on data.
inline bool is_calibrated(WeightAlgorithm algorithm) {
  return algorithm == WeightAlgorithm::Gptq || algorithm == WeightAlgorithm::Awq;
}

/// Whether the name matches a pattern in which * stands for any characters.
bool matches_pattern(std::string_view name, std::string_view pattern);

/// onnxruntime-genai's k_quant_mixed (after llama.cpp's Q4_K_M): 8 bits for the value and down projections of the first
/// and the last eighth of the layers and of each third one between, and for the head. The patterns with their bits for
/// WeightQuantizationConfig::bits_for, found by the names that nodes have.
std::vector<std::pair<std::string, int>> k_quant_mixed_bits(const std::vector<WeightNode>& nodes);

}  // namespace onnxport::quantization
