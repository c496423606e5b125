#include "maas/pack/block.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "maas/pack/pack_plan.h"
#include "maas/quant/quantize.h"

namespace maas {
namespace {

// Quantization and dequantization have one signature: n elements, then the parameters.
using KernelFn = DequantizeFn;

// A copy of this many bytes, known when compiled, is a load and a store.
template <size_t kBytes>
void CopyRunsOf(const PackPlan& plan, size_t element_size, const std::byte* src, std::byte* dst) {
  ForEachRun(plan, [=](int64_t s, int64_t d, int64_t) {
    std::memcpy(dst + static_cast<size_t>(d) * element_size, src + static_cast<size_t>(s) * element_size,
                kBytes);
  });
}

void CopyRuns(const PackPlan& plan, size_t element_size, const std::byte* src, std::byte* dst) {
  const size_t bytes = static_cast<size_t>(plan.run) * element_size;
  if (plan.loop_count > 0) {
    if (bytes == 1) return CopyRunsOf<1>(plan, element_size, src, dst);
    if (bytes == 2) return CopyRunsOf<2>(plan, element_size, src, dst);
    if (bytes == 4) return CopyRunsOf<4>(plan, element_size, src, dst);
    if (bytes == 8) return CopyRunsOf<8>(plan, element_size, src, dst);
  }
  ForEachRun(plan, [=](int64_t s, int64_t d, int64_t) {
    std::memcpy(dst + static_cast<size_t>(d) * element_size, src + static_cast<size_t>(s) * element_size,
                bytes);
  });
}

// One conversion of runs: the kernel, and what turns element counts into addresses.
struct RunConverter {
  void operator()(int64_t s, int64_t d, int64_t n, const QuantParams& params) const {
    kernel(src + static_cast<size_t>(s) * src_size, dst + static_cast<size_t>(d) * dst_size,
           static_cast<size_t>(n), params);
  }
  KernelFn kernel;
  const std::byte* src;
  size_t src_size;
  std::byte* dst;
  size_t dst_size;
};

// The scale that maps `magnitude` to 127 and 127 back to a finite number.
float ScaleFor(float magnitude) {
  constexpr float kHighest = 127.0f;
  if (magnitude == 0.0f) return 1.0f;
  const float scale = magnitude / kHighest;
  if (std::isinf(scale * kHighest)) return std::nextafter(scale, 0.0f);
  // A quotient below the smallest normal number is too coarse to lead back to the magnitude.
  return std::max(scale, std::numeric_limits<float>::min());
}

constexpr int64_t kTile = 512;

// The runs go along the axis and are short, such as the three channels of an image, but follow one another:
// their parameters, repeated to a tile, serve many of them in one kernel call. REQUIRES: plan.axis_run,
// plan.run <= kTile / 2, InnermostLoopIsDense(plan).
void ConvertShortAxisRuns(PackPlan plan, const RunConverter& convert, const float* scales,
                          const int32_t* zero_points) {
  const int64_t axis_extent = plan.run;
  AbsorbInnermostLoop(&plan);
  const int64_t tile = std::min(kTile - kTile % axis_extent, plan.run);
  std::array<float, kTile> tile_scales;
  std::array<int32_t, kTile> tile_zero_points;
  for (int64_t at = 0; at < tile; at += axis_extent) {
    std::copy_n(scales, axis_extent, tile_scales.begin() + at);
    std::copy_n(zero_points, axis_extent, tile_zero_points.begin() + at);
  }
  const QuantParams params{tile_scales.data(), tile_zero_points.data(), true};
  ForEachRun(plan, [&](int64_t s, int64_t d, int64_t) {
    for (int64_t at = 0; at < plan.run; at += tile)
      convert(s + at, d + at, std::min(tile, plan.run - at), params);
  });
}

}  // namespace

void CopyBox(const std::byte* src, const Box& src_box, std::byte* dst, const Box& dst_box, const Dims& extent,
             const Conversion& conversion) {
  const size_t src_size = ElementSize(conversion.from);
  const size_t dst_size = ElementSize(conversion.to);
  assert(src_size > 0 && dst_size > 0);
  if (conversion.from == conversion.to) {
    CopyRuns(PlanPack(src_box, dst_box, extent), src_size, src, dst);
    return;
  }
  const bool dequantizes = IsQuantized(conversion.from);
  const KernelFn kernel = dequantizes ? GetDequantize(conversion.from, conversion.to)
                                      : GetQuantize(conversion.from, conversion.to);
  assert(kernel != nullptr);
  const RunConverter convert{kernel, src, src_size, dst, dst_size};

  const bool per_axis = conversion.axis >= 0 && conversion.scales.size() > 1;
  const PackPlan plan = PlanPack(src_box, dst_box, extent, per_axis ? conversion.axis : -1);
  if (plan.run == 0) return;  // There may be no parameters either, if the axis is empty.
  assert(!conversion.scales.empty() && conversion.scales.size() == conversion.zero_points.size());
  const Box& quantized = dequantizes ? src_box : dst_box;
  const int64_t first = per_axis ? quantized.offset[conversion.axis] : 0;
  const float* scales = conversion.scales.data() + first;
  const int32_t* zero_points = conversion.zero_points.data() + first;
  if (!plan.axis_run) {
    ForEachRun(plan, [&](int64_t s, int64_t d, int64_t i) {
      convert(s, d, plan.run, {scales + i, zero_points + i, false});
    });
  } else if (plan.run <= kTile / 2 && InnermostLoopIsDense(plan)) {
    ConvertShortAxisRuns(plan, convert, scales, zero_points);
  } else {
    ForEachRun(plan, [&](int64_t s, int64_t d, int64_t) {
      convert(s, d, plan.run, {scales, zero_points, true});
    });
  }
}

void FillBox(std::byte* dst, const Box& dst_box, const Dims& extent, const std::byte* value,
             size_t element_size) {
  const PackPlan plan = PlanPack(dst_box, dst_box, extent);
  const size_t bytes = static_cast<size_t>(plan.run) * element_size;
  const bool uniform = std::all_of(value, value + element_size, [value](std::byte b) { return b == *value; });
  ForEachRun(plan, [&](int64_t, int64_t d, int64_t) {
    std::byte* run = dst + static_cast<size_t>(d) * element_size;
    if (uniform) {
      std::memset(run, static_cast<int>(*value), bytes);
      return;
    }
    // The filled part doubles until it is worth no more than to be read from the first-level cache.
    constexpr size_t kLongestCopy = 8192;
    std::memcpy(run, value, element_size);
    for (size_t filled = element_size; filled < bytes;) {
      const size_t n = std::min({filled, kLongestCopy, bytes - filled});
      std::memcpy(run + filled, run, n);
      filled += n;
    }
  });
}

void ChooseQuantization(const std::byte* src, DataType from, const Dims& dims, int axis, DataType to,
                        std::span<float> scales, std::span<int32_t> zero_points) {
  const AbsMaxFn abs_max = GetAbsMax(from);
  assert(abs_max != nullptr && IsQuantized(to));
  assert(scales.size() == zero_points.size());
  assert(scales.size() == (axis < 0 ? 1 : static_cast<size_t>(dims[axis])));
  std::fill(zero_points.begin(), zero_points.end(), to == DataType::kInt8 ? 0 : 128);
  std::fill(scales.begin(), scales.end(), 0.0f);

  // Elements that follow one another with one scale.
  const std::span<const int64_t> inner = dims.span().last(static_cast<size_t>(dims.rank() - 1 - axis));
  const auto run = static_cast<size_t>(ElementCount(inner));
  const auto total = static_cast<size_t>(ElementCount(dims));
  for (size_t at = 0, slice = 0; at < total; at += run) {
    scales[slice] = std::max(scales[slice], abs_max(src + at * ElementSize(from), run));
    if (++slice == scales.size()) slice = 0;
  }
  for (float& scale : scales) scale = ScaleFor(scale);
}

}  // namespace maas
