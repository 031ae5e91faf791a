#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "onnx/model.h"
#include "quantization/affine.h"
#include "quantization/graph_quantizer.h"

/// Numbers of static quantization that its two formats have in common: onnxruntime/quantization/base_quantizer.py.
namespace onnxport::quantization {

/// How often nodes read each value, those of subgraphs with them.
std::unordered_map<std::string, int> count_uses(const onnx::Graph& graph);

/// adjust_tensor_ranges: what Relu and Clip cut off need not be represented before them, and Softmax is in [0, 1].
/// Of graphs inside, too, whose names must be unique.
void adjust_ranges(const onnx::Graph& graph, const NodeSelection& selection, ActivationRanges& ranges);

/// Scale and zero point of an activation; nullopt if no range is known. Throws Error(InvalidArgument) if the range is
/// not finite.
std::optional<AffineParameters> activation_affine(const ActivationRanges& ranges, const QuantizationConfig& config,
                                                  std::string_view value);

/// A bias becomes int32 at the scale of the products, input_scale * weight_scale. Where its elements would not fit, the
/// weight's scale is raised (adjust_weight_scale_for_int32_bias); returns whether one was. Only for weights in int8
/// with zero points of 0.
bool raise_weight_scales(std::vector<AffineParameters>& weight, bool per_channel, float input_scale,
                         std::span<const float> bias);

struct QuantizedBias {
  TensorSource values;      ///< int32
  TensorSource scale;       ///< [1] or [channels]
  TensorSource zero_point;  ///< 0, a scalar or [channels]
};

/// quantize_bias_static_impl. nullopt if a scale is too small for float32.
std::optional<QuantizedBias> quantize_bias(const Array& bias, float input_scale,
                                           const std::vector<AffineParameters>& weight, float beta);

}  // namespace onnxport::quantization
