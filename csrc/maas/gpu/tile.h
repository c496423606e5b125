// The arithmetic of the kernel over segments: which elements the threads of a block move, and where those
// lie.
//
// A block of kTileThreads threads moves one tile: it finds the tile's segment together (SegmentSearch),
// begins a TileWalk there, and each thread calls MoveTile. Divisions are done once per tile; from one element
// to the next there are only multiplications. Host and device, so that what the kernel does is tested without
// a GPU. Threads: pure functions on the caller's buffers; different threads of a tile write different
// elements.
#pragma once

#include <stdint.h>

#include "maas/base/host_device.h"
#include "maas/gpu/segment.h"
#include "maas/gpu/segment_math.h"

#ifdef __CUDA_ARCH__
#define MAAS_UNROLL _Pragma("unroll")
#else
#define MAAS_UNROLL
#endif

namespace maas {

inline constexpr uint32_t kTileElements = MAAS_TILE_ELEMENTS;
inline constexpr uint32_t kTileThreads = 256;
// The widest load or store of a thread.
inline constexpr uint32_t kVectorBytes = 16;

// FindSegment() by all threads of a block at once: each round, every thread looks at a segment of its own,
// and one addition over the block leaves a kTileThreads-th of them. REQUIRES: as FindSegment().
struct SegmentSearch {
  uint32_t low;
  uint32_t count;  // Of those that it may be, from `low` on; done when 1.

  // Whether the segment that `thread` looks at begins at or before the tile. True of thread 0.
  MAAS_HD bool Reaches(const MaasSegment* segments, uint32_t tile, uint32_t thread) const {
    const uint64_t index = static_cast<uint64_t>(thread) * step();
    return index < count && segments[low + index].tiles_before <= tile;
  }
  // `reaching`: of how many threads Reaches() was true.
  MAAS_HD void Narrow(uint32_t reaching) {
    const uint32_t passed = (reaching - 1) * step();
    const uint32_t left = count - passed;
    count = step() < left ? step() : left;
    low += passed;
  }

 private:
  MAAS_HD uint32_t step() const { return count / kTileThreads + (count % kTileThreads != 0 ? 1 : 0); }
};

// A digit of a number whose digits have extents of their own, from where it stands at a tile's first element.
struct TileDigit {
  uint32_t extent;
  uint32_t start;       // Below `extent`.
  uint32_t reciprocal;  // ceil(2^26 / extent) where the tile may pass the end more than once, else 0.

  // REQUIRES: start < extent.
  MAAS_HD static TileDigit From(uint32_t start, uint32_t extent) {
    const bool small = extent <= kTileElements;
    return {extent, start, small ? ((1u << 26) + extent - 1) / extent : 0};
  }

  // Where it stands `steps` later; *steps becomes how often it has passed its end. REQUIRES: *steps <= 4096.
  MAAS_HD uint32_t Advance(uint32_t* steps) const {
    if (reciprocal == 0) {
      const uint32_t left = extent - start;
      const bool passes = *steps >= left;
      const uint32_t now = passes ? *steps - left : start + *steps;
      *steps = passes ? 1 : 0;
      return now;
    }
    // Exact: the sum is below 2^13, and the reciprocal's error below 2^12 / 2^26.
    const uint32_t sum = start + *steps;
    *steps = static_cast<uint32_t>((static_cast<uint64_t>(sum) * reciprocal) >> 26);
    return sum - *steps * extent;
  }
};
static_assert(kTileElements <= 4096, "TileDigit counts on it");

// SegmentPlace, in as few registers as will do.
struct TilePlace {
  uint64_t src;
  uint64_t dst;
  uint32_t axis;
};

// PlaceOf() for the elements of one tile.
struct TileWalk {
  uint64_t first;     // The tile's first element within the segment.
  uint32_t elements;  // Of the tile.
  TileDigit run;
  TileDigit loops[MAAS_SEGMENT_LOOPS];

  // `tile`: from the segment's first.
  MAAS_HD void Begin(const MaasSegment& segment, uint32_t tile) {
    first = static_cast<uint64_t>(tile) * kTileElements;
    const uint64_t left = segment.elements - first;
    elements = left < kTileElements ? static_cast<uint32_t>(left) : kTileElements;
    if (segment.loop_count == 0) return;
    uint64_t rest = first;
    run = TileDigit::From(static_cast<uint32_t>(DivideBy(segment.run, &rest)), segment.run);
    for (int l = 0; l < segment.loop_count; ++l) {
      const uint32_t extent = segment.loops[l].extent;
      const bool last = l + 1 == segment.loop_count;
      loops[l] = TileDigit::From(static_cast<uint32_t>(last ? rest : DivideBy(extent, &rest)), extent);
    }
  }

  // Of the element `offset` from the tile's first. REQUIRES: offset < elements.
  MAAS_HD TilePlace At(const MaasSegment& segment, uint32_t offset) const {
    if (segment.loop_count == 0) {
      const uint64_t within = first + offset;
      return {within, within, segment.axis_run != 0 ? static_cast<uint32_t>(within) : 0};
    }
    uint32_t steps = offset;
    const uint32_t within = run.Advance(&steps);
    TilePlace place = {within, within, segment.axis_run != 0 ? within : 0};
    for (int l = 0; l < segment.loop_count; ++l) {
      const MaasSegmentLoop& loop = segment.loops[l];
      const uint32_t index = loops[l].Advance(&steps);
      place.src += index * static_cast<uint64_t>(loop.src_stride);
      place.dst += index * static_cast<uint64_t>(loop.dst_stride);
      if (loop.axis != 0) place.axis += index;
    }
    return place;
  }
};

// Whether each `vector` elements, from a multiple of `vector` on, lie side by side in both tensors, each time
// as far from a multiple of `vector` as the segment's first, and have one scale. `vector`: a power of 2.
MAAS_HD inline bool MovesVectors(const MaasSegment& segment, uint32_t vector) {
  if (segment.axis_run != 0) return false;
  if (segment.loop_count == 0) return true;
  uint64_t together = segment.run;
  for (int l = 0; l < segment.loop_count; ++l) {
    together |= static_cast<uint64_t>(segment.loops[l].src_stride | segment.loops[l].dst_stride);
  }
  return (together & (vector - 1)) == 0;
}

MAAS_HD inline bool IsAligned(const void* address, uint32_t bytes) {
  return (reinterpret_cast<uintptr_t>(address) & (bytes - 1)) == 0;
}

// Elements that one instruction loads or stores, packed: an element each would take a register each.
template <typename T, uint32_t kVector, bool kWords = sizeof(T) * kVector % sizeof(uint32_t) == 0>
struct alignas(sizeof(T) * kVector) TileVector {
  static constexpr uint32_t kBits = 8 * sizeof(T);
  static constexpr uint32_t kEach = kBits < 32 ? 32 / kBits : 1;  // Elements of a word.

  MAAS_HD T Get(uint32_t index) const {
    if constexpr (sizeof(T) == 8) {
      return static_cast<T>(words[2 * index]) | static_cast<T>(words[2 * index + 1]) << 32;
    } else {
      return static_cast<T>(words[index / kEach] >> (index % kEach * kBits));
    }
  }
  // Each index once, upward.
  MAAS_HD void Set(uint32_t index, T element) {
    if constexpr (sizeof(T) == 8) {
      words[2 * index] = static_cast<uint32_t>(element);
      words[2 * index + 1] = static_cast<uint32_t>(element >> 32);
    } else {
      const uint32_t shifted = static_cast<uint32_t>(element) << (index % kEach * kBits);
      words[index / kEach] = index % kEach == 0 ? shifted : words[index / kEach] | shifted;
    }
  }

  uint32_t words[sizeof(T) * kVector / sizeof(uint32_t)];
};

// What fills no word stands alone.
template <typename T>
struct TileVector<T, 1, false> {
  MAAS_HD T Get(uint32_t) const { return element; }
  MAAS_HD void Set(uint32_t, T set) { element = set; }

  T element;
};

// Bytes of an element of the segment, where it lies or goes.
MAAS_HD inline uint32_t ElementBytes(const MaasSegment& segment, uint8_t type) {
  if (segment.kind == MAAS_COPY || segment.kind == MAAS_FILL) return segment.size;
  if (type == kSegmentFp32) return 4;
  return type == kSegmentFp16 || type == kSegmentBf16 ? 2 : 1;
}

// Elements that a thread moves at a time: as many as fill its widest store or load, or 1. `src` and `dst`:
// where the segment's first element lies and goes.
MAAS_HD inline uint32_t VectorOf(const MaasSegment& segment, const void* src, const void* dst) {
  const uint32_t src_bytes = ElementBytes(segment, segment.from);
  const uint32_t dst_bytes = ElementBytes(segment, segment.to);
  const uint32_t bytes = src_bytes > dst_bytes ? src_bytes : dst_bytes;
  const uint32_t vector = bytes == 1 ? 16 : bytes == 2 ? 8 : bytes == 4 ? 4 : 2;
  const bool aligned =
      IsAligned(dst, vector * dst_bytes) && (segment.kind == MAAS_FILL || IsAligned(src, vector * src_bytes));
  return aligned && MovesVectors(segment, vector) ? vector : 1;
}

// Vectors whose loads a thread begins before it waits for the first: narrow loads are many under way, so that
// memory is busy, and all of them together 16 bytes, so that registers are left for other threads.
inline constexpr uint32_t kMostAtOnce = 2;
MAAS_HD constexpr uint32_t VectorsAtOnce(uint32_t bytes) {
  return bytes * kMostAtOnce <= kVectorBytes ? kMostAtOnce : 1;
}

// Where a vector lies and goes, in the memory itself.
struct VectorPlace {
  const char* src;
  char* dst;
  uint32_t axis;
};

// Moves `count` <= VectorsAtOnce() vectors, each of `kVector` elements that lie side by side.
template <uint32_t kVector, typename Operation>
MAAS_HD inline void MoveVectors(const Operation& operation, const MaasSegment& segment, const void* params,
                                const VectorPlace* places, uint32_t count) {
  using From = typename Operation::From;
  using To = typename Operation::To;
  constexpr uint32_t kAtOnce = VectorsAtOnce(sizeof(From) * kVector);
  TileVector<From, kVector> read[kAtOnce] = {};
  if constexpr (Operation::kReads) {
    MAAS_UNROLL
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      if (i >= count) break;
      read[i] = LoadElement<TileVector<From, kVector>>(places[i].src, 0);
    }
  }
  MAAS_UNROLL
  for (uint32_t i = 0; i < kAtOnce; ++i) {
    if (i >= count) break;
    float scale = 1.0f;
    int32_t zero_point = 0;
    if constexpr (Operation::kScaled) {
      scale = ScaleOf(segment, params, places[i].axis);
      zero_point = ZeroPointOf(segment, params, places[i].axis);
    }
    TileVector<To, kVector> written;
    MAAS_UNROLL
    for (uint32_t k = 0; k < kVector; ++k) {
      written.Set(k, operation(read[i].Get(k), scale, zero_point));
    }
    StoreElement(places[i].dst, 0, written);
  }
}

// Moves what `thread` of kTileThreads has of the tile; vectors of neighbours lie side by side. `from` and
// `to` as move() has them. REQUIRES: each lies aligned to the segment's elements once its offset is added.
MAAS_HD inline void MoveTile(const MaasSegment& segment, const TileWalk& walk, uint32_t thread,
                             const void* params, const void* from, void* to) {
  const char* const src = static_cast<const char*>(from) + segment.src;
  char* const dst = static_cast<char*>(to) + segment.dst;
  const uint32_t src_bytes = ElementBytes(segment, segment.from);
  const uint32_t dst_bytes = ElementBytes(segment, segment.to);
  uint32_t vector = VectorOf(segment, src, dst);
  uint32_t offset = 0;
  do {
    const uint32_t end = walk.elements & ~(vector - 1);
    const uint32_t at_once = VectorsAtOnce(vector * src_bytes);
    for (uint32_t begin = offset + thread * vector; begin < end; begin += at_once * kTileThreads * vector) {
      // What to move is decided apart from where it lies: else there would be as much code for either, times
      // the other.
      VectorPlace places[kMostAtOnce];
      uint32_t count = 0;
      MAAS_UNROLL
      for (uint32_t i = 0; i < kMostAtOnce; ++i) {
        const uint32_t element = begin + i * kTileThreads * vector;
        if (i >= at_once || element >= end) break;
        const TilePlace place = walk.At(segment, element);
        places[i] = {src + place.src * src_bytes, dst + place.dst * dst_bytes, place.axis};
        count = i + 1;
      }
      WithOperation(segment, [&](auto operation) {
        using Operation = decltype(operation);
        constexpr uint32_t kFrom = sizeof(typename Operation::From);
        constexpr uint32_t kTo = sizeof(typename Operation::To);
        constexpr uint32_t kVector = kVectorBytes / (kFrom > kTo ? kFrom : kTo);
        if (vector == kVector) {
          MoveVectors<kVector>(operation, segment, params, places, count);
        } else {
          MoveVectors<1>(operation, segment, params, places, count);
        }
      });
    }
    // What is left fills no vector: the end of a segment without loops.
    offset = end;
    vector = 1;
  } while (offset < walk.elements);
}

}  // namespace maas
