#pragma once

#include <cstdint>
#include <span>

#include "core/float16.h"
#include "onnxport/data_type.h"

/// Blocks of weights become small integers: the arithmetic, which knows nothing of tensors and files.
namespace onnxport::quantization {

/// How scale, zero point and integers of a block are found.
enum class BlockMethod : std::uint8_t {
  /// Round to nearest as MlasQuantizeBlockwise does for MatMulNBits (onnxruntime, core/mlas/lib/q4_dq.cpp).
  RoundToNearest,
  /// The same idea in the arithmetic of DefaultWeightOnlyQuantizer.quantize_ndarray (onnxruntime.quantization), which
  /// makes the weights of GatherBlockQuantized: divides by the scale and rounds to even.
  RoundToNearestGather,
  /// As MlasQDQQuantizeBlockwise does for DequantizeLinear (the same file): rounds before the zero point is added.
  RoundToNearestQdq,
  /// quant_tensor_k_quant_cpu of onnxruntime.quantization.neural_compressor, after llama.cpp's make_qkx2_quants: a
  /// search for the scale and the minimum with the least weighted squared error. Always with zero points.
  KQuant,
  /// Half-Quadratic Quantization, over a whole weight: half_quadratic.h. Always with zero points, which are no
  /// integers.
  HalfQuadratic,
  /// By an algorithm that has seen activations, which gives the integers: BlockwiseWeight::set_solved. Where it gives
  /// none, as RoundToNearest.
  Calibrated,
  /// float8e4m3fn or float4e2m1: the scale makes the largest magnitude of a block theirs. Always symmetric.
  Float,
};

struct BlockSettings {
  BlockMethod method = BlockMethod::RoundToNearest;
  int bits = 4;  ///< 2, 4 or 8
  std::int64_t block_size = 32;
  /// Without zero points: integers are centred on 2^(bits - 1).
  bool is_symmetric = true;
  /// Float32 or Float16: scales are rounded to it before weights are divided by them. BFloat16 scales are found in
  /// Float32 and rounded afterwards, as ONNX Runtime does.
  DataType scale_type = DataType::Float32;
};

/// Whether blocks are made as MlasQuantizeBlockwise makes them.
inline bool rounds_to_nearest(const BlockSettings& settings) {
  return settings.method == BlockMethod::RoundToNearest || settings.method == BlockMethod::Calibrated;
}

/// What quantization has done to the values of a block: sums over its elements.
struct BlockError {
  float signal = 0;   ///< w²
  float noise = 0;    ///< (w - ŵ)²
  float product = 0;  ///< w (w - ŵ)
  float maximum = 0;  ///< the largest |w - ŵ|; NaN if a weight is infinite or NaN
};

/// One scale, zero point and error for each block.
struct BlockResults {
  std::uint8_t* packed;       ///< [blocks, block_size * bits / 8], low bits first
  float* scales;              ///< [blocks]
  std::uint8_t* zero_points;  ///< [blocks], one a byte; 2^(bits - 1) where quantization is symmetric
  BlockError* errors;         ///< [blocks]
};

/// Quantizes `values` of shape [blocks, block_size]. A block that the weight does not fill ends in zeros.
void quantize_blocks(const BlockSettings& settings, std::span<const float> values, const BlockResults& results);

/// Scales and zero points of blocks that an algorithm has found over a whole weight.
struct GivenScales {
  std::span<const float> reciprocals;  ///< what weights are multiplied with, before it was rounded to the scale's type
  std::span<const float> scales;
  std::span<const float> zero_points;  ///< need not be integers
};

/// Quantizes to round_half_even(w * reciprocal + zero point) in [0, 2^bits).
void quantize_blocks_with(const BlockSettings& settings, std::span<const float> values, const GivenScales& given,
                          std::uint8_t* packed, BlockError* errors);

/// Values of `bits` bits, one a byte, packed into bytes, low bits first. The last byte is filled with zeros.
void pack_bits(std::span<const std::uint8_t> values, int bits, std::uint8_t* packed);

/// Rounds to the nearest integer, to the even one of two, in the processor's rounding mode. For |value| below 2^22.
[[gnu::always_inline]] inline float round_half_even(float value) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: no fraction is left beside it
  return (value + kMagic) - kMagic;
}

/// The scale as it can be stored, see BlockSettings::scale_type.
[[gnu::always_inline]] inline float round_scale(float scale, DataType type) {
  return type == DataType::Float16 ? float16_to_float32(float32_to_float16(scale)) : scale;
}

}  // namespace onnxport::quantization
