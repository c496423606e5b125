// The segments of one batch: boxes become what the kernels of a device take, and the parameters they refer
// to.
//
//   table.Clear();
//   table.AddMove(rows, request_at, rows_of_batch, batch_at, extent, conversion);    For each request.
//   table.AddFill(rows_left, batch_at, extent, zero, 4);
//   ... upload table.segments() and table.params(), launch over table.tiles().
//
// Threads: one at a time. Once its vectors have grown to what a batch needs, a table allocates no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "maas/base/dims.h"
#include "maas/gpu/segment.h"
#include "maas/pack/block.h"
#include "maas/pack/pack_plan.h"

namespace maas {

class SegmentTable {
 public:
  // What a longer run or loop is cut into: a power of two, so that the pieces begin as aligned as the whole.
  static constexpr int64_t kLongest = int64_t{1} << 31;

  // `longest`: tests cut earlier. REQUIRES: 0 < longest <= kLongest.
  explicit SegmentTable(int64_t longest = kLongest) : longest_(longest) {}

  // Moves a box as CopyBox of pack/block.h does, from a tensor that begins `src` bytes into the memory that
  // the kernel reads to one that begins `dst` bytes into what it writes. Also casts, between different
  // floating datatypes. An empty box adds nothing. REQUIRES: `src` and `dst` are multiples of the elements'
  // sizes.
  void AddMove(const Box& src_box, uint64_t src, const Box& dst_box, uint64_t dst, const Dims& extent,
               const Conversion& conversion);
  // Fills a box as FillBox does. REQUIRES: `dst` is a multiple of element_size.
  void AddFill(const Box& dst_box, uint64_t dst, const Dims& extent, const std::byte* value,
               size_t element_size);
  void Clear();

  // Both are valid until the table is changed. In the order of the calls; segments of one table may be moved
  // in any order, so boxes that are written must not overlap.
  std::span<const MaasSegment> segments() const { return segments_; }
  // Scales and zero points, which a kernel must find aligned to 4 bytes. Equal ones that were added one soon
  // after another are here once.
  std::span<const std::byte> params() const { return std::as_bytes(std::span(params_)); }
  // Of all segments together.
  uint32_t tiles() const { return tiles_; }

 private:
  // What the parts of one box have in common, and the sizes that turn elements into bytes.
  struct Element {
    MaasSegment segment;
    size_t src_size;
    size_t dst_size;
  };
  // So many scales, and as many zero points behind them, from a word of params_ on.
  struct Quantization {
    size_t first;
    size_t count;
  };

  Quantization Keep(std::span<const float> scales, std::span<const int32_t> zero_points);
  // Adds the segments of a plan that begins `axis` indices after the box along the axis of quantization.
  void AddParts(PackPlan plan, int64_t axis, const Element& element);
  // REQUIRES: the plan fits one segment.
  void AddPart(const PackPlan& plan, int64_t axis, const Element& element);

  const int64_t longest_;
  std::vector<MaasSegment> segments_;
  std::vector<uint32_t> params_;  // The bits of floats and int32s.
  std::vector<Quantization> kept_;
  uint32_t tiles_ = 0;
};

// What a launch over all of the segments' tiles does, on the CPU: the reference, one element at a time.
// REQUIRES: the segments' boxes lie in the memory at `from` and `to`.
void MoveAll(std::span<const MaasSegment> segments, const void* params, const void* from, void* to);

}  // namespace maas
