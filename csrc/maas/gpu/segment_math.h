// What a kernel does to each element of a segment: shared by the compiler of the CPU and that of the GPU.
//
// A kernel finds the segment of its tile (FindSegment) and the places of its elements (as PlaceOf counts
// them), and has WithOperation call it with what happens to each. MoveElement is the same for one element:
// what kernels are checked against.
// Threads: pure functions on the caller's buffers.
#pragma once

#include <stdint.h>

#ifndef __CUDACC_RTC__
#include <cstring>
#endif

#include "maas/base/host_device.h"
#include "maas/gpu/segment.h"
#include "maas/quant/arithmetic.h"

namespace maas {

// Of maas.v1.DataType, those that are converted; segment_plan.cc holds them equal to datatype.h.
inline constexpr uint8_t kSegmentUint8 = 2;
inline constexpr uint8_t kSegmentInt8 = 6;
inline constexpr uint8_t kSegmentFp16 = 10;
inline constexpr uint8_t kSegmentBf16 = 11;
inline constexpr uint8_t kSegmentFp32 = 12;

// Where an element of a segment lies: elements from the segment's first in either tensor.
struct SegmentPlace {
  uint64_t src;
  uint64_t dst;
  uint64_t axis;  // Its index of the axis of quantization, from that of the segment's first element.
};

// Divides *n and returns the remainder; quick where *n fits 32 bits, as in nearly every segment.
MAAS_HD inline uint64_t DivideBy(uint32_t divisor, uint64_t* n) {
  if (*n <= 0xffffffffu) {
    const auto dividend = static_cast<uint32_t>(*n);
    *n = dividend / divisor;
    return dividend % divisor;
  }
  const uint64_t remainder = *n % divisor;
  *n /= divisor;
  return remainder;
}

// REQUIRES: element < segment.elements.
MAAS_HD inline SegmentPlace PlaceOf(const MaasSegment& segment, uint64_t element) {
  uint64_t rest = element;
  const uint64_t within = segment.loop_count == 0 ? element : DivideBy(segment.run, &rest);
  SegmentPlace place = {within, within, segment.axis_run != 0 ? within : 0};
  for (int l = 0; l < segment.loop_count; ++l) {
    const MaasSegmentLoop& loop = segment.loops[l];
    // What is left is less than the extent of the outermost loop.
    const uint64_t index = l + 1 == segment.loop_count ? rest : DivideBy(loop.extent, &rest);
    place.src += index * static_cast<uint64_t>(loop.src_stride);
    place.dst += index * static_cast<uint64_t>(loop.dst_stride);
    if (loop.axis != 0) place.axis += index;
  }
  return place;
}

// The index of the segment that a tile belongs to. REQUIRES: count > 0; the tile is less than that of the
// last segment's end; segments[0].tiles_before == 0.
MAAS_HD inline uint32_t FindSegment(const MaasSegment* segments, uint32_t count, uint32_t tile) {
  uint32_t low = 0;
  uint32_t high = count;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    if (segments[middle].tiles_before <= tile) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// The element at `index` from `memory`, which a GPU must find aligned to it.
template <typename T>
MAAS_HD inline T LoadElement(const void* memory, uint64_t index) {
#ifdef __CUDA_ARCH__
  return static_cast<const T*>(memory)[index];
#else
  T element;
  std::memcpy(&element, static_cast<const char*>(memory) + index * sizeof(T), sizeof(T));
  return element;
#endif
}

template <typename T>
MAAS_HD inline void StoreElement(void* memory, uint64_t index, T element) {
#ifdef __CUDA_ARCH__
  static_cast<T*>(memory)[index] = element;
#else
  std::memcpy(static_cast<char*>(memory) + index * sizeof(T), &element, sizeof(T));
#endif
}

// The scale and zero point of an index of the axis, as PlaceOf counts it. REQUIRES: the segment dequantizes
// or quantizes.
MAAS_HD inline float ScaleOf(const MaasSegment& segment, const void* params, uint64_t axis) {
  return LoadElement<float>(static_cast<const char*>(params) + segment.scales, axis);
}
MAAS_HD inline int32_t ZeroPointOf(const MaasSegment& segment, const void* params, uint64_t axis) {
  return LoadElement<int32_t>(static_cast<const char*>(params) + segment.zero_points, axis);
}

// What happens to one element, `From` and `To` as stored. kReads: it looks at its source; kScaled: and at its
// scale and zero point. What it does not look at may be anything.
template <typename T>
struct CopyOperation {
  using From = T;
  using To = T;
  static constexpr bool kReads = true;
  static constexpr bool kScaled = false;
  MAAS_HD To operator()(From element, float, int32_t) const { return element; }
};

template <typename T>
struct FillOperation {
  using From = T;
  using To = T;
  static constexpr bool kReads = false;
  static constexpr bool kScaled = false;
  MAAS_HD To operator()(From, float, int32_t) const { return value; }
  T value;
};

template <typename Q, typename F>
struct DequantizeOperation {
  using From = uint8_t;
  using To = typename F::Bits;
  static constexpr bool kReads = true;
  static constexpr bool kScaled = true;
  MAAS_HD To operator()(From q, float scale, int32_t zero_point) const {
    return DequantizeBits<Q, F>(q, scale, zero_point);
  }
};

template <typename F, typename Q>
struct QuantizeOperation {
  using From = typename F::Bits;
  using To = uint8_t;
  static constexpr bool kReads = true;
  static constexpr bool kScaled = true;
  MAAS_HD To operator()(From bits, float scale, int32_t zero_point) const {
    return QuantizeBits<F, Q>(bits, scale, zero_point);
  }
};

template <typename F, typename T>
struct CastOperation {
  using From = typename F::Bits;
  using To = typename T::Bits;
  static constexpr bool kReads = true;
  static constexpr bool kScaled = false;
  MAAS_HD To operator()(From bits, float, int32_t) const { return CastBits<F, T>(bits); }
};

// The operations of one floating datatype F with those that the segment names.
template <typename F, typename Visit>
MAAS_HD inline void WithDequantizeTo(const MaasSegment& segment, const Visit& visit) {
  if (segment.from == kSegmentInt8) {
    visit(DequantizeOperation<Int8, F>{});
  } else {
    visit(DequantizeOperation<Uint8, F>{});
  }
}

template <typename F, typename Visit>
MAAS_HD inline void WithQuantizeFrom(const MaasSegment& segment, const Visit& visit) {
  if (segment.to == kSegmentInt8) {
    visit(QuantizeOperation<F, Int8>{});
  } else {
    visit(QuantizeOperation<F, Uint8>{});
  }
}

// `A` and `B` are the floating datatypes that are not F; A is numbered `a`.
template <typename F, typename A, typename B, typename Visit>
MAAS_HD inline void WithCastFrom(const MaasSegment& segment, uint8_t a, const Visit& visit) {
  if (segment.to == a) {
    visit(CastOperation<F, A>{});
  } else {
    visit(CastOperation<F, B>{});
  }
}

// Calls visit(operation) once, with the operation of the segment. Each is a type of its own, so that a loop
// within `visit` is compiled for it alone.
template <typename Visit>
MAAS_HD inline void WithOperation(const MaasSegment& segment, const Visit& visit) {
  switch (segment.kind) {
    case MAAS_COPY:
      if (segment.size == 1) return visit(CopyOperation<uint8_t>{});
      if (segment.size == 2) return visit(CopyOperation<uint16_t>{});
      if (segment.size == 4) return visit(CopyOperation<uint32_t>{});
      return visit(CopyOperation<uint64_t>{});
    case MAAS_FILL:
      if (segment.size == 1) return visit(FillOperation<uint8_t>{static_cast<uint8_t>(segment.value)});
      if (segment.size == 2) return visit(FillOperation<uint16_t>{static_cast<uint16_t>(segment.value)});
      if (segment.size == 4) return visit(FillOperation<uint32_t>{static_cast<uint32_t>(segment.value)});
      return visit(FillOperation<uint64_t>{segment.value});
    case MAAS_DEQUANTIZE:
      if (segment.to == kSegmentFp32) return WithDequantizeTo<Fp32>(segment, visit);
      if (segment.to == kSegmentFp16) return WithDequantizeTo<Fp16>(segment, visit);
      return WithDequantizeTo<Bf16>(segment, visit);
    case MAAS_QUANTIZE:
      if (segment.from == kSegmentFp32) return WithQuantizeFrom<Fp32>(segment, visit);
      if (segment.from == kSegmentFp16) return WithQuantizeFrom<Fp16>(segment, visit);
      return WithQuantizeFrom<Bf16>(segment, visit);
    default:
      if (segment.from == kSegmentFp32) return WithCastFrom<Fp32, Fp16, Bf16>(segment, kSegmentFp16, visit);
      if (segment.from == kSegmentFp16) return WithCastFrom<Fp16, Fp32, Bf16>(segment, kSegmentFp32, visit);
      return WithCastFrom<Bf16, Fp32, Fp16>(segment, kSegmentFp32, visit);
  }
}

// Moves one element of the segment from the memory at `from` to that at `to`. REQUIRES: element <
// segment.elements; the segment's boxes lie in that memory.
MAAS_HD inline void MoveElement(const MaasSegment& segment, const void* params, const void* from, void* to,
                                uint64_t element) {
  const SegmentPlace place = PlaceOf(segment, element);
  const char* const src = static_cast<const char*>(from) + segment.src;
  char* const dst = static_cast<char*>(to) + segment.dst;
  WithOperation(segment, [&](auto operation) {
    using Operation = decltype(operation);
    typename Operation::From value = 0;
    float scale = 1.0f;
    int32_t zero_point = 0;
    if constexpr (Operation::kReads) value = LoadElement<typename Operation::From>(src, place.src);
    if constexpr (Operation::kScaled) {
      scale = ScaleOf(segment, params, place.axis);
      zero_point = ZeroPointOf(segment, params, place.axis);
    }
    StoreElement(dst, place.dst, operation(value, scale, zero_point));
  });
}

}  // namespace maas
