#include "core/float16.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace onnxport {
namespace {

constexpr std::uint32_t kFloat32Magnitude = 0x7fffffffU;
constexpr std::uint32_t kFloat32Infinity = 0x7f800000U;
constexpr std::uint32_t kFloat32QuietNan = 0x7fc00000U;

/// Exponent and mantissa bits of a finite float32 `magnitude` (no sign) in a format of `MantissaBits` and exponent
/// `Bias`, rounded to nearest even. Beyond the format's range the result is the next greater number that its exponent
/// field could hold; the caller compares with the largest one it accepts.
template <int MantissaBits, int Bias>
std::uint32_t round_magnitude(std::uint32_t magnitude) {
  constexpr int kDropped = 23 - MantissaBits;
  constexpr std::uint32_t kSmallestNormal = std::uint32_t{127 + 1 - Bias} << 23;
  if (magnitude >= kSmallestNormal) {
    const std::uint32_t rebased = magnitude - (std::uint32_t{127 - Bias} << 23);
    return (rebased + ((1U << (kDropped - 1)) - 1U) + ((rebased >> kDropped) & 1U)) >> kDropped;
  }
  const int exponent = static_cast<int>(magnitude >> 23);
  if (exponent == 0) return 0;  // a subnormal float32 is far below half of any of these formats' smallest number
  const std::uint32_t mantissa = (magnitude & 0x7fffffU) | 0x800000U;
  const int shift = 151 - Bias - MantissaBits - exponent;
  if (shift > 24) return 0;
  const std::uint32_t quotient = mantissa >> shift;
  const std::uint32_t remainder = mantissa & ((1U << shift) - 1U);
  const std::uint32_t half = 1U << (shift - 1);
  return quotient + ((remainder > half || (remainder == half && (quotient & 1U) != 0)) ? 1U : 0U);
}

/// Float32 bits of a finite number given by its exponent and mantissa bits.
template <int MantissaBits, int Bias>
std::uint32_t widen_magnitude(std::uint32_t magnitude) {
  if ((magnitude >> MantissaBits) != 0) {
    return (magnitude << (23 - MantissaBits)) + (std::uint32_t{127 - Bias} << 23);
  }
  constexpr float kUnit = std::bit_cast<float>(std::uint32_t{127 + 1 - Bias - MantissaBits} << 23);
  return std::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * kUnit);
}

#if defined(__x86_64__)

__attribute__((target("avx,f16c"))) std::size_t widen_with_f16c(const std::uint16_t* bits, float* values,
                                                                std::size_t count) {
  std::size_t done = 0;
  for (; done + 8 <= count; done += 8) {
    _mm256_storeu_ps(values + done, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits + done))));
  }
  return done;
}

__attribute__((target("avx,f16c"))) std::size_t narrow_with_f16c(const float* values, std::uint16_t* bits,
                                                                 std::size_t count) {
  std::size_t done = 0;
  for (; done + 8 <= count; done += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bits + done),
                     _mm256_cvtps_ph(_mm256_loadu_ps(values + done), _MM_FROUND_TO_NEAREST_INT));
  }
  return done;
}

bool has_f16c() {
  static const bool present = [] {
    // By its bit, as clang learned the name "f16c" late.
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx") != 0 && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  }();
  return present;
}

std::size_t widen_vectors(const std::uint16_t* bits, float* values, std::size_t count) {
  return has_f16c() ? widen_with_f16c(bits, values, count) : 0;
}

std::size_t narrow_vectors(const float* values, std::uint16_t* bits, std::size_t count) {
  return has_f16c() ? narrow_with_f16c(values, bits, count) : 0;
}

#else

std::size_t widen_vectors(const std::uint16_t*, float*, std::size_t) { return 0; }
std::size_t narrow_vectors(const float*, std::uint16_t*, std::size_t) { return 0; }

#endif

}  // namespace

float float16_to_float32(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t magnitude = bits & 0x7fffU;
  if (magnitude > 0x7c00U) return std::bit_cast<float>(sign | kFloat32QuietNan | (magnitude & 0x3ffU) << 13);
  if (magnitude == 0x7c00U) return std::bit_cast<float>(sign | kFloat32Infinity);
  return std::bit_cast<float>(sign | widen_magnitude<10, 15>(magnitude));
}

std::uint16_t float32_to_float16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & kFloat32Magnitude;
  if (magnitude > kFloat32Infinity) {
    return static_cast<std::uint16_t>(sign | 0x7e00U | ((magnitude >> 13) & 0x3ffU));
  }
  return static_cast<std::uint16_t>(sign | std::min(round_magnitude<10, 15>(magnitude), 0x7c00U));
}

float float8_e4m3fn_to_float32(std::uint8_t bits) {
  const std::uint32_t sign = (bits & 0x80U) << 24;
  const std::uint32_t magnitude = bits & 0x7fU;
  if (magnitude == 0x7fU) return std::bit_cast<float>(sign | kFloat32QuietNan);
  return std::bit_cast<float>(sign | widen_magnitude<3, 7>(magnitude));
}

float float8_e5m2_to_float32(std::uint8_t bits) {
  // The upper half of a float16.
  return float16_to_float32(static_cast<std::uint16_t>(bits << 8));
}

float float4_e2m1_to_float32(std::uint8_t bits) {
  constexpr std::array<float, 8> kMagnitudes{0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const float magnitude = kMagnitudes[bits & 7U];
  return (bits & 8U) != 0 ? -magnitude : magnitude;
}

std::uint8_t float32_to_float4_e2m1(float value) {
  // Halfway between two magnitudes lies the one whose last bit is 0.
  const std::uint8_t sign = std::signbit(value) ? 8 : 0;
  const float magnitude = std::fabs(value);
  std::uint8_t code = 7;
  if (magnitude <= 0.25F) {
    code = 0;
  } else if (magnitude < 0.75F) {
    code = 1;
  } else if (magnitude <= 1.25F) {
    code = 2;
  } else if (magnitude < 1.75F) {
    code = 3;
  } else if (magnitude <= 2.5F) {
    code = 4;
  } else if (magnitude < 3.5F) {
    code = 5;
  } else if (magnitude <= 5.0F) {
    code = 6;
  }
  return static_cast<std::uint8_t>(sign | code);
}

std::uint8_t float32_to_float8_e4m3fn(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 24) & 0x80U;
  const std::uint32_t magnitude = bits & kFloat32Magnitude;
  if (magnitude >= kFloat32Infinity) return static_cast<std::uint8_t>(sign | 0x7fU);
  return static_cast<std::uint8_t>(sign | std::min(round_magnitude<3, 7>(magnitude), 0x7fU));
}

std::uint8_t float32_to_float8_e5m2(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 24) & 0x80U;
  const std::uint32_t magnitude = bits & kFloat32Magnitude;
  if (magnitude > kFloat32Infinity) {
    return static_cast<std::uint8_t>(sign | 0x7eU | ((magnitude >> 21) & 0x3U));
  }
  return static_cast<std::uint8_t>(sign | std::min(round_magnitude<2, 15>(magnitude), 0x7cU));
}

void float16_to_float32(std::span<const std::uint16_t> bits, std::span<float> values) {
  for (std::size_t index = widen_vectors(bits.data(), values.data(), bits.size()); index < bits.size(); ++index) {
    values[index] = float16_to_float32(bits[index]);
  }
}

void float32_to_float16(std::span<const float> values, std::span<std::uint16_t> bits) {
  for (std::size_t index = narrow_vectors(values.data(), bits.data(), values.size()); index < values.size(); ++index) {
    bits[index] = float32_to_float16(values[index]);
  }
}

}  // namespace onnxport
