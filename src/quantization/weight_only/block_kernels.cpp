#include "quantization/weight_only/block_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/float16.h"

// CMakeLists.txt has this file compiled with -O3, which vectorizes its loops, and without contraction into fused
// multiply-adds, which would round differently from ONNX Runtime. The bodies are compiled a second time for AVX2.
#if defined(__x86_64__) && defined(__GNUC__)
#define ONNXPORT_HAS_AVX2_TWIN 1
#endif
#define ONNXPORT_INLINE inline __attribute__((always_inline))

namespace onnxport::quantization {
namespace {

/// Accumulators beside each other; block sizes are multiples of it.
constexpr std::int64_t kLanes = 8;
constexpr std::int64_t kLargestBlock = 256;

using Lanes = std::array<float, kLanes>;

struct Range {
  float minimum;
  float maximum;
};

ONNXPORT_INLINE Range find_range(const float* values, std::int64_t count) {
  Lanes low;
  Lanes high;
  low.fill(std::numeric_limits<float>::max());
  high.fill(-std::numeric_limits<float>::max());
  for (std::int64_t i = 0; i < count; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const float value = values[i + l];
      low[l] = value < low[l] ? value : low[l];
      high[l] = value > high[l] ? value : high[l];
    }
  }
  Range range{low[0], high[0]};
  for (std::int64_t l = 1; l < kLanes; ++l) {
    range.minimum = low[l] < range.minimum ? low[l] : range.minimum;
    range.maximum = high[l] > range.maximum ? high[l] : range.maximum;
  }
  return range;
}

ONNXPORT_INLINE float sum(const Lanes& lanes) {
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

ONNXPORT_INLINE float clamp_to(float value, float limit) {
  value = value > 0.0F ? value : 0.0F;
  return value < limit ? value : limit;
}

/// roundf of a value that is not negative: the difference to the integer below is exact.
ONNXPORT_INLINE std::int32_t round_half_up(float value) {
  const auto whole = static_cast<std::int32_t>(value);
  return whole + (value - static_cast<float>(whole) >= 0.5F ? 1 : 0);
}

/// Finds scale and zero point of a block.
struct BlockScale {
  float scale;
  float zero_point;
};

ONNXPORT_INLINE BlockScale find_scale(const BlockSettings& settings, Range range) {
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  const auto middle = static_cast<float>(1 << (settings.bits - 1));
  if (settings.is_symmetric) {
    // The integers reach from -middle to middle - 1: the sign of the scale puts the larger side of the range on the
    // larger side of them.
    const float peak = std::fabs(range.maximum) > std::fabs(range.minimum) ? range.maximum : range.minimum;
    return {round_scale(-peak / middle, settings.scale_type), middle};
  }
  const float minimum = std::min(range.minimum, 0.0F);
  const float maximum = std::max(range.maximum, 0.0F);
  const float scale = (maximum - minimum) / largest;
  if (settings.method == BlockMethod::RoundToNearestGather) {
    const float zero_point = scale == 0.0F ? middle : clamp_to(round_half_even(-minimum / scale), largest);
    return {round_scale(scale, settings.scale_type), zero_point};
  }
  const float zero_point = scale == 0.0F ? 0.0F : clamp_to(std::round(0.0F - minimum / scale), largest);
  return {round_scale(scale, settings.scale_type), zero_point};
}

ONNXPORT_INLINE void quantize_nearest(const BlockSettings& settings, const float* values, BlockScale block,
                                      std::uint8_t* quantized) {
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  const float reciprocal = block.scale == 0.0F ? 0.0F : 1.0F / block.scale;
  for (std::int64_t i = 0; i < settings.block_size; ++i) {
    const float value = values[i] * reciprocal + block.zero_point;
    quantized[i] = static_cast<std::uint8_t>(round_half_up(clamp_to(value, largest)));
  }
}

/// roundf, which takes halves away from zero, of values that may be negative.
ONNXPORT_INLINE void quantize_rounding(const BlockSettings& settings, const float* values, BlockScale block,
                                       std::uint8_t* quantized) {
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  const float reciprocal = block.scale == 0.0F ? 0.0F : 1.0F / block.scale;
  for (std::int64_t i = 0; i < settings.block_size; ++i) {
    const float value = values[i] * reciprocal;
    // Far more than any integer there is, and few enough for round_half_up.
    const float magnitude = clamp_to(std::fabs(value), 4 * largest);
    const auto rounded = static_cast<float>(round_half_up(magnitude));
    const float shifted = (value < 0.0F ? -rounded : rounded) + block.zero_point;
    quantized[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(clamp_to(shifted, largest)));
  }
}

/// Divides, as numpy does, where quantize_nearest multiplies by the reciprocal as MLAS does.
ONNXPORT_INLINE void quantize_dividing(const BlockSettings& settings, const float* values, BlockScale block,
                                       std::uint8_t* quantized) {
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  if (block.scale == 0.0F) {
    std::fill_n(quantized, settings.block_size, static_cast<std::uint8_t>(block.zero_point));
    return;
  }
  for (std::int64_t i = 0; i < settings.block_size; ++i) {
    const float value = clamp_to(values[i] / block.scale + block.zero_point, largest);
    quantized[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(round_half_even(value)));
  }
}

/// The symmetric form of quantize_ndarray rounds before the middle is added.
ONNXPORT_INLINE void quantize_signed(const BlockSettings& settings, const float* values, BlockScale block,
                                     std::uint8_t* quantized) {
  const auto middle = static_cast<float>(1 << (settings.bits - 1));
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  if (block.scale == 0.0F) {
    std::fill_n(quantized, settings.block_size, static_cast<std::uint8_t>(middle));
    return;
  }
  for (std::int64_t i = 0; i < settings.block_size; ++i) {
    const float value = round_half_even(values[i] / block.scale) + middle;
    quantized[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(clamp_to(value, largest)));
  }
}

ONNXPORT_INLINE BlockError measure(const float* values, const std::uint8_t* quantized, std::int64_t count,
                                   BlockScale block) {
  Lanes signal{};
  Lanes noise{};
  Lanes product{};
  Lanes maximum{};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const float value = values[i + l];
      const float error =
          value - (static_cast<float>(static_cast<std::int32_t>(quantized[i + l])) - block.zero_point) * block.scale;
      signal[l] += value * value;
      noise[l] += error * error;
      product[l] += value * error;
      maximum[l] = std::fabs(error) > maximum[l] ? std::fabs(error) : maximum[l];
    }
  }
  BlockError result{sum(signal), sum(noise), sum(product), *std::max_element(maximum.begin(), maximum.end())};
  // Comparisons pass over NaN, sums do not.
  if (std::isnan(result.noise)) result.maximum = result.noise;
  return result;
}

template <int kBits>
ONNXPORT_INLINE void pack_block(const std::uint8_t* quantized, std::int64_t count, std::uint8_t* packed) {
  constexpr std::int64_t kPerByte = 8 / kBits;
  for (std::int64_t i = 0; i < count / kPerByte; ++i) {
    unsigned byte = 0;
    for (std::int64_t l = 0; l < kPerByte; ++l)
      byte |= static_cast<unsigned>(quantized[i * kPerByte + l]) << (kBits * l);
    packed[i] = static_cast<std::uint8_t>(byte);
  }
}

ONNXPORT_INLINE void pack_block(const std::uint8_t* quantized, std::int64_t count, int bits, std::uint8_t* packed) {
  if (bits == 2) {
    pack_block<2>(quantized, count, packed);
  } else if (bits == 4) {
    pack_block<4>(quantized, count, packed);
  } else {
    std::copy_n(quantized, count, packed);
  }
}

// ---- k-quant --------------------------------------------------------------------------------------------------------

/// numpy's sum of contiguous floats (pairwise_sum of its core): eight accumulators for up to 128 values, halves beyond.
ONNXPORT_INLINE float pairwise_sum(const float* values, std::int64_t count) {
  Lanes lanes;
  std::copy_n(values, kLanes, lanes.begin());
  for (std::int64_t i = kLanes; i < count; i += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += values[i + l];
  return sum(lanes);
}

ONNXPORT_INLINE float numpy_sum(const float* values, std::int64_t count) {
  constexpr std::int64_t kUnsplit = 128;
  if (count <= kUnsplit) return pairwise_sum(values, count);
  return pairwise_sum(values, count / 2) + pairwise_sum(values + count / 2, count / 2);
}

using Buffer = std::array<float, kLargestBlock>;

/// Weighted squared error of scale * quantized + minimum against the values.
ONNXPORT_INLINE float weighted_error(const float* values, const Buffer& weights, const Buffer& quantized,
                                     std::int64_t count, float scale, float minimum) {
  Buffer terms;
  for (std::int64_t i = 0; i < count; ++i) {
    const float difference = scale * quantized[i] + minimum - values[i];
    terms[i] = weights[i] * (difference * difference);
  }
  return numpy_sum(terms.data(), count);
}

ONNXPORT_INLINE void quantize_from(const float* values, std::int64_t count, float reciprocal, float minimum,
                                   float largest, Buffer& quantized) {
  for (std::int64_t i = 0; i < count; ++i)
    quantized[i] = round_half_even(clamp_to(reciprocal * (values[i] - minimum), largest));
}

ONNXPORT_INLINE BlockScale search_scale(const BlockSettings& settings, const float* values) {
  constexpr int kSteps = 20;
  constexpr double kFirst = -1;
  constexpr double kStep = 0.1;
  const std::int64_t count = settings.block_size;
  const double levels = (1 << settings.bits) - 1;
  const auto largest = static_cast<float>(levels);

  Buffer terms;
  Buffer weights;
  for (std::int64_t i = 0; i < count; ++i) terms[i] = values[i] * values[i];
  const float mean = std::sqrt(numpy_sum(terms.data(), count) / static_cast<float>(count));
  for (std::int64_t i = 0; i < count; ++i) weights[i] = mean + std::fabs(values[i]);
  for (std::int64_t i = 0; i < count; ++i) terms[i] = weights[i] * values[i];
  const float sum_w = numpy_sum(weights.data(), count);
  const float sum_x = numpy_sum(terms.data(), count);

  const auto [low, high] = find_range(values, count);
  float minimum = low;
  const float first_reciprocal = low == high ? 1.0F : largest / (high - low);
  float scale = 1.0F / first_reciprocal;
  Buffer quantized;
  quantize_from(values, count, first_reciprocal, low, largest, quantized);
  float best = weighted_error(values, weights, quantized, count, scale, minimum);
  for (int step = 0; step < kSteps; ++step) {
    const auto factor = static_cast<float>(kFirst + kStep * step + levels);
    // Later steps start from the minimum of the best one so far.
    const float reciprocal = minimum == high ? 1.0F : factor / (high - minimum);
    quantize_from(values, count, reciprocal, minimum, largest, quantized);
    for (std::int64_t i = 0; i < count; ++i) terms[i] = weights[i] * quantized[i];
    const float sum_l = numpy_sum(terms.data(), count);
    Buffer products;
    for (std::int64_t i = 0; i < count; ++i) products[i] = terms[i] * quantized[i];
    const float sum_l2 = numpy_sum(products.data(), count);
    for (std::int64_t i = 0; i < count; ++i) products[i] = terms[i] * values[i];
    const float sum_xl = numpy_sum(products.data(), count);
    const float determinant = sum_w * sum_l2 - sum_l * sum_l;
    const float new_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    const float new_minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    const float error = weighted_error(values, weights, quantized, count, new_scale, new_minimum);
    if (!(error < best)) continue;
    best = error;
    scale = new_scale;
    minimum = new_minimum;
  }
  return {scale, clamp_to(std::nearbyint(-minimum / scale), largest)};
}

/// As numpy: in double, and with the scale before it is rounded to the type of the weights.
ONNXPORT_INLINE void quantize_in_double(const BlockSettings& settings, const float* values, BlockScale block,
                                        std::uint8_t* quantized) {
  const double largest = (1 << settings.bits) - 1;
  const double scale = block.scale;
  const double zero_point = block.zero_point;
  for (std::int64_t i = 0; i < settings.block_size; ++i) {
    const double value = std::nearbyint(static_cast<double>(values[i]) / scale + zero_point);
    quantized[i] = static_cast<std::uint8_t>(value > 0 ? (value < largest ? value : largest) : 0.0);
  }
}

// ---- Floats ---------------------------------------------------------------------------------------------------------

/// Codes of float8e4m3fn or float4e2m1.
void quantize_floats(const BlockSettings& settings, std::span<const float> values, const BlockResults& results) {
  const std::int64_t size = settings.block_size;
  const bool is_four = settings.bits == 4;
  const float largest = is_four ? 6.0F : 448.0F;
  std::array<std::uint8_t, kLargestBlock> codes;
  for (std::int64_t b = 0; b < static_cast<std::int64_t>(values.size()) / size; ++b) {
    const float* block = values.data() + b * size;
    const Range range = find_range(block, size);
    const float scale = round_scale(std::max(range.maximum, -range.minimum) / largest, settings.scale_type);
    BlockError error;
    for (std::int64_t i = 0; i < size; ++i) {
      const float scaled = scale == 0.0F ? 0.0F : std::clamp(block[i] / scale, -largest, largest);
      codes[i] = is_four ? float32_to_float4_e2m1(scaled) : float32_to_float8_e4m3fn(scaled);
      const float value = is_four ? float4_e2m1_to_float32(codes[i]) : float8_e4m3fn_to_float32(codes[i]);
      const float difference = block[i] - value * scale;
      error.signal += block[i] * block[i];
      error.noise += difference * difference;
      error.product += block[i] * difference;
      error.maximum = std::max(error.maximum, std::fabs(difference));
    }
    if (std::isnan(error.noise)) error.maximum = error.noise;
    results.scales[b] = scale;
    results.zero_points[b] = 0;
    results.errors[b] = error;
    pack_block(codes.data(), size, settings.bits, results.packed + b * size * settings.bits / 8);
  }
}

// ---- All together ---------------------------------------------------------------------------------------------------

ONNXPORT_INLINE BlockScale quantize_block(const BlockSettings& settings, const float* values, std::uint8_t* quantized) {
  if (settings.method == BlockMethod::KQuant) {
    BlockScale block = search_scale(settings, values);
    quantize_in_double(settings, values, block, quantized);
    block.scale = round_scale(block.scale, settings.scale_type);
    return block;
  }
  const BlockScale block = find_scale(settings, find_range(values, settings.block_size));
  if (rounds_to_nearest(settings)) {
    quantize_nearest(settings, values, block, quantized);
  } else if (settings.method == BlockMethod::RoundToNearestQdq) {
    quantize_rounding(settings, values, block, quantized);
  } else if (settings.is_symmetric) {
    quantize_signed(settings, values, block, quantized);
  } else {
    quantize_dividing(settings, values, block, quantized);
  }
  return block;
}

ONNXPORT_INLINE void quantize_all(const BlockSettings& settings, std::span<const float> values,
                                  const BlockResults& results) {
  const std::int64_t size = settings.block_size;
  const std::int64_t count = static_cast<std::int64_t>(values.size()) / size;
  std::array<std::uint8_t, kLargestBlock> quantized;
  for (std::int64_t b = 0; b < count; ++b) {
    const float* block_values = values.data() + b * size;
    const BlockScale block = quantize_block(settings, block_values, quantized.data());
    results.scales[b] = block.scale;
    results.zero_points[b] = static_cast<std::uint8_t>(block.zero_point);
    results.errors[b] = measure(block_values, quantized.data(), size, block);
    pack_block(quantized.data(), size, settings.bits, results.packed + b * size * settings.bits / 8);
  }
}

ONNXPORT_INLINE void quantize_all_with(const BlockSettings& settings, std::span<const float> values,
                                       const GivenScales& given, std::uint8_t* packed, BlockError* errors) {
  const std::int64_t size = settings.block_size;
  const auto largest = static_cast<float>((1 << settings.bits) - 1);
  std::array<std::uint8_t, kLargestBlock> quantized;
  for (std::size_t b = 0; b < given.scales.size(); ++b) {
    const float* block_values = values.data() + static_cast<std::int64_t>(b) * size;
    const BlockScale block{given.scales[b], given.zero_points[b]};
    for (std::int64_t i = 0; i < size; ++i) {
      const float value = clamp_to(block_values[i] * given.reciprocals[b] + block.zero_point, largest);
      quantized[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(round_half_even(value)));
    }
    errors[b] = measure(block_values, quantized.data(), size, block);
    pack_block(quantized.data(), size, settings.bits, packed + static_cast<std::int64_t>(b) * size * settings.bits / 8);
  }
}

#ifdef ONNXPORT_HAS_AVX2_TWIN
__attribute__((target("avx2"))) void quantize_avx2(const BlockSettings& settings, std::span<const float> values,
                                                   const BlockResults& results) {
  quantize_all(settings, values, results);
}
#endif

}  // namespace

void quantize_blocks(const BlockSettings& settings, std::span<const float> values, const BlockResults& results) {
  if (settings.method == BlockMethod::Float) return quantize_floats(settings, values, results);
#ifdef ONNXPORT_HAS_AVX2_TWIN
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) return quantize_avx2(settings, values, results);
#endif
  quantize_all(settings, values, results);
}

void quantize_blocks_with(const BlockSettings& settings, std::span<const float> values, const GivenScales& given,
                          std::uint8_t* packed, BlockError* errors) {
  quantize_all_with(settings, values, given, packed, errors);
}

void pack_bits(std::span<const std::uint8_t> values, int bits, std::uint8_t* packed) {
  const std::int64_t per_byte = 8 / bits;
  const auto count = static_cast<std::int64_t>(values.size());
  const std::int64_t whole = count / per_byte * per_byte;
  pack_block(values.data(), whole, bits, packed);
  if (whole == count) return;
  std::array<std::uint8_t, 4> rest{};
  std::copy(values.begin() + whole, values.end(), rest.begin());
  pack_block(rest.data(), per_byte, bits, packed + whole / per_byte);
}

}  // namespace onnxport::quantization
