#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "onnxport/weight_quantizer.h"
#include "quantization/weight_only/activation_statistics.h"
#include "quantization/weight_only/blockwise_weight.h"

/// Activation-aware weight quantization (Lin et al., 2023), as https://github.com/mit-han-lab/llm-awq does it: inputs
/// that are large are divided by a scale and the weights that they meet multiplied, so that rounding spares those; then
/// the range of each block is made smaller where that serves the product.
namespace onnxport::quantization {

/// A weight of N vectors, multiplied with the same activations as others.
struct AwqWeight {
  TensorSource weight;
  WeightSettings settings;
  bool is_clipped = true;  ///< see is_clipped_by_awq
};

/// What activations are divided by, [K]: the power (0 to 0.95 in steps of 0.05) of their mean magnitudes with which the
/// outputs of all weights together, rounded to nearest, lose least. (The authors' search compares outputs of whole
/// attentions and feed-forward networks, where an input has several weights.)
std::vector<float> search_awq_scales(std::span<const AwqWeight> weights, const ActivationStatistics& activations);

/// The integers of the weight times `scales`, if those are not empty. With AwqWeight::is_clipped each block is cut off
/// at that part (1 to 0.55 in steps of 0.05) of its largest magnitude with which its part of the product loses least.
/// The error that is told is that of the weight, not of its product with `scales`.
SolvedWeight solve_awq(const AwqWeight& weight, std::span<const float> scales, const ActivationStatistics& activations);

/// The largest magnitude that is left to each block, [N, blocks], of the weight times `scales`.
std::vector<float> search_awq_clips(const AwqWeight& weight, std::span<const float> scales,
                                    const ActivationStatistics& activations);

/// Projections of queries and keys keep their range, since their outputs are multiplied with each other: whether none
/// of the names is one of those that auto_clip_block of the authors knows.
bool is_clipped_by_awq(std::span<const std::string> names);

}  // namespace onnxport::quantization
