#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace onnxport {

/// Conversions between float32 and the 16- and 8-bit formats, round to nearest even. Values beyond the range become
/// infinities, NaN stays NaN. Float8 as in "FP8 Formats for Deep Learning" (Micikevicius et al., 2022).
float float16_to_float32(std::uint16_t bits);
std::uint16_t float32_to_float16(float value);
float float8_e4m3fn_to_float32(std::uint8_t bits);
float float8_e5m2_to_float32(std::uint8_t bits);
/// Float8E4M3FN has no infinities: they, and values that round beyond 448, become NaN.
std::uint8_t float32_to_float8_e4m3fn(float value);
std::uint8_t float32_to_float8_e5m2(float value);

/// Float4E2M1 of "OCP Microscaling Formats" (2023): 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, in the low four
/// bits. It has neither infinities nor NaN: what is beyond 6 becomes 6, NaN too.
float float4_e2m1_to_float32(std::uint8_t bits);
std::uint8_t float32_to_float4_e2m1(float value);

/// Whole runs, with the processor's conversion instructions where it has them. Both spans have the same length.
void float16_to_float32(std::span<const std::uint16_t> bits, std::span<float> values);
void float32_to_float16(std::span<const float> values, std::span<std::uint16_t> bits);

inline float bfloat16_to_float32(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
inline std::uint16_t float32_to_bfloat16(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);  // NaN stays quiet
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace onnxport
