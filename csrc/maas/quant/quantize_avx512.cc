// Kernels for AVX-512 (F, BW, VL, DQ), 16 elements a step. See kernels.h for what this file may share.
//
// A last step that is not full is taken once more from the end, over elements already done; fewer than 16 in
// all go through masks.
#include "maas/quant/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)

#include <immintrin.h>

namespace maas {
namespace {

constexpr size_t kLanes = 16;
// Under this mask the zeroing forms are the plain ones, whose undefined operand gcc 12 warns about.
constexpr __mmask16 kAll = 0xffff;

__mmask16 FirstLanes(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

struct Int8 {
  static constexpr int32_t kLow = -128;
  static constexpr int32_t kHigh = 127;
  static __m512i Widen(__m128i q) { return _mm512_maskz_cvtepi8_epi32(kAll, q); }
};

struct Uint8 {
  static constexpr int32_t kLow = 0;
  static constexpr int32_t kHigh = 255;
  static __m512i Widen(__m128i q) { return _mm512_maskz_cvtepu8_epi32(kAll, q); }
};

struct Fp32 {
  static constexpr size_t kSize = 4;
  using Vector = __m512;
  static Vector Narrow(__m512 x) { return x; }
  static __m512 Widen(Vector v) { return v; }
  static Vector Load(const std::byte* p) { return _mm512_loadu_ps(p); }
  static Vector Load(const std::byte* p, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, p); }
  static void Store(std::byte* p, Vector v) { _mm512_storeu_ps(p, v); }
  static void Store(std::byte* p, Vector v, __mmask16 mask) { _mm512_mask_storeu_ps(p, mask, v); }
  static void Stream(std::byte* p, Vector v) { _mm512_stream_ps(reinterpret_cast<float*>(p), v); }
};

// The two 16-bit types differ in how they convert only.
struct Half {
  static constexpr size_t kSize = 2;
  using Vector = __m256i;
  static Vector Load(const std::byte* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Vector Load(const std::byte* p, __mmask16 mask) { return _mm256_maskz_loadu_epi16(mask, p); }
  static void Store(std::byte* p, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  static void Store(std::byte* p, Vector v, __mmask16 mask) { _mm256_mask_storeu_epi16(p, mask, v); }
  static void Stream(std::byte* p, Vector v) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), v); }
};

struct Fp16 : Half {
  static constexpr uint16_t kInfinityBits = 0x7c00;
  static Vector Narrow(__m512 x) {
    return _mm512_maskz_cvtps_ph(kAll, x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static __m512 Widen(Vector v) { return _mm512_maskz_cvtph_ps(kAll, v); }
};

struct Bf16 : Half {
  static constexpr uint16_t kInfinityBits = 0x7f80;
  // Not vcvtneps2bf16, which takes subnormal numbers for zero.
  static Vector Narrow(__m512 x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i high = _mm512_maskz_srli_epi32(kAll, bits, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    // A product that is no number is a quiet NaN, whose highest fraction bit survives truncation.
    const __mmask16 number = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    const __m512i words = _mm512_mask_add_epi32(bits, number, bits, bias);
    return _mm512_maskz_cvtepi32_epi16(kAll, _mm512_maskz_srli_epi32(kAll, words, 16));
  }
  static __m512 Widen(Vector v) {
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, _mm512_maskz_cvtepu16_epi32(kAll, v), 16));
  }
};

// Where the scale and zero point of element i come from: one for all, or one each.
struct Shared {
  explicit Shared(const QuantParams& params)
      : scale(_mm512_set1_ps(*params.scales)), zero_point(_mm512_set1_epi32(*params.zero_points)) {}
  __m512 Scale(size_t) const { return scale; }
  __m512 Scale(size_t, __mmask16) const { return scale; }
  __m512i ZeroPoint(size_t) const { return zero_point; }
  __m512i ZeroPoint(size_t, __mmask16) const { return zero_point; }
  const __m512 scale;
  const __m512i zero_point;
};

struct PerElement {
  explicit PerElement(const QuantParams& params) : scales(params.scales), zero_points(params.zero_points) {}
  __m512 Scale(size_t i) const { return _mm512_loadu_ps(scales + i); }
  __m512 Scale(size_t i, __mmask16 mask) const { return _mm512_maskz_loadu_ps(mask, scales + i); }
  __m512i ZeroPoint(size_t i) const { return _mm512_loadu_si512(zero_points + i); }
  __m512i ZeroPoint(size_t i, __mmask16 mask) const {
    return _mm512_maskz_loadu_epi32(mask, zero_points + i);
  }
  const float* const scales;
  const int32_t* const zero_points;
};

template <typename Q, typename F>
typename F::Vector DequantizeVector(__m128i q, __m512 scale, __m512i zero_point) {
  const __m512i shifted = _mm512_sub_epi32(Q::Widen(q), zero_point);
  return F::Narrow(_mm512_mul_ps(_mm512_maskz_cvtepi32_ps(kAll, shifted), scale));
}

template <typename Q, typename F, typename P>
typename F::Vector DequantizeStep(const std::byte* src, size_t i, const P& params) {
  const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + i));
  return DequantizeVector<Q, F>(q, params.Scale(i), params.ZeroPoint(i));
}

template <typename Q, typename F, typename P, bool kStream>
void DequantizeAll(const std::byte* src, std::byte* dst, size_t n, const P params) {
  if (n < kLanes) {
    const __mmask16 mask = FirstLanes(n);
    const __m128i q = _mm_maskz_loadu_epi8(mask, src);
    F::Store(dst, DequantizeVector<Q, F>(q, params.Scale(0, mask), params.ZeroPoint(0, mask)), mask);
    return;
  }
  constexpr size_t kAlign = kLanes * F::kSize;
  constexpr size_t kWorthAligning = 16 * kLanes;
  size_t i = 0;
  if (kStream || n >= kWorthAligning) {
    F::Store(dst, DequantizeStep<Q, F>(src, 0, params));
    i = (kAlign - reinterpret_cast<uintptr_t>(dst) % kAlign) / F::kSize;
  }
  const auto put = [dst](size_t at, typename F::Vector v) {
    if constexpr (kStream) {
      F::Stream(dst + at * F::kSize, v);
    } else {
      F::Store(dst + at * F::kSize, v);
    }
  };
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    put(i, DequantizeStep<Q, F>(src, i, params));
    put(i + kLanes, DequantizeStep<Q, F>(src, i + kLanes, params));
    put(i + 2 * kLanes, DequantizeStep<Q, F>(src, i + 2 * kLanes, params));
    put(i + 3 * kLanes, DequantizeStep<Q, F>(src, i + 3 * kLanes, params));
  }
  for (; i + kLanes <= n; i += kLanes) put(i, DequantizeStep<Q, F>(src, i, params));
  if (i < n) F::Store(dst + (n - kLanes) * F::kSize, DequantizeStep<Q, F>(src, n - kLanes, params));
  if constexpr (kStream) _mm_sfence();
}

template <typename Q, typename F>
void Dequantize(const std::byte* src, std::byte* dst, size_t n, const QuantParams& params) {
  const bool stream = n >= kStreamBytes / F::kSize && reinterpret_cast<uintptr_t>(dst) % F::kSize == 0;
  if (params.per_element) {
    stream ? DequantizeAll<Q, F, PerElement, true>(src, dst, n, PerElement(params))
           : DequantizeAll<Q, F, PerElement, false>(src, dst, n, PerElement(params));
  } else {
    stream ? DequantizeAll<Q, F, Shared, true>(src, dst, n, Shared(params))
           : DequantizeAll<Q, F, Shared, false>(src, dst, n, Shared(params));
  }
}

template <typename Q>
__m128i QuantizeVector(__m512 x, __m512 scale, __m512i zero_point) {
  const __m512i low = _mm512_sub_epi32(_mm512_set1_epi32(Q::kLow), zero_point);
  const __m512i high = _mm512_sub_epi32(_mm512_set1_epi32(Q::kHigh), zero_point);
  const __m512 v = _mm512_div_ps(x, scale);
  const __mmask16 number = _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q);
  // The bounds are whole numbers, so to clamp before rounding is the same, and no conversion can overflow.
  const __m512 floored = _mm512_maskz_max_ps(kAll, v, _mm512_maskz_cvtepi32_ps(kAll, low));
  const __m512 clamped = _mm512_maskz_min_ps(kAll, floored, _mm512_maskz_cvtepi32_ps(kAll, high));
  const __m512i rounded =
      _mm512_maskz_cvt_roundps_epi32(number, clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_maskz_cvtepi32_epi8(kAll, _mm512_add_epi32(rounded, zero_point));
}

template <typename F, typename Q, typename P>
void QuantizeStep(const std::byte* src, std::byte* dst, size_t i, const P& params) {
  const __m512 x = F::Widen(F::Load(src + i * F::kSize));
  const __m128i q = QuantizeVector<Q>(x, params.Scale(i), params.ZeroPoint(i));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + i), q);
}

template <typename F, typename Q, typename P>
void QuantizeAll(const std::byte* src, std::byte* dst, size_t n, const P params) {
  if (n < kLanes) {
    const __mmask16 mask = FirstLanes(n);
    const __m512 x = F::Widen(F::Load(src, mask));
    _mm_mask_storeu_epi8(dst, mask, QuantizeVector<Q>(x, params.Scale(0, mask), params.ZeroPoint(0, mask)));
    return;
  }
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) QuantizeStep<F, Q>(src, dst, i, params);
  if (i < n) QuantizeStep<F, Q>(src, dst, n - kLanes, params);
}

template <typename F, typename Q>
void Quantize(const std::byte* src, std::byte* dst, size_t n, const QuantParams& params) {
  params.per_element ? QuantizeAll<F, Q>(src, dst, n, PerElement(params))
                     : QuantizeAll<F, Q>(src, dst, n, Shared(params));
}

uint32_t LargestLane(__m512i v) {
  uint32_t lanes[kLanes];
  _mm512_storeu_si512(lanes, v);
  uint32_t largest = 0;
  for (const uint32_t lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

// Magnitudes compare as their bits do.
float AbsMaxFp32(const std::byte* src, size_t n) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const __m512i infinity = _mm512_set1_epi32(0x7f800000);
  __m512i largest = _mm512_setzero_si512();
  for (size_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = n - i < kLanes ? FirstLanes(n - i) : kAll;
    const __m512i bits = _mm512_and_si512(_mm512_maskz_loadu_epi32(mask, src + i * 4), magnitude);
    largest = _mm512_mask_max_epu32(largest, _mm512_cmplt_epu32_mask(bits, infinity), largest, bits);
  }
  return _mm512_cvtss_f32(_mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int32_t>(LargestLane(largest)))));
}

template <typename F>
float AbsMaxHalf(const std::byte* src, size_t n) {
  constexpr size_t kHalves = 32;
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  const __m512i infinity = _mm512_set1_epi16(F::kInfinityBits);
  __m512i largest = _mm512_setzero_si512();
  for (size_t i = 0; i < n; i += kHalves) {
    const __mmask32 mask = n - i < kHalves ? (1u << (n - i)) - 1u : 0xffffffffu;
    const __m512i bits = _mm512_and_si512(_mm512_maskz_loadu_epi16(mask, src + i * 2), magnitude);
    largest = _mm512_mask_max_epu16(largest, _mm512_cmplt_epu16_mask(bits, infinity), largest, bits);
  }
  const __m512i even = _mm512_and_si512(largest, _mm512_set1_epi32(0xffff));
  const __m512i odd = _mm512_maskz_srli_epi32(kAll, largest, 16);
  const uint32_t bits = LargestLane(_mm512_maskz_max_epu32(kAll, even, odd));
  return _mm512_cvtss_f32(F::Widen(_mm256_set1_epi16(static_cast<int16_t>(bits))));
}

constexpr KernelTable kTable = {
    {{Dequantize<Int8, Fp32>, Dequantize<Int8, Fp16>, Dequantize<Int8, Bf16>},
     {Dequantize<Uint8, Fp32>, Dequantize<Uint8, Fp16>, Dequantize<Uint8, Bf16>}},
    {{Quantize<Fp32, Int8>, Quantize<Fp16, Int8>, Quantize<Bf16, Int8>},
     {Quantize<Fp32, Uint8>, Quantize<Fp16, Uint8>, Quantize<Bf16, Uint8>}},
    {AbsMaxFp32, AbsMaxHalf<Fp16>, AbsMaxHalf<Bf16>},
};

}  // namespace

const KernelTable* Avx512Kernels() { return &kTable; }

}  // namespace maas

#else

namespace maas {

const KernelTable* Avx512Kernels() { return nullptr; }

}  // namespace maas

#endif
