#include "maas/gpu/segment_plan.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

#include "maas/base/datatype.h"
#include "maas/gpu/segment_math.h"

namespace maas {
namespace {

static_assert(kSegmentUint8 == static_cast<uint8_t>(DataType::kUint8));
static_assert(kSegmentInt8 == static_cast<uint8_t>(DataType::kInt8));
static_assert(kSegmentFp16 == static_cast<uint8_t>(DataType::kFp16));
static_assert(kSegmentBf16 == static_cast<uint8_t>(DataType::kBf16));
static_assert(kSegmentFp32 == static_cast<uint8_t>(DataType::kFp32));

MaasSegmentKind KindOf(DataType from, DataType to) {
  if (from == to) return MAAS_COPY;
  if (IsQuantized(from)) return MAAS_DEQUANTIZE;
  return IsQuantized(to) ? MAAS_QUANTIZE : MAAS_CAST;
}

template <typename T>
uint64_t Widen(const std::byte* value) {
  T bits;
  std::memcpy(&bits, value, sizeof(bits));
  return bits;
}

uint64_t ValueOf(const std::byte* value, size_t size) {
  if (size == 1) return Widen<uint8_t>(value);
  if (size == 2) return Widen<uint16_t>(value);
  return size == 4 ? Widen<uint32_t>(value) : Widen<uint64_t>(value);
}

// Lets the plan begin `steps` later in one of its loops; `axis` is the index of the axis that it begins at.
void Advance(int64_t steps, int loop, PackPlan* plan, int64_t* axis) {
  const PackLoop& moved = plan->loops[static_cast<size_t>(loop)];
  plan->src_offset += steps * moved.src_stride;
  plan->dst_offset += steps * moved.dst_stride;
  if (loop == plan->axis_loop) *axis += steps;
}

PackPlan WithoutLoop(PackPlan plan, int loop) {
  std::copy(plan.loops.begin() + loop + 1, plan.loops.begin() + plan.loop_count, plan.loops.begin() + loop);
  --plan.loop_count;
  if (plan.axis_loop == loop) {
    plan.axis_loop = -1;
  } else if (plan.axis_loop > loop) {
    --plan.axis_loop;
  }
  return plan;
}

// The loop to take apart where there are too many: the one of the fewest steps.
int ShortestLoop(const PackPlan& plan) {
  const auto begin = plan.loops.begin();
  return static_cast<int>(
      std::min_element(begin, begin + plan.loop_count,
                       [](const PackLoop& a, const PackLoop& b) { return a.extent < b.extent; }) -
      begin);
}

}  // namespace

void SegmentTable::AddMove(const Box& src_box, uint64_t src, const Box& dst_box, uint64_t dst,
                           const Dims& extent, const Conversion& conversion) {
  const MaasSegmentKind kind = KindOf(conversion.from, conversion.to);
  const bool scaled = kind == MAAS_DEQUANTIZE || kind == MAAS_QUANTIZE;
  assert(kind == MAAS_COPY || IsFloating(conversion.from) || IsFloating(conversion.to));
  assert(scaled || kind == MAAS_COPY || (IsFloating(conversion.from) && IsFloating(conversion.to)));
  const bool per_axis = scaled && conversion.axis >= 0 && conversion.scales.size() > 1;
  const PackPlan plan = PlanPack(src_box, dst_box, extent, per_axis ? conversion.axis : -1);
  if (plan.run == 0) return;  // There may be no parameters either, if the axis is empty.

  Element element{{}, ElementSize(conversion.from), ElementSize(conversion.to)};
  assert(element.src_size > 0 && src % element.src_size == 0);
  assert(element.dst_size > 0 && dst % element.dst_size == 0);
  element.segment.src = src;
  element.segment.dst = dst;
  element.segment.kind = kind;
  element.segment.from = static_cast<uint8_t>(conversion.from);
  element.segment.to = static_cast<uint8_t>(conversion.to);
  if (kind == MAAS_COPY) element.segment.size = static_cast<uint8_t>(element.src_size);
  if (scaled) {
    assert(!conversion.scales.empty() && conversion.scales.size() == conversion.zero_points.size());
    const Box& quantized = kind == MAAS_DEQUANTIZE ? src_box : dst_box;
    const auto first = per_axis ? static_cast<size_t>(quantized.offset[conversion.axis]) : 0;
    const auto count = per_axis ? static_cast<size_t>(extent[conversion.axis]) : 1;
    const Quantization kept =
        Keep(conversion.scales.subspan(first, count), conversion.zero_points.subspan(first, count));
    element.segment.scales = static_cast<uint32_t>(kept.first * sizeof(uint32_t));
    element.segment.zero_points = static_cast<uint32_t>((kept.first + kept.count) * sizeof(uint32_t));
  }
  AddParts(plan, 0, element);
}

void SegmentTable::AddFill(const Box& dst_box, uint64_t dst, const Dims& extent, const std::byte* value,
                           size_t element_size) {
  assert(element_size == 1 || element_size == 2 || element_size == 4 || element_size == 8);
  assert(dst % element_size == 0);
  Element element{{}, 0, element_size};
  element.segment.dst = dst;
  element.segment.kind = MAAS_FILL;
  element.segment.size = static_cast<uint8_t>(element_size);
  element.segment.value = ValueOf(value, element_size);
  const PackPlan plan = PlanPack(dst_box, dst_box, extent);
  if (plan.run > 0) AddParts(plan, 0, element);
}

void SegmentTable::Clear() {
  segments_.clear();
  params_.clear();
  kept_.clear();
  tiles_ = 0;
}

SegmentTable::Quantization SegmentTable::Keep(std::span<const float> scales,
                                              std::span<const int32_t> zero_points) {
  // Clients that quantize alike mostly come together; to look further back costs more than it saves.
  constexpr size_t kLookBack = 32;
  const size_t bytes = scales.size_bytes();
  const size_t from = kept_.size() - std::min(kept_.size(), kLookBack);
  for (size_t i = kept_.size(); i > from; --i) {
    const Quantization& kept = kept_[i - 1];
    const uint32_t* words = params_.data() + kept.first;
    if (kept.count == scales.size() && std::memcmp(words, scales.data(), bytes) == 0 &&
        std::memcmp(words + kept.count, zero_points.data(), bytes) == 0) {
      return kept;
    }
  }
  const Quantization added = {params_.size(), scales.size()};
  params_.resize(added.first + 2 * added.count);
  assert(params_.size() <= std::numeric_limits<uint32_t>::max() / sizeof(uint32_t));
  std::memcpy(params_.data() + added.first, scales.data(), bytes);
  std::memcpy(params_.data() + added.first + added.count, zero_points.data(), bytes);
  kept_.push_back(added);
  return added;
}

void SegmentTable::AddParts(PackPlan plan, int64_t axis, const Element& element) {
  if (plan.loop_count > MAAS_SEGMENT_LOOPS) {
    const int loop = ShortestLoop(plan);
    for (int64_t left = plan.loops[static_cast<size_t>(loop)].extent; left > 0; --left) {
      AddParts(WithoutLoop(plan, loop), axis, element);
      Advance(1, loop, &plan, &axis);
    }
    return;
  }
  for (int loop = 0; loop < plan.loop_count; ++loop) {
    const auto l = static_cast<size_t>(loop);
    for (; plan.loops[l].extent > longest_; plan.loops[l].extent -= longest_) {
      PackPlan piece = plan;
      piece.loops[l].extent = longest_;
      AddParts(piece, axis, element);
      Advance(longest_, loop, &plan, &axis);
    }
  }
  for (; plan.run > longest_; plan.run -= longest_) {
    PackPlan piece = plan;
    piece.run = longest_;
    AddPart(piece, axis, element);
    plan.src_offset += longest_;
    plan.dst_offset += longest_;
    if (plan.axis_run) axis += longest_;
  }
  AddPart(plan, axis, element);
}

void SegmentTable::AddPart(const PackPlan& plan, int64_t axis, const Element& element) {
  MaasSegment segment = element.segment;
  segment.src += static_cast<uint64_t>(plan.src_offset) * element.src_size;
  segment.dst += static_cast<uint64_t>(plan.dst_offset) * element.dst_size;
  segment.scales += static_cast<uint32_t>(axis) * static_cast<uint32_t>(sizeof(float));
  segment.zero_points += static_cast<uint32_t>(axis) * static_cast<uint32_t>(sizeof(int32_t));
  segment.run = static_cast<uint32_t>(plan.run);
  segment.axis_run = plan.axis_run ? 1 : 0;
  segment.loop_count = static_cast<uint8_t>(plan.loop_count);
  segment.elements = segment.run;
  for (int l = 0; l < plan.loop_count; ++l) {
    const PackLoop& loop = plan.loops[static_cast<size_t>(l)];
    segment.loops[l] = {static_cast<uint32_t>(loop.extent), l == plan.axis_loop ? 1u : 0u, loop.src_stride,
                        loop.dst_stride};
    segment.elements *= static_cast<uint64_t>(loop.extent);
  }
  segment.tiles_before = tiles_;
  const uint64_t tiles = (segment.elements + MAAS_TILE_ELEMENTS - 1) / MAAS_TILE_ELEMENTS;
  assert(tiles <= std::numeric_limits<uint32_t>::max() - tiles_);
  tiles_ += static_cast<uint32_t>(tiles);
  segments_.push_back(segment);
}

void MoveAll(std::span<const MaasSegment> segments, const void* params, const void* from, void* to) {
  for (const MaasSegment& segment : segments) {
    for (uint64_t i = 0; i < segment.elements; ++i) MoveElement(segment, params, from, to, i);
  }
}

}  // namespace maas
