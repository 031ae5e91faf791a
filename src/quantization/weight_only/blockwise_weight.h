#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/tensor_source.h"
#include "quantization/weight_only/block_kernels.h"

namespace onnxport::quantization {

/// How the elements of a weight lie that is N vectors of K values: each is quantized in blocks along K.
enum class WeightLayout : std::uint8_t {
  Rows,     ///< [N, K]: Gemm with transB, embeddings
  Columns,  ///< [K, N]: MatMul
};

struct WeightSettings {
  BlockSettings block;
  WeightLayout layout = WeightLayout::Rows;
  /// Whether the last block of a vector is filled up with zeros (MatMulNBits), or ends with it (GatherBlockQuantized).
  bool is_padded = true;
  /// Tensors as blocked DequantizeLinear takes them for a product, [K, N] whatever the layout. With `is_padded`, which
  /// says how blocks are made.
  bool is_plain = false;
};

/// What quantization has done to a weight.
struct WeightError {
  double signal = 0;   ///< sum of w²
  double noise = 0;    ///< sum of (w - ŵ)²
  double product = 0;  ///< sum of w (w - ŵ)
  double maximum = 0;  ///< the largest |w - ŵ|; NaN if one is

  void add(const WeightError& other);
  /// One element and what stands for it.
  void add(double value, double quantized);
};

/// Integers that an algorithm has found for a whole weight.
struct SolvedWeight {
  std::vector<std::uint8_t> packed;       ///< [N, blocks, block_size * bits / 8], low bits first
  std::vector<float> scales;              ///< [N, blocks]
  std::vector<std::uint8_t> zero_points;  ///< [N, blocks], one a byte; empty where quantization is symmetric
  WeightError error;
};

/// The integers of plain tensors: signed where quantization is symmetric, with 0 for 0.
DataType plain_type(const BlockSettings& settings);

/// A weight that is quantized while it is written: three tensors, each computed from the weight where it lies. The
/// packed integers are to be read first; scales and zero points are found with them, kept, and dropped once read. (Read
/// in another order they are computed from the weight again.)
class BlockwiseWeight {
 public:
  /// `weight` of two dimensions, Float32, Float16 or BFloat16. Reads it, several times, for HalfQuadratic only.
  BlockwiseWeight(TensorSource weight, const WeightSettings& settings);

  /// The tensors become what an algorithm has found, before any of them is read. The integers lie in a temporary file
  /// from here on, so that memory does not grow with the model. Throws Error(OutputFailed). `is_padded` is set.
  void set_solved(SolvedWeight solved);

  /// The weight that will be written after this one, to be read from its file meanwhile.
  void set_next(const BlockwiseWeight& weight);

  std::int64_t vectors() const;      ///< N
  std::int64_t vector_size() const;  ///< K
  std::int64_t block_count() const;  ///< blocks of a vector
  const WeightSettings& settings() const;
  const TensorSource& weight() const;  ///< as Float32

  /// UInt8 [N, blocks, block_size * bits / 8]; [N, K * bits / 8] if it is not padded; plain ones [K, N].
  TensorSource packed() const;
  /// [N, blocks] in the type of the weight; [blocks, N] of plain ones.
  TensorSource scales() const;
  /// UInt8 [N, blocks * bits / 8], packed as the integers are; plain ones in the scales' shape; [N, blocks] in the type
  /// of the weight for HalfQuadratic. Not asked for where quantization is symmetric.
  TensorSource zero_points() const;

  /// What packed() has done to the weight; complete when all of it was read once.
  WeightError error() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace onnxport::quantization
