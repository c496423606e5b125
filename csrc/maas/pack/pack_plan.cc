#include "maas/pack/pack_plan.h"

#include <algorithm>
#include <cassert>

namespace maas {

PackPlan PlanPack(const Box& src_box, const Box& dst_box, const Dims& extent, int axis) {
  assert(src_box.dims.rank() == extent.rank() && src_box.offset.rank() == extent.rank());
  assert(dst_box.dims.rank() == extent.rank() && dst_box.offset.rank() == extent.rank());
  assert(axis < extent.rank());
  PackPlan plan;
  int64_t src_stride = 1;
  int64_t dst_stride = 1;
  bool joinable = false;  // Whether the last loop may take in the next dimension.
  for (int d = extent.rank() - 1; d >= 0; --d) {
    const int64_t n = extent[d];
    assert(src_box.offset[d] >= 0 && n >= 0 && src_box.offset[d] + n <= src_box.dims[d]);
    assert(dst_box.offset[d] >= 0 && dst_box.offset[d] + n <= dst_box.dims[d]);
    if (n == 0) return PackPlan();
    plan.src_offset += src_box.offset[d] * src_stride;
    plan.dst_offset += dst_box.offset[d] * dst_stride;
    if (n > 1) {
      PackLoop* last =
          joinable && d != axis ? &plan.loops[static_cast<size_t>(plan.loop_count - 1)] : nullptr;
      if (last != nullptr && src_stride == last->extent * last->src_stride &&
          dst_stride == last->extent * last->dst_stride) {
        last->extent *= n;
      } else {
        if (d == axis) plan.axis_loop = plan.loop_count;
        plan.loops[static_cast<size_t>(plan.loop_count++)] = {n, src_stride, dst_stride};
      }
      joinable = d != axis;
    }
    src_stride *= src_box.dims[d];
    dst_stride *= dst_box.dims[d];
  }
  plan.run = 1;
  if (InnermostLoopIsDense(plan)) {
    plan.axis_run = plan.axis_loop == 0;
    AbsorbInnermostLoop(&plan);
  }
  return plan;
}

bool InnermostLoopIsDense(const PackPlan& plan) {
  return plan.loop_count > 0 && plan.loops[0].src_stride == plan.run && plan.loops[0].dst_stride == plan.run;
}

void AbsorbInnermostLoop(PackPlan* plan) {
  assert(InnermostLoopIsDense(*plan));
  plan->run *= plan->loops[0].extent;
  --plan->loop_count;
  std::copy_n(plan->loops.begin() + 1, plan->loop_count, plan->loops.begin());
  if (plan->axis_loop >= 0) --plan->axis_loop;
}

}  // namespace maas
