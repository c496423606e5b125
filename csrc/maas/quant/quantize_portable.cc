// Kernels in plain C++: what every CPU runs when it has nothing better, and what the others are tested
// against.
#include <cstring>

#include "maas/base/half.h"
#include "maas/quant/kernels.h"

namespace maas {
namespace {

uint32_t BitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

float FloatOf(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

constexpr uint32_t kSign = 0x80000000u;
constexpr uint32_t kInfinity = 0x7f800000u;

uint16_t ToFp16(float x) {
  const uint32_t sign = (BitsOf(x) & kSign) >> 16;
  const uint32_t magnitude = BitsOf(x) & ~kSign;
  uint32_t half;
  if (magnitude > kInfinity) {
    half = 0x7e00u | ((magnitude >> 13) & 0x1ffu);  // A quiet NaN with what fits of the payload.
  } else if (magnitude >= 0x47800000u) {            // 2^16, past the largest finite half and its rounding.
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14 halves are multiples of 2^-24, the unit in the last place of 0.5f: adding it rounds.
    half = BitsOf(FloatOf(magnitude) + 0.5f) - BitsOf(0.5f);
  } else {
    const uint32_t odd = (magnitude >> 13) & 1u;
    half = (magnitude - (112u << 23) + 0xfffu + odd) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

uint16_t ToBf16(float x) {
  const uint32_t bits = BitsOf(x);
  if ((bits & ~kSign) > kInfinity) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// One element type each: `Bits` as stored, `kInfinityBits` the first magnitude that is not finite.
struct Fp32 {
  using Bits = uint32_t;
  static constexpr Bits kInfinityBits = kInfinity;
  static Bits From(float x) { return BitsOf(x); }
  static float To(Bits bits) { return FloatOf(bits); }
};

struct Fp16 {
  using Bits = uint16_t;
  static constexpr Bits kInfinityBits = 0x7c00u;
  static Bits From(float x) { return ToFp16(x); }
  static float To(Bits bits) { return Fp16ToFloat(bits); }
};

struct Bf16 {
  using Bits = uint16_t;
  static constexpr Bits kInfinityBits = 0x7f80u;
  static Bits From(float x) { return ToBf16(x); }
  static float To(Bits bits) { return Bf16ToFloat(bits); }
};

template <typename F>
typename F::Bits Load(const std::byte* src, size_t i) {
  typename F::Bits bits;
  std::memcpy(&bits, src + i * sizeof(bits), sizeof(bits));
  return bits;
}

template <typename Q, typename F>
void DequantizeOne(std::byte q, float scale, int32_t zero_point, std::byte* dst) {
  const int32_t shifted = static_cast<int32_t>(static_cast<Q>(q)) - zero_point;
  const typename F::Bits bits = F::From(static_cast<float>(shifted) * scale);
  std::memcpy(dst, &bits, sizeof(bits));
}

template <typename Q, typename F>
void Dequantize(const std::byte* __restrict src, std::byte* __restrict dst, size_t n,
                const QuantParams& params) {
  if (params.per_element) {
    const float* __restrict scales = params.scales;
    const int32_t* __restrict zero_points = params.zero_points;
    for (size_t i = 0; i < n; ++i) {
      DequantizeOne<Q, F>(src[i], scales[i], zero_points[i], dst + i * sizeof(typename F::Bits));
    }
    return;
  }
  const float scale = *params.scales;
  const int32_t zero_point = *params.zero_points;
  if constexpr (sizeof(typename F::Bits) == 2) {
    // These conversions are slow enough that all 256 of them, once, pay soon.
    constexpr size_t kValues = 256;
    if (n >= 4 * kValues) {
      typename F::Bits table[kValues];
      for (size_t q = 0; q < kValues; ++q) {
        DequantizeOne<Q, F>(static_cast<std::byte>(q), scale, zero_point,
                            reinterpret_cast<std::byte*>(&table[q]));
      }
      for (size_t i = 0; i < n; ++i) {
        std::memcpy(dst + i * 2, &table[static_cast<size_t>(src[i])], 2);
      }
      return;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    DequantizeOne<Q, F>(src[i], scale, zero_point, dst + i * sizeof(typename F::Bits));
  }
}

template <typename Q>
struct Range;
template <>
struct Range<int8_t> {
  static constexpr int32_t kLow = -128;
  static constexpr int32_t kHigh = 127;
};
template <>
struct Range<uint8_t> {
  static constexpr int32_t kLow = 0;
  static constexpr int32_t kHigh = 255;
};

template <typename Q>
std::byte QuantizeOne(float x, float scale, int32_t zero_point) {
  // The bounds are whole numbers, so to clamp before rounding is the same, and no conversion can overflow.
  const float low = static_cast<float>(Range<Q>::kLow - zero_point);
  const float high = static_cast<float>(Range<Q>::kHigh - zero_point);
  float v = x / scale;
  if (v != v) v = 0.0f;
  v = v < low ? low : v;
  v = v > high ? high : v;
  // At 1.5 * 2^23 the unit in the last place is 1: the addition rounds to even, the low bits are the result.
  constexpr float kRound = 0x1.8p23f;
  const uint32_t rounded = BitsOf(v + kRound) - BitsOf(kRound);
  return static_cast<std::byte>((rounded + static_cast<uint32_t>(zero_point)) & 0xffu);
}

template <typename F, typename Q>
void Quantize(const std::byte* __restrict src, std::byte* __restrict dst, size_t n,
              const QuantParams& params) {
  if (params.per_element) {
    const float* __restrict scales = params.scales;
    const int32_t* __restrict zero_points = params.zero_points;
    for (size_t i = 0; i < n; ++i) {
      dst[i] = QuantizeOne<Q>(F::To(Load<F>(src, i)), scales[i], zero_points[i]);
    }
    return;
  }
  const float scale = *params.scales;
  const int32_t zero_point = *params.zero_points;
  for (size_t i = 0; i < n; ++i) dst[i] = QuantizeOne<Q>(F::To(Load<F>(src, i)), scale, zero_point);
}

template <typename F>
float AbsMax(const std::byte* src, size_t n) {
  // Magnitudes compare as their bits do.
  constexpr uint32_t kMagnitude = static_cast<typename F::Bits>(~typename F::Bits{0}) >> 1;
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    uint32_t magnitude = Load<F>(src, i) & kMagnitude;
    magnitude = magnitude < F::kInfinityBits ? magnitude : 0;
    largest = magnitude > largest ? magnitude : largest;
  }
  return F::To(static_cast<typename F::Bits>(largest));
}

constexpr KernelTable kTable = {
    {{Dequantize<int8_t, Fp32>, Dequantize<int8_t, Fp16>, Dequantize<int8_t, Bf16>},
     {Dequantize<uint8_t, Fp32>, Dequantize<uint8_t, Fp16>, Dequantize<uint8_t, Bf16>}},
    {{Quantize<Fp32, int8_t>, Quantize<Fp16, int8_t>, Quantize<Bf16, int8_t>},
     {Quantize<Fp32, uint8_t>, Quantize<Fp16, uint8_t>, Quantize<Bf16, uint8_t>}},
    {AbsMax<Fp32>, AbsMax<Fp16>, AbsMax<Bf16>},
};

}  // namespace

const KernelTable* PortableKernels() { return &kTable; }

}  // namespace maas
