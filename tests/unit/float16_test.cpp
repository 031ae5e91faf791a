#include "core/float16.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace onnxport {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The number that sign, exponent and mantissa mean, by their definition.
double number_of(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double fraction = static_cast<double>(bits & ((1U << mantissa_bits) - 1U)) / (1 << mantissa_bits);
  const double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, exponent - bias);
  return (bits >> (exponent_bits + mantissa_bits)) != 0 ? -magnitude : magnitude;
}

TEST(Float16Test, AllValuesAreExactAndRoundTrip) {
  for (std::uint32_t index = 0; index < 0x10000U; ++index) {
    const auto bits = static_cast<std::uint16_t>(index);
    const float value = float16_to_float32(bits);
    const std::uint32_t magnitude = bits & 0x7fffU;
    if (magnitude > 0x7c00U) {
      EXPECT_TRUE(std::isnan(value)) << index;
      EXPECT_TRUE(std::isnan(float16_to_float32(float32_to_float16(value)))) << index;
      EXPECT_EQ(float32_to_float16(value), bits | 0x200U) << index;
      continue;
    }
    const double expected = magnitude == 0x7c00U ? (bits >> 15 != 0 ? -HUGE_VAL : HUGE_VAL) : number_of(bits, 5, 10);
    ASSERT_EQ(value, expected) << index;
    ASSERT_EQ(std::signbit(value), (bits & 0x8000U) != 0) << index;
    ASSERT_EQ(float32_to_float16(value), bits) << index;
  }
}

// Between two neighbours a < b: the middle goes to the even one, and its float32 neighbours to the nearer one.
TEST(Float16Test, RoundsToNearestEven) {
  for (std::uint32_t index = 0; index < 0x7bffU; ++index) {
    const auto lower = static_cast<std::uint16_t>(index);
    const auto upper = static_cast<std::uint16_t>(index + 1);
    const float middle = (float16_to_float32(lower) + float16_to_float32(upper)) / 2.0F;
    ASSERT_EQ(float32_to_float16(middle), index % 2 == 0 ? lower : upper) << index;
    ASSERT_EQ(float32_to_float16(std::nextafter(middle, 0.0F)), lower) << index;
    ASSERT_EQ(float32_to_float16(std::nextafter(middle, kInfinity)), upper) << index;
    ASSERT_EQ(float32_to_float16(-middle), 0x8000U | (index % 2 == 0 ? lower : upper)) << index;
  }
}

TEST(Float16Test, Bounds) {
  EXPECT_EQ(float32_to_float16(65504.0F), 0x7bffU);
  EXPECT_EQ(float32_to_float16(65519.996F), 0x7bffU);
  EXPECT_EQ(float32_to_float16(65520.0F), 0x7c00U);
  EXPECT_EQ(float32_to_float16(-65520.0F), 0xfc00U);
  EXPECT_EQ(float32_to_float16(1e30F), 0x7c00U);
  EXPECT_EQ(float32_to_float16(kInfinity), 0x7c00U);
  EXPECT_EQ(float32_to_float16(-kInfinity), 0xfc00U);
  EXPECT_EQ(float32_to_float16(0x1p-25F), 0U);
  EXPECT_EQ(float32_to_float16(0x1.000002p-25F), 1U);
  EXPECT_EQ(float32_to_float16(std::numeric_limits<float>::denorm_min()), 0U);
  EXPECT_EQ(float32_to_float16(-0.0F), 0x8000U);
  EXPECT_TRUE(std::isnan(float16_to_float32(float32_to_float16(kNan))));
  // A NaN whose upper mantissa bits are all zero must not turn into an infinity.
  EXPECT_TRUE(std::isnan(float16_to_float32(float32_to_float16(std::bit_cast<float>(0x7f800001U)))));
}

TEST(Float16Test, RunsEqualSingleConversions) {
  std::vector<std::uint16_t> bits(0x10000 + 3);
  for (std::size_t index = 0; index < bits.size(); ++index) bits[index] = static_cast<std::uint16_t>(index * 7);
  std::vector<float> values(bits.size());
  float16_to_float32(bits, values);
  for (std::size_t index = 0; index < bits.size(); ++index) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[index]),
              std::bit_cast<std::uint32_t>(float16_to_float32(bits[index])));
  }

  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = std::bit_cast<float>(state);
  }
  float32_to_float16(values, bits);
  for (std::size_t index = 0; index < bits.size(); ++index) {
    ASSERT_EQ(bits[index], float32_to_float16(values[index])) << values[index];
  }
}

TEST(BFloat16Test, AllValuesRoundTrip) {
  for (std::uint32_t index = 0; index < 0x10000U; ++index) {
    const auto bits = static_cast<std::uint16_t>(index);
    const float value = bfloat16_to_float32(bits);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bfloat16_to_float32(float32_to_bfloat16(value))));
    } else {
      ASSERT_EQ(float32_to_bfloat16(value), bits);
    }
  }
}

TEST(BFloat16Test, RoundsToNearestEven) {
  EXPECT_EQ(float32_to_bfloat16(std::bit_cast<float>(0x3f808000U)), 0x3f80U);
  EXPECT_EQ(float32_to_bfloat16(std::bit_cast<float>(0x3f808001U)), 0x3f81U);
  EXPECT_EQ(float32_to_bfloat16(std::bit_cast<float>(0x3f818000U)), 0x3f82U);
  EXPECT_EQ(float32_to_bfloat16(std::bit_cast<float>(0x3f817fffU)), 0x3f81U);
  EXPECT_EQ(float32_to_bfloat16(std::numeric_limits<float>::max()), 0x7f80U);
  EXPECT_EQ(float32_to_bfloat16(-std::numeric_limits<float>::max()), 0xff80U);
  EXPECT_TRUE(std::isnan(bfloat16_to_float32(float32_to_bfloat16(std::bit_cast<float>(0x7f800001U)))));
}

TEST(Float8E4M3FNTest, AllValuesAreExactAndRoundTrip) {
  for (std::uint32_t index = 0; index < 0x100U; ++index) {
    const auto bits = static_cast<std::uint8_t>(index);
    const float value = float8_e4m3fn_to_float32(bits);
    if ((bits & 0x7fU) == 0x7fU) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      EXPECT_EQ(value, number_of(bits, 4, 3)) << index;
    }
    EXPECT_EQ(float32_to_float8_e4m3fn(value), bits) << index;
  }
}

TEST(Float8E4M3FNTest, RoundingAndBounds) {
  for (std::uint32_t index = 0; index < 0x7eU; ++index) {
    const auto lower = static_cast<std::uint8_t>(index);
    const auto upper = static_cast<std::uint8_t>(index + 1);
    const float middle = (float8_e4m3fn_to_float32(lower) + float8_e4m3fn_to_float32(upper)) / 2.0F;
    EXPECT_EQ(float32_to_float8_e4m3fn(middle), index % 2 == 0 ? lower : upper) << index;
    EXPECT_EQ(float32_to_float8_e4m3fn(std::nextafter(middle, 0.0F)), lower) << index;
    EXPECT_EQ(float32_to_float8_e4m3fn(std::nextafter(middle, kInfinity)), upper) << index;
  }
  EXPECT_EQ(float32_to_float8_e4m3fn(448.0F), 0x7eU);
  EXPECT_EQ(float32_to_float8_e4m3fn(464.0F), 0x7eU);
  EXPECT_EQ(float32_to_float8_e4m3fn(464.1F), 0x7fU);
  EXPECT_EQ(float32_to_float8_e4m3fn(-1e9F), 0xffU);
  EXPECT_EQ(float32_to_float8_e4m3fn(kInfinity), 0x7fU);
  EXPECT_EQ(float32_to_float8_e4m3fn(kNan), 0x7fU);
}

TEST(Float8E5M2Test, AllValuesAreExactAndRoundTrip) {
  for (std::uint32_t index = 0; index < 0x100U; ++index) {
    const auto bits = static_cast<std::uint8_t>(index);
    const float value = float8_e5m2_to_float32(bits);
    const std::uint32_t magnitude = bits & 0x7fU;
    if (magnitude > 0x7cU) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(float8_e5m2_to_float32(float32_to_float8_e5m2(value))));
      continue;
    }
    if (magnitude < 0x7cU) {
      EXPECT_EQ(value, number_of(bits, 5, 2)) << index;
    } else {
      EXPECT_TRUE(std::isinf(value));
    }
    EXPECT_EQ(float32_to_float8_e5m2(value), bits) << index;
  }
}

TEST(Float8E5M2Test, RoundingAndBounds) {
  for (std::uint32_t index = 0; index < 0x7bU; ++index) {
    const auto lower = static_cast<std::uint8_t>(index);
    const auto upper = static_cast<std::uint8_t>(index + 1);
    const float middle = (float8_e5m2_to_float32(lower) + float8_e5m2_to_float32(upper)) / 2.0F;
    EXPECT_EQ(float32_to_float8_e5m2(middle), index % 2 == 0 ? lower : upper) << index;
    EXPECT_EQ(float32_to_float8_e5m2(std::nextafter(middle, 0.0F)), lower) << index;
    EXPECT_EQ(float32_to_float8_e5m2(std::nextafter(middle, kInfinity)), upper) << index;
  }
  EXPECT_EQ(float32_to_float8_e5m2(57344.0F), 0x7bU);
  EXPECT_EQ(float32_to_float8_e5m2(61439.0F), 0x7bU);
  EXPECT_EQ(float32_to_float8_e5m2(61440.0F), 0x7cU);
  EXPECT_EQ(float32_to_float8_e5m2(-kInfinity), 0xfcU);
}

}  // namespace
}  // namespace onnxport
