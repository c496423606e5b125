// Moves one box of elements from a dense tensor to a place in another, converting on the way.
//
// Packing, splitting, padding, scattering and un-padding are all this one operation. The plan (how the box
// collapses into loops over contiguous runs) is arithmetic of its own; the execution is loops and kernels.
// Threads: pure functions on the caller's buffers; `src` and `dst` must not overlap. No bounds are checked
// here beyond asserts: callers derive boxes from shapes that model/bind.h has validated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "maas/base/datatype.h"
#include "maas/base/dims.h"

namespace maas {

// The box [offset, offset + extent) inside a dense row-major tensor of `dims`; all of equal rank.
struct Box {
  Dims dims;
  Dims offset;
};

// What happens to each element. `scales`/`zero_points` hold 1 entry, or dims[axis] entries of the *quantized*
// tensor's dims along `axis` (indexed by absolute position in the source when dequantizing, in the
// destination when quantizing).
struct Conversion {
  DataType from = DataType::kUnspecified;
  DataType to = DataType::kUnspecified;
  std::span<const float> scales;
  std::span<const int32_t> zero_points;  // As many as scales.
  int axis = -1;                         // -1: per tensor.
};

// Copies `extent` elements per dimension from the box in `src` to the box in `dst`.
// from == to: bytes are copied (any datatype but kBytes). Otherwise dequantizes or quantizes.
// One contiguous run at a time; a dense copy of the whole box is one memcpy or one kernel call. Very large
// dense output may be written with streaming stores. Never allocates.
void CopyBox(const std::byte* src, const Box& src_box, std::byte* dst, const Box& dst_box, const Dims& extent,
             const Conversion& conversion);

// Sets every element of the box of `extent` in `dst` to the `element_size` bytes (1, 2, 4 or 8) at `value`.
void FillBox(std::byte* dst, const Box& dst_box, const Dims& extent, const std::byte* value,
             size_t element_size);

// Scales and zero points that map the largest finite magnitude of `src` (dense, of `dims`) to 127 (kInt8,
// zero point 0; kUint8, zero point 128), per tensor (axis -1) or per index of `axis`. An all-zero slice gets
// scale 1. REQUIRES: scales and zero_points have 1 or dims[axis] entries.
void ChooseQuantization(const std::byte* src, DataType from, const Dims& dims, int axis, DataType to,
                        std::span<float> scales, std::span<int32_t> zero_points);

}  // namespace maas
