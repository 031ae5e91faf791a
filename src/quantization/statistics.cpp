#include "quantization/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <span>
#include <vector>

#include "core/parallel_for.h"

namespace onnxport::quantization {
namespace {

constexpr std::int64_t kBlock = std::int64_t{1} << 16;

struct Sums {
  double signal = 0;  ///< of x^2
  double noise = 0;   ///< of (x - x')^2
  double square = 0;  ///< of x'^2
  double product = 0;
  double largest = 0;
};

Sums sums_of(const QuantizedWeight& weight, std::int64_t first, std::span<const float> real,
             std::span<const std::byte> quantized, std::int64_t inner) {
  Sums sums;
  const auto channels = static_cast<std::int64_t>(weight.parameters.size());
  for (std::size_t i = 0; i < real.size(); ++i) {
    const std::int64_t channel = channels == 1 ? 0 : (first + static_cast<std::int64_t>(i)) / inner % channels;
    const AffineParameters& parameters = weight.parameters[static_cast<std::size_t>(channel)];
    const int integer = weight.values.data_type == DataType::Int8 ? static_cast<std::int8_t>(quantized[i])
                                                                  : static_cast<std::uint8_t>(quantized[i]);
    const double x = real[i];
    const double y = static_cast<double>(parameters.scale) * (integer - parameters.zero_point);
    sums.signal += x * x;
    sums.noise += (x - y) * (x - y);
    sums.square += y * y;
    sums.product += x * y;
    sums.largest = std::max(sums.largest, std::fabs(x - y));
  }
  return sums;
}

}  // namespace

QuantizationError weight_error(const QuantizedWeight& weight) {
  const std::int64_t count = weight.real.element_count();
  std::int64_t inner = 1;
  if (weight.axis)
    inner = element_count(std::span(weight.real.shape).subspan(static_cast<std::size_t>(*weight.axis) + 1));
  // Blocks have places of their own and are added in their order: the same figures on any number of cores.
  std::vector<Sums> blocks(static_cast<std::size_t>((count + kBlock - 1) / kBlock));
  parallel_for(std::ssize(blocks), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> real(static_cast<std::size_t>(std::min(count, kBlock)));
    std::vector<std::byte> quantized(real.size());
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kBlock;
      const auto size = static_cast<std::size_t>(std::min(kBlock, count - first));
      const std::span<float> values(real.data(), size);
      const std::span<std::byte> integers(quantized.data(), size);
      read_elements(weight.real, first, std::as_writable_bytes(values));
      read_elements(weight.values, first, integers);
      blocks[static_cast<std::size_t>(block)] = sums_of(weight, first, values, integers, inner);
    }
  });
  Sums total;
  for (const Sums& block : blocks) {
    total.signal += block.signal;
    total.noise += block.noise;
    total.square += block.square;
    total.product += block.product;
    total.largest = std::max(total.largest, block.largest);
  }
  QuantizationError error;
  error.node = weight.node;
  error.op_type = weight.op_type;
  error.tensor = weight.tensor;
  error.shape = weight.real.shape;
  error.elements = static_cast<std::uint64_t>(count);
  error.sqnr = total.noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(total.signal / total.noise);
  error.max_error = total.largest;
  const double norms = std::sqrt(total.signal) * std::sqrt(total.square);
  error.cosine = norms == 0 ? (total.signal == total.square ? 1.0 : 0.0) : total.product / norms;
  return error;
}

}  // namespace onnxport::quantization
