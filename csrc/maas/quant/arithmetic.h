// The arithmetic of quantize.h for one element, as it is stored: on the CPU and on a GPU, bit for bit the
// same.
//
// The files of an instruction set must not include this: kernels.h says why.
// Threads: pure functions.
#pragma once

#include <stdint.h>

#include "maas/base/half.h"
#include "maas/base/host_device.h"

namespace maas {

// The floating datatypes: `Bits` as stored, `kInfinityBits` the first magnitude that is not finite.
struct Fp32 {
  using Bits = uint32_t;
  static constexpr Bits kInfinityBits = 0x7f800000u;
  MAAS_HD static Bits From(float x) { return BitsOf(x); }
  MAAS_HD static float To(Bits bits) { return FloatOf(bits); }
};

struct Fp16 {
  using Bits = uint16_t;
  static constexpr Bits kInfinityBits = 0x7c00u;
  MAAS_HD static Bits From(float x) { return FloatToFp16(x); }
  MAAS_HD static float To(Bits bits) { return Fp16ToFloat(bits); }
};

struct Bf16 {
  using Bits = uint16_t;
  static constexpr Bits kInfinityBits = 0x7f80u;
  MAAS_HD static Bits From(float x) { return FloatToBf16(x); }
  MAAS_HD static float To(Bits bits) { return Bf16ToFloat(bits); }
};

// The quantized ones: `Value` is what the byte as stored means.
struct Int8 {
  using Value = int8_t;
  static constexpr int32_t kLow = -128;
  static constexpr int32_t kHigh = 127;
};

struct Uint8 {
  using Value = uint8_t;
  static constexpr int32_t kLow = 0;
  static constexpr int32_t kHigh = 255;
};

template <typename Q, typename F>
MAAS_HD inline typename F::Bits DequantizeBits(uint8_t q, float scale, int32_t zero_point) {
  const int32_t shifted = static_cast<int32_t>(static_cast<typename Q::Value>(q)) - zero_point;
  return F::From(RoundedProduct(static_cast<float>(shifted), scale));
}

template <typename F, typename Q>
MAAS_HD inline uint8_t QuantizeBits(typename F::Bits bits, float scale, int32_t zero_point) {
  const float x = F::To(bits);
  // The bounds are whole numbers, so to clamp before rounding is the same, and no conversion can overflow.
  const float low = static_cast<float>(Q::kLow - zero_point);
  const float high = static_cast<float>(Q::kHigh - zero_point);
  float v = RoundedQuotient(x, scale);
  if (v != v) v = 0.0f;
  v = v < low ? low : v;
  v = v > high ? high : v;
  // At 1.5 * 2^23 the unit in the last place is 1: the addition rounds to even, the low bits are the result.
  constexpr float kRound = 0x1.8p23f;
  const uint32_t rounded = BitsOf(RoundedSum(v, kRound)) - BitsOf(kRound);
  return static_cast<uint8_t>((rounded + static_cast<uint32_t>(zero_point)) & 0xffu);
}

// By way of FP32, which holds each number of the others: rounded once.
template <typename F, typename T>
MAAS_HD inline typename T::Bits CastBits(typename F::Bits bits) {
  return T::From(F::To(bits));
}

}  // namespace maas
