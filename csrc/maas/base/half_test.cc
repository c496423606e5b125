#include "maas/base/half.h"

#include <gtest/gtest.h>

#include <cmath>

namespace maas {
namespace {

// The value by the definition of the format: sign, `exponent_bits` of exponent, the rest fraction.
double ByDefinition(uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = std::ldexp(bits & ((1 << fraction_bits) - 1), -fraction_bits);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryFiniteFp16IsItsValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) == 0x7c00) continue;
    ASSERT_EQ(Fp16ToFloat(static_cast<uint16_t>(bits)), ByDefinition(static_cast<uint16_t>(bits), 5)) << bits;
  }
}

TEST(Half, EveryFiniteBf16IsItsValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7f80) == 0x7f80) continue;
    ASSERT_EQ(Bf16ToFloat(static_cast<uint16_t>(bits)), ByDefinition(static_cast<uint16_t>(bits), 8)) << bits;
  }
}

// Rounds the numbers between each finite one of 16 bits and the next, by what converts the bits to FP32 and
// back.
void ExpectRoundsToNearest(float (*to_float)(uint16_t), uint16_t (*from_float)(float), uint16_t infinity) {
  for (uint16_t bits = 0; bits < infinity; ++bits) {
    const auto next = static_cast<uint16_t>(bits + 1);
    const float low = to_float(bits);
    ASSERT_EQ(from_float(low), bits);
    ASSERT_EQ(from_float(-low), bits | 0x8000);
    // The largest is rounded as if there were one more after it, as far from it as the one before.
    const float step =
        next < infinity ? to_float(next) - low : low - to_float(static_cast<uint16_t>(bits - 1));
    const float tie = low + step / 2;
    ASSERT_EQ(from_float(tie), bits % 2 == 0 ? bits : next) << bits;
    ASSERT_EQ(from_float(std::nextafter(tie, 0.0f)), bits) << bits;
    ASSERT_EQ(from_float(std::nextafter(tie, INFINITY)), next) << bits;
    ASSERT_EQ(from_float(-std::nextafter(tie, INFINITY)), next | 0x8000) << bits;
  }
}

TEST(Half, FloatsRoundToTheNearestFp16) { ExpectRoundsToNearest(Fp16ToFloat, FloatToFp16, 0x7c00); }

TEST(Half, FloatsRoundToTheNearestBf16) { ExpectRoundsToNearest(Bf16ToFloat, FloatToBf16, 0x7f80); }

TEST(Half, WhatIsTooLargeOrNoNumberStaysSo) {
  for (const float sign : {1.0f, -1.0f}) {
    const uint16_t sign_bit = sign < 0 ? 0x8000 : 0;
    EXPECT_EQ(FloatToFp16(sign * 1e30f), sign_bit | 0x7c00);
    EXPECT_EQ(FloatToFp16(sign * INFINITY), sign_bit | 0x7c00);
    EXPECT_EQ(FloatToBf16(sign * INFINITY), sign_bit | 0x7f80);
  }
  // Of a NaN whose payload lies in the bits that are lost only, too.
  for (const uint32_t bits : {0x7fc00000u, 0x7f800001u, 0xffffffffu, 0xff812345u}) {
    EXPECT_TRUE(std::isnan(Fp16ToFloat(FloatToFp16(FloatOf(bits))))) << bits;
    EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(FloatOf(bits))))) << bits;
  }
}

TEST(Half, InfinityAndNanStayWhatTheyAre) {
  EXPECT_EQ(Fp16ToFloat(0x7c00), INFINITY);
  EXPECT_EQ(Fp16ToFloat(0xfc00), -INFINITY);
  EXPECT_TRUE(std::isnan(Fp16ToFloat(0x7e01)));
  EXPECT_EQ(Bf16ToFloat(0xff80), -INFINITY);
  EXPECT_TRUE(std::isnan(Bf16ToFloat(0x7fc1)));
}

}  // namespace
}  // namespace maas
