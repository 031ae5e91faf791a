#include "calibrated_support.h"

#include <cstdint>

namespace onnxport::testing {

std::vector<float> dequantized_columns(const quantization::BlockwiseWeight& weight) {
  const quantization::BlockSettings& block = weight.settings().block;
  const Array packed = materialize(weight.packed());
  const Array scales = materialize(weight.scales());
  const Array zero_points = block.is_symmetric ? Array() : materialize(weight.zero_points());
  const std::int64_t count = weight.vectors();
  const std::int64_t per_byte = 8 / block.bits;
  const auto integer = [&](const Array& bytes, std::int64_t byte, std::int64_t index) {
    return bytes.data<std::uint8_t>()[byte + index / per_byte] >> (index % per_byte * block.bits) &
           ((1 << block.bits) - 1);
  };
  std::vector<float> values(static_cast<std::size_t>(weight.vector_size() * count));
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t k = 0; k < weight.vector_size(); ++k) {
      const std::int64_t b = k / block.block_size;
      const int zero_point =
          block.is_symmetric ? 1 << (block.bits - 1) : integer(zero_points, n * zero_points.shape()[1], b);
      const int quantized = integer(packed, n * packed.shape()[1] * packed.shape()[2], k);
      values[static_cast<std::size_t>(k * count + n)] =
          scales.data<float>()[n * scales.shape()[1] + b] * static_cast<float>(quantized - zero_point);
    }
  }
  return values;
}

}  // namespace onnxport::testing
