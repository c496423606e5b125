// How a box is moved between two dense tensors: as few, as long contiguous runs as their shapes allow.
//
// Pure arithmetic on shapes; block.cc walks the plan. Offsets and strides count elements.
// Threads: values, no shared state.
#pragma once

#include <array>
#include <cstdint>

#include "maas/base/dims.h"
#include "maas/pack/block.h"

namespace maas {

struct PackLoop {
  int64_t extent;
  int64_t src_stride;
  int64_t dst_stride;
};

// The box is `run` elements that follow one another in both tensors, repeated by `loop_count` nested loops.
// If an axis was named, its loop or run covers indices of that axis alone.
struct PackPlan {
  int64_t src_offset = 0;
  int64_t dst_offset = 0;
  int64_t run = 0;                       // 0 iff the box is empty; then there are no loops.
  int loop_count = 0;                    // The first one is the innermost.
  int axis_loop = -1;                    // The loop that goes along the axis, if any.
  bool axis_run = false;                 // The run goes along the axis.
  std::array<PackLoop, kMaxRank> loops;  // Set up to loop_count.
};

// `axis` names a dimension to be kept apart from the others, since each of its indices is treated
// differently; -1 for none. An axis of extent 1 has neither loop nor run. REQUIRES: equal ranks; the box lies
// inside both tensors; axis < rank.
PackPlan PlanPack(const Box& src_box, const Box& dst_box, const Dims& extent, int axis = -1);

// Whether the runs of the innermost loop follow one another without a gap, in both tensors.
bool InnermostLoopIsDense(const PackPlan& plan);
// Makes the innermost loop part of the run.
// REQUIRES: InnermostLoopIsDense(*plan).
void AbsorbInnermostLoop(PackPlan* plan);

// Calls visit(src_offset, dst_offset, axis_index) for every run, in row-major order of the box. `axis_index`
// counts from 0 within the box along axis_loop, and is 0 without one.
template <typename Visit>
void ForEachRun(const PackPlan& plan, Visit visit) {
  if (plan.run == 0) return;
  if (plan.loop_count == 0) {
    visit(plan.src_offset, plan.dst_offset, int64_t{0});
    return;
  }
  const PackLoop inner = plan.loops[0];
  const bool axis_is_inner = plan.axis_loop == 0;
  std::array<int64_t, kMaxRank> index{};
  int64_t src = plan.src_offset;
  int64_t dst = plan.dst_offset;
  for (;;) {
    const int64_t outer_axis_index = plan.axis_loop > 0 ? index[static_cast<size_t>(plan.axis_loop)] : 0;
    for (int64_t i = 0; i < inner.extent; ++i) {
      visit(src + i * inner.src_stride, dst + i * inner.dst_stride, axis_is_inner ? i : outer_axis_index);
    }
    int level = 1;
    for (; level < plan.loop_count; ++level) {
      const auto l = static_cast<size_t>(level);
      const PackLoop& loop = plan.loops[l];
      src += loop.src_stride;
      dst += loop.dst_stride;
      if (++index[l] < loop.extent) break;
      index[l] = 0;
      src -= loop.extent * loop.src_stride;
      dst -= loop.extent * loop.dst_stride;
    }
    if (level == plan.loop_count) return;
  }
}

}  // namespace maas
