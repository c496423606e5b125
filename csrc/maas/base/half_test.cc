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

TEST(Half, InfinityAndNanStayWhatTheyAre) {
  EXPECT_EQ(Fp16ToFloat(0x7c00), INFINITY);
  EXPECT_EQ(Fp16ToFloat(0xfc00), -INFINITY);
  EXPECT_TRUE(std::isnan(Fp16ToFloat(0x7e01)));
  EXPECT_EQ(Bf16ToFloat(0xff80), -INFINITY);
  EXPECT_TRUE(std::isnan(Bf16ToFloat(0x7fc1)));
}

}  // namespace
}  // namespace maas
