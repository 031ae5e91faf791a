#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "quantization/weight_only/block_kernels.h"

namespace onnxport::quantization {

/// Scales and zero points of all blocks of a weight.
struct SolvedScales {
  std::vector<float> reciprocals;
  std::vector<float> zero_points;  ///< no integers
};

/// Gives blocks [first, last) of a weight to use(block, values of block_size), on the calling thread, in any order.
using UseBlock = std::function<void(std::int64_t block, std::span<const float> values)>;
using ReadBlocks = std::function<void(std::int64_t first, std::int64_t last, const UseBlock& use)>;

/// Half-Quadratic Quantization (Badri and Shaji, 2023) as HQQWeightOnlyQuantizer of onnxruntime.quantization does it:
/// scales from the range of each block; zero points that minimize the l0.7 norm of the error, found by at most 20
/// rounds of a proximal solver, which ends when the mean error of the whole weight grows no smaller. Each round reads
/// the weight once, on all cores.
SolvedScales solve_half_quadratic(const BlockSettings& settings, std::int64_t blocks, const ReadBlocks& read);

}  // namespace onnxport::quantization
