#pragma once

#include <cstdint>
#include <span>

#include "core/tensor_source.h"
#include "quantization/weight_only/blockwise_weight.h"

namespace onnxport::quantization {

/// A weight of N vectors of K values, read as the rows and columns of a matrix [K, N] however it lies.
class WeightVectors {
 public:
  /// `weight` of two dimensions and any floating-point type.
  WeightVectors(const TensorSource& weight, WeightLayout layout);

  std::int64_t vectors() const { return vectors_; }
  std::int64_t vector_size() const { return vector_size_; }
  /// Vectors [first, last) as columns of `values`, [K, last - first] row-major.
  void read(std::int64_t first, std::int64_t last, std::span<float> values) const;

 private:
  TensorSource weight_;
  WeightLayout layout_;
  std::int64_t vectors_;
  std::int64_t vector_size_;
};

}  // namespace onnxport::quantization
