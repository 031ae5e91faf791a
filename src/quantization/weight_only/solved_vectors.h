#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <utility>

#include "quantization/weight_only/blockwise_weight.h"

namespace onnxport::quantization {

/// Of one block. The integer q stands for scale * (q - zero_point).
struct SolvedScale {
  float scale = 1;
  float zero_point = 0;
};

/// A SolvedWeight that grows by some vectors at a time.
class SolvedVectors {
 public:
  SolvedVectors(std::int64_t vectors, std::int64_t vector_size, const BlockSettings& settings);

  /// Vectors [first, last) as columns: `values` and `integers` are [K, last - first], `scales` [blocks, last - first],
  /// as they can be stored. `values` is the weight, to which the error is told. Thread-safe for different vectors.
  void store(std::int64_t first, std::int64_t last, std::span<const float> values,
             std::span<const std::uint8_t> integers, std::span<const SolvedScale> scales);

  SolvedWeight take() { return std::move(solved_); }

 private:
  BlockSettings settings_;
  std::int64_t vector_size_;
  std::int64_t blocks_;
  std::mutex mutex_;
  SolvedWeight solved_;
};

}  // namespace onnxport::quantization
