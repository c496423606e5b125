// The 16-bit floating datatypes, one number at a time, on the CPU and on a GPU.
#pragma once

#include <stdint.h>

#include "maas/base/host_device.h"

namespace maas {

MAAS_HD inline float Fp16ToFloat(uint16_t half) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  if (half % 0x8000u >= 0x7c00u) return FloatOf(sign | kInfinity | magnitude);
  // Scaling by 2^112 corrects the exponent's bias, and is exact for subnormal halves too.
  return FloatOf(sign | BitsOf(RoundedProduct(FloatOf(magnitude), 0x1p112f)));
}

MAAS_HD inline float Bf16ToFloat(uint16_t bits) { return FloatOf(static_cast<uint32_t>(bits) << 16); }

// To the nearest, the even one of two; past the largest to infinity. A NaN stays one, made quiet.
MAAS_HD inline uint16_t FloatToFp16(float x) {
  constexpr uint32_t kSign = 0x80000000u;
  const uint32_t sign = (BitsOf(x) & kSign) >> 16;
  const uint32_t magnitude = BitsOf(x) & ~kSign;
#ifdef __CUDA_ARCH__
  // One instruction, where threads that go different ways would wait for each other; but not for a NaN, of
  // which it keeps nothing.
  uint16_t converted;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(converted) : "f"(x));
  const uint32_t nan = sign | 0x7e00u | ((magnitude >> 13) & 0x1ffu);
  return magnitude > 0x7f800000u ? static_cast<uint16_t>(nan) : converted;
#else
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x1ffu);  // A quiet NaN with what fits of the payload.
  } else if (magnitude >= 0x47800000u) {            // 2^16, past the largest finite half and its rounding.
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14 halves are multiples of 2^-24, the unit in the last place of 0.5f: adding it rounds.
    half = BitsOf(RoundedSum(FloatOf(magnitude), 0.5f)) - BitsOf(0.5f);
  } else {
    const uint32_t odd = (magnitude >> 13) & 1u;
    half = (magnitude - (112u << 23) + 0xfffu + odd) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
#endif
}

// The same for BF16.
MAAS_HD inline uint16_t FloatToBf16(float x) {
  const uint32_t bits = BitsOf(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace maas
