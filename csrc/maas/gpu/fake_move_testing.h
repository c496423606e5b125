// The kernel of a fake device: tile by tile and element by element, and never outside of its memory.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "maas/base/datatype.h"
#include "maas/gpu/fake_memory_testing.h"
#include "maas/gpu/segment.h"
#include "maas/gpu/segment_math.h"

namespace maas {

struct FakeMove {
  const MaasSegment* segments;
  uint32_t count;
  uint32_t tiles;
  const void* params;
  const void* from;
  void* to;
};

// Which elements a segment touches, from its first, in one of its tensors.
struct FakeExtent {
  int64_t lowest = 0;
  int64_t highest = 0;

  void Add(int64_t steps, int64_t stride) { (stride < 0 ? lowest : highest) += steps * stride; }
  // Also whether they are aligned to their size, as a GPU asks.
  bool Within(const FakeMemory& memory, const void* base, uint64_t offset, size_t size) const {
    if ((reinterpret_cast<uintptr_t>(base) + offset) % size != 0) return false;
    const auto bytes = static_cast<int64_t>(size);
    return memory.Holds(base, static_cast<int64_t>(offset) + lowest * bytes,
                        offset + static_cast<uint64_t>((highest + 1) * bytes));
  }
};

inline uint64_t TilesOf(const MaasSegment& segment) {
  return (segment.elements + MAAS_TILE_ELEMENTS - 1) / MAAS_TILE_ELEMENTS;
}

inline bool IsConversion(const MaasSegment& segment) {
  const auto from = static_cast<DataType>(segment.from);
  const auto to = static_cast<DataType>(segment.to);
  if (segment.kind == MAAS_DEQUANTIZE) return IsQuantized(from) && IsFloating(to);
  if (segment.kind == MAAS_QUANTIZE) return IsFloating(from) && IsQuantized(to);
  return segment.kind == MAAS_CAST && IsFloating(from) && IsFloating(to) && from != to;
}

// What a GPU would answer with an illegal address, or with wrong bytes; empty where nothing is wrong.
inline std::string WrongWith(const MaasSegment& segment, const FakeMove& move, const FakeMemory& memory) {
  // Also of memory that nobody wrote yet.
  if (segment.kind > MAAS_CAST || segment.loop_count > MAAS_SEGMENT_LOOPS || segment.elements == 0 ||
      segment.run == 0) {
    return "it is no segment";
  }
  const bool typed = segment.kind != MAAS_COPY && segment.kind != MAAS_FILL;
  if (typed ? !IsConversion(segment) : !std::has_single_bit(segment.size) || segment.size > 8) {
    return "it is of no datatype";
  }
  const size_t src_size = typed ? ElementSize(static_cast<DataType>(segment.from)) : segment.size;
  const size_t dst_size = typed ? ElementSize(static_cast<DataType>(segment.to)) : segment.size;
  FakeExtent src;
  FakeExtent dst;
  FakeExtent axis;
  uint64_t elements = segment.run;
  src.Add(segment.run - int64_t{1}, 1);
  dst.Add(segment.run - int64_t{1}, 1);
  if (segment.axis_run != 0) axis.Add(segment.run - int64_t{1}, 1);
  for (const MaasSegmentLoop& loop : std::span(segment.loops).first(segment.loop_count)) {
    const int64_t steps = loop.extent - int64_t{1};
    elements *= loop.extent;
    src.Add(steps, loop.src_stride);
    dst.Add(steps, loop.dst_stride);
    if (loop.axis != 0) axis.Add(steps, 1);
  }
  if (elements != segment.elements) return "its elements are not those of its loops";
  const bool reads = segment.kind != MAAS_FILL;
  const bool scaled = segment.kind == MAAS_DEQUANTIZE || segment.kind == MAAS_QUANTIZE;
  if (reads && !src.Within(memory, move.from, segment.src, src_size))
    return "it reads beyond the memory, or across elements";
  if (!dst.Within(memory, move.to, segment.dst, dst_size))
    return "it writes beyond the memory, or across elements";
  if (scaled && (!axis.Within(memory, move.params, segment.scales, sizeof(float)) ||
                 !axis.Within(memory, move.params, segment.zero_points, sizeof(int32_t)))) {
    return "its parameters lie beyond the memory, or across elements";
  }
  return {};
}

// Empty, or what went wrong; nothing was moved then.
inline std::string RunFakeMove(const FakeMove& move, const FakeMemory& memory) {
  uint64_t tiles = 0;
  for (uint32_t i = 0; i < move.count; ++i) {
    const MaasSegment& segment = move.segments[i];
    std::string wrong = WrongWith(segment, move, memory);
    if (wrong.empty() && segment.tiles_before != tiles) wrong = "its tiles do not follow those before it";
    if (!wrong.empty()) return "segment " + std::to_string(i) + ": " + wrong;
    tiles += TilesOf(segment);
  }
  if (tiles != move.tiles) return "tiles are not those of the segments";
  // The last first: on a GPU no tile comes before another.
  for (uint32_t tile = move.tiles; tile-- > 0;) {
    const MaasSegment& segment = move.segments[FindSegment(move.segments, move.count, tile)];
    const uint64_t first = uint64_t{tile - segment.tiles_before} * MAAS_TILE_ELEMENTS;
    const uint64_t end = std::min<uint64_t>(first + MAAS_TILE_ELEMENTS, segment.elements);
    for (uint64_t element = first; element < end; ++element) {
      MoveElement(segment, move.params, move.from, move.to, element);
    }
  }
  return {};
}

}  // namespace maas
