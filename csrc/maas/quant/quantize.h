// Kernels between int8/uint8 and floating point: real = scale * (q - zero_point).
//
// Arithmetic, the same in every kernel, bit for bit:
//   dequantize  (float(q - zp)) * scale in FP32 (equal to ONNX DequantizeLinear), then FP16/BF16 by
//               round-to-nearest-even.
//   quantize    FP16/BF16 widen to FP32; clamp(rint(x / scale) + zp) to the datatype's range, rint to even
//               (equal to ONNX QuantizeLinear); NaN becomes zp; infinities saturate.
// Threads: pure functions on the caller's buffers. Buffers may be unaligned and of any length; they must not
// overlap. The best kernel for this CPU is chosen once, at first use.
#pragma once

#include <cstddef>
#include <cstdint>

#include "maas/base/datatype.h"

namespace maas {

// One scale and zero point for all elements of a kernel call (`per_element` false), or one of each per
// element, side by side (true): the innermost axis quantized per axis. REQUIRES: zero points within the range
// of the quantized datatype.
struct QuantParams {
  const float* scales = nullptr;         // One, or one per element.
  const int32_t* zero_points = nullptr;  // As many as scales; never null.
  bool per_element = false;
};

// `src` are n kInt8 or kUint8 values; `dst` are n kFp32, kFp16 or kBf16 values.
using DequantizeFn = void (*)(const std::byte* src, std::byte* dst, size_t n, const QuantParams& params);
// `src` are n kFp32, kFp16 or kBf16 values; `dst` are n kInt8 or kUint8 values.
using QuantizeFn = void (*)(const std::byte* src, std::byte* dst, size_t n, const QuantParams& params);

// The largest finite |x| of n kFp32, kFp16 or kBf16 values; 0 if there is none.
using AbsMaxFn = float (*)(const std::byte* src, size_t n);

enum class Isa : uint8_t { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };
// The best that this CPU has and this build has code for.
Isa DetectIsa();
const char* Name(Isa isa);

// Null unless IsQuantized(from) && IsFloating(to), or this build has no code for `isa`.
DequantizeFn GetDequantize(DataType from, DataType to, Isa isa = DetectIsa());
// Null unless IsFloating(from) && IsQuantized(to), or this build has no code for `isa`.
QuantizeFn GetQuantize(DataType from, DataType to, Isa isa = DetectIsa());
// Null unless IsFloating(type).
AbsMaxFn GetAbsMax(DataType type, Isa isa = DetectIsa());

}  // namespace maas
