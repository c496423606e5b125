// Kernels for AVX2 with F16C, 8 elements a step. See kernels.h for what this file may share.
//
// A last step that is not full is taken once more from the end, over elements already done; fewer than 8 in
// all go through padded copies on the stack.
#include "maas/quant/kernels.h"

#if defined(__AVX2__) && defined(__F16C__)

#include <immintrin.h>

#include <cstring>

namespace maas {
namespace {

constexpr size_t kLanes = 8;

struct Int8 {
  static constexpr int32_t kLow = -128;
  static constexpr int32_t kHigh = 127;
  static __m256i Widen(__m128i q) { return _mm256_cvtepi8_epi32(q); }
  static __m128i Narrow(__m128i shorts) { return _mm_packs_epi16(shorts, shorts); }
};

struct Uint8 {
  static constexpr int32_t kLow = 0;
  static constexpr int32_t kHigh = 255;
  static __m256i Widen(__m128i q) { return _mm256_cvtepu8_epi32(q); }
  static __m128i Narrow(__m128i shorts) { return _mm_packus_epi16(shorts, shorts); }
};

struct Fp32 {
  static constexpr size_t kSize = 4;
  using Vector = __m256;
  static Vector Narrow(__m256 x) { return x; }
  static __m256 Widen(Vector v) { return v; }
  static Vector Load(const std::byte* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static void Store(std::byte* p, Vector v) { _mm256_storeu_ps(reinterpret_cast<float*>(p), v); }
  static void Stream(std::byte* p, Vector v) { _mm256_stream_ps(reinterpret_cast<float*>(p), v); }
};

// The two 16-bit types differ in how they convert only.
struct Half {
  static constexpr size_t kSize = 2;
  using Vector = __m128i;
  static Vector Load(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static void Store(std::byte* p, Vector v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
  static void Stream(std::byte* p, Vector v) { _mm_stream_si128(reinterpret_cast<__m128i*>(p), v); }
};

struct Fp16 : Half {
  static constexpr int16_t kInfinityBits = 0x7c00;
  static Vector Narrow(__m256 x) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static __m256 Widen(Vector v) { return _mm256_cvtph_ps(v); }
};

struct Bf16 : Half {
  static constexpr int16_t kInfinityBits = 0x7f80;
  static Vector Narrow(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    // A product that is no number is a quiet NaN, whose highest fraction bit survives truncation.
    const __m256i number = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_ORD_Q));
    const __m256i words = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_and_si256(bias, number)), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
  static __m256 Widen(Vector v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }
};

// Where the scale and zero point of element i come from: one for all, or one each.
struct Shared {
  explicit Shared(const QuantParams& params)
      : scale(_mm256_set1_ps(*params.scales)), zero_point(_mm256_set1_epi32(*params.zero_points)) {}
  __m256 Scale(size_t) const { return scale; }
  __m256i ZeroPoint(size_t) const { return zero_point; }
  const __m256 scale;
  const __m256i zero_point;
};

struct PerElement {
  explicit PerElement(const QuantParams& params) : scales(params.scales), zero_points(params.zero_points) {}
  __m256 Scale(size_t i) const { return _mm256_loadu_ps(scales + i); }
  __m256i ZeroPoint(size_t i) const {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(zero_points + i));
  }
  const float* const scales;
  const int32_t* const zero_points;
};

// Fewer than kLanes scales and zero points, filled up.
struct PaddedParams {
  PaddedParams(const QuantParams& params, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      scales[i] = params.per_element ? params.scales[i] : *params.scales;
      zero_points[i] = params.per_element ? params.zero_points[i] : *params.zero_points;
    }
  }
  PerElement Get() const { return PerElement({scales, zero_points, true}); }
  float scales[kLanes] = {1, 1, 1, 1, 1, 1, 1, 1};
  int32_t zero_points[kLanes] = {};
};

template <typename Q, typename F, typename P>
typename F::Vector DequantizeStep(const std::byte* src, size_t i, const P& params) {
  const __m128i q = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(src + i));
  const __m256i shifted = _mm256_sub_epi32(Q::Widen(q), params.ZeroPoint(i));
  return F::Narrow(_mm256_mul_ps(_mm256_cvtepi32_ps(shifted), params.Scale(i)));
}

// REQUIRES: n >= kLanes.
template <typename Q, typename F, typename P, bool kStream>
void DequantizeAll(const std::byte* src, std::byte* dst, size_t n, const P params) {
  constexpr size_t kAlign = kLanes * F::kSize;
  constexpr size_t kWorthAligning = 32 * kLanes;
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
  if (n < kLanes) {
    if (n == 0) return;  // The buffers may be null, which memcpy refuses.
    const PaddedParams padded(params, n);
    std::byte q[kLanes] = {};
    std::memcpy(q, src, n);
    std::byte real[kLanes * F::kSize];
    F::Store(real, DequantizeStep<Q, F>(q, 0, padded.Get()));
    std::memcpy(dst, real, n * F::kSize);
    return;
  }
  const bool stream = n >= kStreamBytes / F::kSize && reinterpret_cast<uintptr_t>(dst) % F::kSize == 0;
  if (params.per_element) {
    stream ? DequantizeAll<Q, F, PerElement, true>(src, dst, n, PerElement(params))
           : DequantizeAll<Q, F, PerElement, false>(src, dst, n, PerElement(params));
  } else {
    stream ? DequantizeAll<Q, F, Shared, true>(src, dst, n, Shared(params))
           : DequantizeAll<Q, F, Shared, false>(src, dst, n, Shared(params));
  }
}

template <typename F, typename Q, typename P>
void QuantizeStep(const std::byte* src, std::byte* dst, size_t i, const P& params) {
  const __m256i zero_point = params.ZeroPoint(i);
  const __m256i low = _mm256_sub_epi32(_mm256_set1_epi32(Q::kLow), zero_point);
  const __m256i high = _mm256_sub_epi32(_mm256_set1_epi32(Q::kHigh), zero_point);
  const __m256 v = _mm256_div_ps(F::Widen(F::Load(src + i * F::kSize)), params.Scale(i));
  const __m256 number = _mm256_cmp_ps(v, v, _CMP_ORD_Q);
  // The bounds are whole numbers, so to clamp before rounding is the same, and no conversion can overflow.
  const __m256 floored = _mm256_max_ps(v, _mm256_cvtepi32_ps(low));
  const __m256 clamped = _mm256_min_ps(floored, _mm256_cvtepi32_ps(high));
  const __m256 rounded = _mm256_round_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_and_ps(rounded, number)), zero_point);
  const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(dst + i), Q::Narrow(shorts));
}

// REQUIRES: n >= kLanes.
template <typename F, typename Q, typename P>
void QuantizeAll(const std::byte* src, std::byte* dst, size_t n, const P params) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) QuantizeStep<F, Q>(src, dst, i, params);
  if (i < n) QuantizeStep<F, Q>(src, dst, n - kLanes, params);
}

template <typename F, typename Q>
void Quantize(const std::byte* src, std::byte* dst, size_t n, const QuantParams& params) {
  if (n < kLanes) {
    if (n == 0) return;  // The buffers may be null, which memcpy refuses.
    const PaddedParams padded(params, n);
    std::byte real[kLanes * F::kSize] = {};
    std::memcpy(real, src, n * F::kSize);
    std::byte q[kLanes];
    QuantizeStep<F, Q>(real, q, 0, padded.Get());
    std::memcpy(dst, q, n);
    return;
  }
  params.per_element ? QuantizeAll<F, Q>(src, dst, n, PerElement(params))
                     : QuantizeAll<F, Q>(src, dst, n, Shared(params));
}

// The vector at element i of n, zeros past the end.
__m256i LoadPadded(const std::byte* src, size_t bytes_left) {
  if (bytes_left >= 32) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src));
  std::byte padded[32] = {};
  std::memcpy(padded, src, bytes_left);
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(padded));
}

// Magnitudes compare as their bits do, signed as well since the sign is gone.
float AbsMaxFp32(const std::byte* src, size_t n) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  const __m256i infinity = _mm256_set1_epi32(0x7f800000);
  __m256i largest = _mm256_setzero_si256();
  for (size_t at = 0; at < n * 4; at += 32) {
    const __m256i bits = _mm256_and_si256(LoadPadded(src + at, n * 4 - at), magnitude);
    const __m256i finite = _mm256_cmpgt_epi32(infinity, bits);
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, finite));
  }
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  m = _mm_max_epi32(m, _mm_unpackhi_epi64(m, m));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 1));
  return _mm_cvtss_f32(_mm_castsi128_ps(m));
}

template <typename F>
float AbsMaxHalf(const std::byte* src, size_t n) {
  const __m256i magnitude = _mm256_set1_epi16(0x7fff);
  const __m256i infinity = _mm256_set1_epi16(F::kInfinityBits);
  __m256i largest = _mm256_setzero_si256();
  for (size_t at = 0; at < n * 2; at += 32) {
    const __m256i bits = _mm256_and_si256(LoadPadded(src + at, n * 2 - at), magnitude);
    const __m256i finite = _mm256_cmpgt_epi16(infinity, bits);
    largest = _mm256_max_epi16(largest, _mm256_and_si256(bits, finite));
  }
  const __m128i m = _mm_max_epi16(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  // The instruction finds a minimum; the complement turns it into the maximum.
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
  return _mm256_cvtss_f32(F::Widen(_mm_xor_si128(least, _mm_set1_epi16(-1))));
}

constexpr KernelTable kTable = {
    {{Dequantize<Int8, Fp32>, Dequantize<Int8, Fp16>, Dequantize<Int8, Bf16>},
     {Dequantize<Uint8, Fp32>, Dequantize<Uint8, Fp16>, Dequantize<Uint8, Bf16>}},
    {{Quantize<Fp32, Int8>, Quantize<Fp16, Int8>, Quantize<Bf16, Int8>},
     {Quantize<Fp32, Uint8>, Quantize<Fp16, Uint8>, Quantize<Bf16, Uint8>}},
    {AbsMaxFp32, AbsMaxHalf<Fp16>, AbsMaxHalf<Bf16>},
};

}  // namespace

const KernelTable* Avx2Kernels() { return &kTable; }

}  // namespace maas

#else

namespace maas {

const KernelTable* Avx2Kernels() { return nullptr; }

}  // namespace maas

#endif
