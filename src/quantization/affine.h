#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor_source.h"

/// The numbers of 8-bit quantization: real = scale * (quantized - zero_point), computed bit for bit as
/// onnxruntime/quantization/quant_utils.py does.
namespace onnxport::quantization {

/// The smallest and the largest real value of a tensor or of one channel.
struct ValueRange {
  float minimum = 0;
  float maximum = 0;
};

/// How integers are chosen for a range. `type` is Int8 or UInt8.
struct AffineScheme {
  DataType type = DataType::Int8;
  bool symmetric = false;     ///< zero lies in the middle of the integers used
  bool reduce_range = false;  ///< 7 bits: products of two never saturate 16-bit accumulators
};

struct AffineParameters {
  float scale = 1;
  std::int32_t zero_point = 0;
};

/// compute_scale_zp: the range is widened to include 0. A range too small for a normal float32 scale gives scale 1.
AffineParameters affine_parameters(ValueRange range, const AffineScheme& scheme);

/// One range of the whole tensor, or one for each index of `axis`. The tensor is read once, on all cores, and never
/// held. An empty tensor has the range [0, 0]. `name` is for messages.
/// Throws Error(InvalidModel) if an element is NaN or infinite.
std::vector<ValueRange> value_ranges(const TensorSource& real, std::optional<std::int64_t> axis, std::string_view name);

/// The integers of a float32 tensor, computed when they are read: round(x / scale) + zero_point to nearest even,
/// saturated at the type's full range. `parameters` has one element, or one for each index of `axis`.
TensorSource quantize_values(TensorSource real, DataType type, std::vector<AffineParameters> parameters,
                             std::optional<std::int64_t> axis);

/// A weight in integers, with scale (float32) and zero point (the type of the integers) as scalars or, per channel, as
/// vectors.
struct QuantizedTensor {
  TensorSource values;
  TensorSource scale;
  TensorSource zero_point;
};

/// Scale and zero point as tensors: scalars for one, vectors for several of them.
QuantizedTensor as_tensors(TensorSource values, DataType type, const std::vector<AffineParameters>& parameters,
                           bool per_channel);

}  // namespace onnxport::quantization
