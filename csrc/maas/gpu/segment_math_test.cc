#include "maas/gpu/segment_math.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <vector>

#include "maas/base/datatype.h"
#include "maas/quant/reference_for_test.h"

namespace maas {
namespace {

void ExpectPlace(const MaasSegment& segment, uint64_t element, const SegmentPlace& expected) {
  const SegmentPlace place = PlaceOf(segment, element);
  EXPECT_EQ(place.src, expected.src) << "element " << element;
  EXPECT_EQ(place.dst, expected.dst) << "element " << element;
  EXPECT_EQ(place.axis, expected.axis) << "element " << element;
}

TEST(PlaceOf, CountsAlongOneRun) {
  MaasSegment segment{};
  segment.run = 10;
  segment.elements = 10;
  ExpectPlace(segment, 0, {0, 0, 0});
  ExpectPlace(segment, 9, {9, 9, 0});
  segment.axis_run = 1;
  ExpectPlace(segment, 9, {9, 9, 9});
}

TEST(PlaceOf, GoesThroughTheLoopsInnermostFirst) {
  MaasSegment segment{};
  segment.run = 4;
  segment.loop_count = 3;
  segment.loops[0] = {3, 0, 10, 100};
  segment.loops[1] = {2, 1, 1000, 10000};
  segment.loops[2] = {5, 0, 7, 1};
  segment.elements = 4 * 3 * 2 * 5;
  ExpectPlace(segment, 0, {0, 0, 0});
  ExpectPlace(segment, 3, {3, 3, 0});
  ExpectPlace(segment, 4, {10, 100, 0});
  ExpectPlace(segment, 11, {23, 203, 0});
  ExpectPlace(segment, 12, {1000, 10000, 1});
  ExpectPlace(segment, 24, {7, 1, 0});
  ExpectPlace(segment, 119, {20 + 1000 + 28 + 3, 200 + 10000 + 4 + 3, 1});
}

TEST(PlaceOf, CountsTheAxisAlongTheRunOfEachStep) {
  MaasSegment segment{};
  segment.run = 3;
  segment.axis_run = 1;
  segment.loop_count = 1;
  segment.loops[0] = {6, 0, 3, 4};
  segment.elements = 18;
  ExpectPlace(segment, 7, {7, 9, 1});
  ExpectPlace(segment, 17, {17, 22, 2});
}

TEST(PlaceOf, CountsPast32Bits) {
  constexpr uint64_t kRows = uint64_t{1} << 20;
  MaasSegment segment{};
  segment.run = 3u << 12;
  segment.loop_count = 2;
  segment.loops[0] = {1u << 10, 0, 1 << 14, 3 << 12};
  segment.loops[1] = {1u << 10, 1, 1 << 24, 3 << 22};
  segment.elements = kRows * segment.run;
  ExpectPlace(segment, segment.elements - 1,
              {((kRows - 1) << 14) + segment.run - 1, segment.elements - 1, 1023});
  ExpectPlace(segment, uint64_t{0x100000000} + 5, {(349525ull << 14) + 4096 + 5, 0x100000005, 341});
}

TEST(FindSegment, FindsTheLastThatBeginsAtOrBeforeTheTile) {
  std::vector<MaasSegment> segments(5);
  const std::array<uint32_t, 5> before = {0, 1, 2, 40, 41};
  for (size_t i = 0; i < before.size(); ++i) segments[i].tiles_before = before[i];
  const auto find = [&](uint32_t count, uint32_t tile) { return FindSegment(segments.data(), count, tile); };
  EXPECT_EQ(find(5, 0), 0u);
  EXPECT_EQ(find(5, 1), 1u);
  EXPECT_EQ(find(5, 2), 2u);
  EXPECT_EQ(find(5, 39), 2u);
  EXPECT_EQ(find(5, 40), 3u);
  EXPECT_EQ(find(5, 41), 4u);
  EXPECT_EQ(find(5, 4000000000u), 4u);
  EXPECT_EQ(find(4, 41), 3u);
  EXPECT_EQ(find(1, 0), 0u);
  EXPECT_EQ(find(1, 17), 0u);
}

// All numbers of 16 bits, and FP32 whose upper half goes through all and whose lower half lies around a tie.
std::vector<std::byte> NumbersOf(DataType type) {
  std::vector<std::byte> bytes;
  for (const uint32_t low : {0x0000u, 0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
    for (uint32_t high = 0; high < 0x10000u; ++high) {
      const uint32_t bits = type == DataType::kFp32 ? high << 16 | low : high;
      const auto* p = reinterpret_cast<const std::byte*>(&bits);
      bytes.insert(bytes.end(), p, p + ElementSize(type));
    }
    if (type != DataType::kFp32) break;
  }
  return bytes;
}

TEST(MoveElement, CastsToTheNearestNumber) {
  constexpr DataType kFloating[] = {DataType::kFp32, DataType::kFp16, DataType::kBf16};
  for (const DataType from : kFloating) {
    for (const DataType to : kFloating) {
      if (from == to) continue;
      const std::vector<std::byte> src = NumbersOf(from);
      const size_t n = src.size() / ElementSize(from);
      std::vector<std::byte> dst(n * ElementSize(to));
      MaasSegment segment{};
      segment.kind = MAAS_CAST;
      segment.from = static_cast<uint8_t>(from);
      segment.to = static_cast<uint8_t>(to);
      segment.run = static_cast<uint32_t>(n);
      segment.elements = n;
      for (size_t i = 0; i < n; ++i) {
        MoveElement(segment, nullptr, src.data(), dst.data(), i);
        const double x = reference::Load(from, &src[i * ElementSize(from)]);
        const double cast = reference::Load(to, &dst[i * ElementSize(to)]);
        ASSERT_TRUE(reference::SameNumber(cast, reference::RoundTo(to, x)))
            << Name(from) << " -> " << Name(to) << " of " << x;
      }
    }
  }
}

}  // namespace
}  // namespace maas
