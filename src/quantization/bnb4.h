#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnx/model.h"

/// The 4-bit floats of bitsandbytes (Dettmers et al., 2023), for ONNX Runtime's operator MatMulBnb4.
namespace onnxport::quantization {

/// As in the attribute quant_type.
enum class Bnb4Type : std::int64_t {
  FP4 = 0,  ///< one bit of mantissa
  NF4 = 1,  ///< quantiles of the normal distribution
};

struct Bnb4Config {
  Bnb4Type type = Bnb4Type::NF4;
  std::int64_t block_size = 64;  ///< 16, 32, 64 or 128 weights that share a scale
};

/// A weight as MatMulBnb4 takes it: the transposed weight, flattened, in blocks; two weights a byte, the first in the
/// upper half, and the largest magnitude of each block. Computed when they are read, block by block, equal to the bit
/// to onnxruntime's MatMulBnb4Quantizer (blockwise_quant_block_bnb4.h).
struct Bnb4Weight {
  TensorSource packed;  ///< UInt8 [(N K + 1) / 2]
  TensorSource absmax;  ///< of the weight's type, [ceil(N K / block_size)]
};

/// `weight` is [N, K], floating-point. Throws Error(InvalidArgument) for another block size.
Bnb4Weight quantize_bnb4(const TensorSource& weight, const Bnb4Config& config);

/// Replaces MatMul by MatMulBnb4, in subgraphs, too, where the right operand is a constant matrix; and Gemm that is a
/// product with a constant and perhaps a sum. Returns the names of the nodes replaced.
/// Throws Error(InvalidModel) if the model is quantized so already.
std::vector<std::string> quantize_graph_bnb4(onnx::Model& model, const Bnb4Config& config);

}  // namespace onnxport::quantization
