#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "onnxport/weight_quantizer.h"
#include "quantization/weight_only/activation_statistics.h"
#include "quantization/weight_only/blockwise_weight.h"

/// GPTQ (Frantar et al., 2022): each row of a weight is rounded, and the rows that follow take over what that did to
/// the product. Computes what GPTQ.fasterquant of https://github.com/IST-DASLab/gptq does with groups of the block's
/// size and blocks of 128 rows.
namespace onnxport::quantization {

/// What all weights share that are multiplied with the same activations.
struct GptqFactor {
  std::int64_t size = 0;            ///< K
  std::vector<float> upper;         ///< [K, K], U with UᵀU = (Σ x xᵀ + damping)⁻¹, rows in the order of `order`
  std::vector<std::uint8_t> dead;   ///< [K], inputs that were never other than 0
  std::vector<std::int64_t> order;  ///< the row that is rounded first, second, ...
};

/// Takes the sums over, which are finite. nullopt if they are not positive definite for want of damping.
std::optional<GptqFactor> factor_activations(ActivationStatistics activations, const GptqConfig& config);

/// The integers of a weight. Unlike GPTQWeightOnlyQuantConfig of onnxruntime.quantization, which (in version 1.32)
/// multiplies the errors with the wrong triangle of U, so that no row takes anything over, and finds new scales for the
/// rounded weight, which move it away from its integers. With config.actorder, scales belong to blocks of rows as they
/// lie (static_groups), since MatMulNBits has no others. Symmetric scales of a block without negative weights use
/// all integers, too, of which fasterquant leaves half.
SolvedWeight solve_gptq(const TensorSource& weight, const WeightSettings& settings, const GptqFactor& factor,
                        const GptqConfig& config);

}  // namespace onnxport::quantization
