// Kernels in plain C++: what every CPU runs when it has nothing better, and what the others are tested
// against.
#include <cstring>

#include "maas/quant/arithmetic.h"
#include "maas/quant/kernels.h"

namespace maas {
namespace {

template <typename F>
typename F::Bits Load(const std::byte* src, size_t i) {
  typename F::Bits bits;
  std::memcpy(&bits, src + i * sizeof(bits), sizeof(bits));
  return bits;
}

template <typename F>
void Store(typename F::Bits bits, std::byte* dst, size_t i) {
  std::memcpy(dst + i * sizeof(bits), &bits, sizeof(bits));
}

template <typename Q, typename F>
void Dequantize(const std::byte* __restrict src, std::byte* __restrict dst, size_t n,
                const QuantParams& params) {
  if (params.per_element) {
    const float* __restrict scales = params.scales;
    const int32_t* __restrict zero_points = params.zero_points;
    for (size_t i = 0; i < n; ++i) {
      Store<F>(DequantizeBits<Q, F>(static_cast<uint8_t>(src[i]), scales[i], zero_points[i]), dst, i);
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
        table[q] = DequantizeBits<Q, F>(static_cast<uint8_t>(q), scale, zero_point);
      }
      for (size_t i = 0; i < n; ++i) {
        Store<F>(table[static_cast<size_t>(src[i])], dst, i);
      }
      return;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    Store<F>(DequantizeBits<Q, F>(static_cast<uint8_t>(src[i]), scale, zero_point), dst, i);
  }
}

template <typename F, typename Q>
void Quantize(const std::byte* __restrict src, std::byte* __restrict dst, size_t n,
              const QuantParams& params) {
  if (params.per_element) {
    const float* __restrict scales = params.scales;
    const int32_t* __restrict zero_points = params.zero_points;
    for (size_t i = 0; i < n; ++i) {
      dst[i] = static_cast<std::byte>(QuantizeBits<F, Q>(Load<F>(src, i), scales[i], zero_points[i]));
    }
    return;
  }
  const float scale = *params.scales;
  const int32_t zero_point = *params.zero_points;
  for (size_t i = 0; i < n; ++i) {
    dst[i] = static_cast<std::byte>(QuantizeBits<F, Q>(Load<F>(src, i), scale, zero_point));
  }
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
    {{Dequantize<Int8, Fp32>, Dequantize<Int8, Fp16>, Dequantize<Int8, Bf16>},
     {Dequantize<Uint8, Fp32>, Dequantize<Uint8, Fp16>, Dequantize<Uint8, Bf16>}},
    {{Quantize<Fp32, Int8>, Quantize<Fp16, Int8>, Quantize<Bf16, Int8>},
     {Quantize<Fp32, Uint8>, Quantize<Fp16, Uint8>, Quantize<Bf16, Uint8>}},
    {AbsMax<Fp32>, AbsMax<Fp16>, AbsMax<Bf16>},
};

}  // namespace

const KernelTable* PortableKernels() { return &kTable; }

}  // namespace maas
