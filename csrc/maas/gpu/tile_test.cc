#include "maas/gpu/tile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

namespace maas {
namespace {

// What all threads of a block do, one after another.
uint32_t Search(const std::vector<MaasSegment>& segments, uint32_t tile) {
  SegmentSearch search = {0, static_cast<uint32_t>(segments.size())};
  while (search.count > 1) {
    uint32_t reaching = 0;
    for (uint32_t thread = 0; thread < kTileThreads; ++thread) {
      reaching += search.Reaches(segments.data(), tile, thread) ? 1 : 0;
    }
    search.Narrow(reaching);
  }
  return search.low;
}

uint32_t TilesOf(const MaasSegment& segment) {
  return static_cast<uint32_t>((segment.elements + kTileElements - 1) / kTileElements);
}

void MoveInTiles(const MaasSegment& segment, const void* params, const void* from, void* to) {
  for (uint32_t tile = 0; tile < TilesOf(segment); ++tile) {
    TileWalk walk;
    walk.Begin(segment, tile);
    for (uint32_t thread = 0; thread < kTileThreads; ++thread) {
      MoveTile(segment, walk, thread, params, from, to);
    }
  }
}

TEST(TileDigit, CountsAsDivisionDoes) {
  for (const uint32_t extent : {1u, 2u, 3u, 7u, 224u, 2731u, 4095u, 4096u, 4097u, 1u << 31, 0xffffffffu}) {
    for (const uint32_t start : {0u, extent / 3, extent / 2, extent - 1}) {
      const TileDigit digit = TileDigit::From(start, extent);
      for (uint32_t steps = 0; steps <= kTileElements; ++steps) {
        uint32_t passed = steps;
        const uint64_t sum = static_cast<uint64_t>(start) + steps;
        ASSERT_EQ(digit.Advance(&passed), sum % extent) << extent << " " << start << " " << steps;
        ASSERT_EQ(passed, sum / extent) << extent << " " << start << " " << steps;
      }
    }
  }
}

TEST(TileDigit, IsExactForEveryExtentThatATilePassesMoreThanOnce) {
  for (uint32_t extent = 1; extent <= kTileElements; ++extent) {
    const TileDigit digit = TileDigit::From(extent - 1, extent);
    // Quotients are first wrong where the remainder is the largest, or none.
    for (uint32_t passes = 1; passes * extent < kTileElements + extent; ++passes) {
      for (const uint32_t sum : {passes * extent - 1, passes * extent}) {
        if (sum < extent - 1 || sum - (extent - 1) > kTileElements) continue;
        uint32_t passed = sum - (extent - 1);
        ASSERT_EQ(digit.Advance(&passed), sum % extent) << extent << " " << sum;
        ASSERT_EQ(passed, sum / extent) << extent << " " << sum;
      }
    }
  }
}

TEST(SegmentSearch, FindsWhatOneThreadFinds) {
  std::mt19937 random(1);
  for (const size_t count : std::initializer_list<size_t>{1, 2, 3, 255, 256, 257, 512, 1000, 65537}) {
    std::vector<MaasSegment> segments(count);
    uint32_t tiles = 0;
    for (MaasSegment& segment : segments) {
      segment.tiles_before = tiles;
      tiles += 1 + static_cast<uint32_t>(random() % 3);
    }
    std::vector<uint32_t> asked = {0, tiles - 1};
    for (int i = 0; i < 30; ++i) asked.push_back(static_cast<uint32_t>(random() % tiles));
    for (const uint32_t tile : asked) {
      EXPECT_EQ(Search(segments, tile), FindSegment(segments.data(), static_cast<uint32_t>(count), tile));
    }
  }
}

TEST(SegmentSearch, AsksOnceWhereThereAreNoMoreSegmentsThanThreads) {
  std::vector<MaasSegment> segments(kTileThreads);
  for (uint32_t i = 0; i < kTileThreads; ++i) segments[i].tiles_before = i;
  SegmentSearch search = {0, kTileThreads};
  uint32_t reaching = 0;
  for (uint32_t i = 0; i < kTileThreads; ++i) reaching += search.Reaches(segments.data(), 100, i) ? 1 : 0;
  search.Narrow(reaching);
  EXPECT_EQ(search.count, 1u);
  EXPECT_EQ(search.low, 100u);
}

TEST(TileWalk, GivesThePlacesOfEveryElement) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    MaasSegment segment = {};
    const uint32_t runs[] = {1, 2, 3, 16, 100, 224, 4096, 5000, 1u << 30};
    segment.run = runs[random() % std::size(runs)];
    segment.axis_run = random() % 2 != 0;
    segment.elements = segment.run;
    segment.loop_count = static_cast<uint8_t>(random() % (MAAS_SEGMENT_LOOPS + 1));
    for (int l = 0; l < segment.loop_count; ++l) {
      const uint32_t extents[] = {1, 2, 3, 7, 224, 5000};
      uint32_t extent = extents[random() % std::size(extents)];
      if (segment.elements * extent >= uint64_t{1} << 40) extent = 1;
      segment.loops[l] = {extent, static_cast<uint32_t>(random() % 2), static_cast<int64_t>(random() % 10000),
                          static_cast<int64_t>(random() % 10000)};
      segment.elements *= extent;
    }
    const uint64_t tiles = (segment.elements + kTileElements - 1) / kTileElements;
    for (const uint64_t tile : {uint64_t{0}, random() % tiles, random() % tiles, tiles - 1}) {
      TileWalk walk;
      walk.Begin(segment, static_cast<uint32_t>(tile));
      ASSERT_EQ(walk.first, tile * kTileElements);
      ASSERT_EQ(walk.elements, std::min<uint64_t>(kTileElements, segment.elements - walk.first));
      for (uint32_t offset = 0; offset < walk.elements; offset += 1 + offset % 7) {
        const SegmentPlace wanted = PlaceOf(segment, walk.first + offset);
        const TilePlace place = walk.At(segment, offset);
        ASSERT_EQ(place.src, wanted.src);
        ASSERT_EQ(place.dst, wanted.dst);
        ASSERT_EQ(place.axis, wanted.axis);
      }
    }
  }
}

struct Kind {
  uint8_t kind;
  uint8_t from;
  uint8_t to;
  uint8_t size;
};

constexpr Kind kKinds[] = {
    {MAAS_COPY, 0, 0, 1},
    {MAAS_COPY, 0, 0, 2},
    {MAAS_COPY, 0, 0, 4},
    {MAAS_COPY, 0, 0, 8},
    {MAAS_FILL, 0, 0, 1},
    {MAAS_FILL, 0, 0, 2},
    {MAAS_FILL, 0, 0, 4},
    {MAAS_FILL, 0, 0, 8},
    {MAAS_DEQUANTIZE, kSegmentInt8, kSegmentFp32, 0},
    {MAAS_DEQUANTIZE, kSegmentInt8, kSegmentFp16, 0},
    {MAAS_DEQUANTIZE, kSegmentUint8, kSegmentBf16, 0},
    {MAAS_QUANTIZE, kSegmentFp32, kSegmentInt8, 0},
    {MAAS_QUANTIZE, kSegmentFp16, kSegmentUint8, 0},
    {MAAS_QUANTIZE, kSegmentBf16, kSegmentUint8, 0},
    {MAAS_CAST, kSegmentFp32, kSegmentFp16, 0},
    {MAAS_CAST, kSegmentFp16, kSegmentBf16, 0},
    {MAAS_CAST, kSegmentBf16, kSegmentFp32, 0},
};

// A segment without loops; its tensors begin the memory.
MaasSegment Flat(const Kind& kind, uint32_t elements) {
  MaasSegment segment = {};
  segment.kind = kind.kind;
  segment.from = kind.from;
  segment.to = kind.to;
  segment.size = kind.size;
  segment.value = 0x0123456789abcdefu;
  segment.run = elements;
  segment.elements = elements;
  return segment;
}

constexpr uint32_t kAxis = 4096;  // Scales, and as many zero points behind them.

class MoveTileTest : public testing::Test {
 protected:
  MoveTileTest() : params_(2 * kAxis) {
    for (uint32_t i = 0; i < kAxis; ++i) {
      const float scale = 0.001f * static_cast<float>(1 + random_() % 1000);
      std::memcpy(&params_[i], &scale, sizeof(scale));
      params_[kAxis + i] = static_cast<uint32_t>(random_() % 100);
    }
  }

  // Moves the segment by tiles and by elements, between memories of random bytes.
  void ExpectMoved(MaasSegment segment) {
    segment.zero_points = kAxis * sizeof(float);
    uint64_t src_end = 0;
    uint64_t dst_end = 0;
    for (uint64_t i = 0; i < segment.elements; ++i) {
      const SegmentPlace place = PlaceOf(segment, i);
      src_end = std::max(src_end, place.src + 1);
      dst_end = std::max(dst_end, place.dst + 1);
    }
    const auto src_bytes = segment.src + src_end * ElementBytes(segment, segment.from);
    const auto dst_bytes = segment.dst + dst_end * ElementBytes(segment, segment.to);
    std::vector<uint64_t> from(src_bytes / 8 + 3);
    for (uint64_t& word : from) word = random_();
    std::vector<uint64_t> wanted(dst_bytes / 8 + 3, 0x5a5a5a5a5a5a5a5au);
    std::vector<uint64_t> moved = wanted;
    for (uint64_t i = 0; i < segment.elements; ++i) {
      MoveElement(segment, params_.data(), Begin(&from), Begin(&wanted), i);
    }
    MoveInTiles(segment, params_.data(), Begin(&from), Begin(&moved));
    EXPECT_EQ(std::memcmp(Begin(&wanted), Begin(&moved), dst_bytes + 1), 0)
        << "kind " << int{segment.kind} << " from " << int{segment.from} << " to " << int{segment.to}
        << " size " << int{segment.size} << " run " << segment.run << " loops " << int{segment.loop_count};
    if (VectorOf(segment, Begin(&from) + segment.src, Begin(&moved) + segment.dst) > 1) ++by_vectors_;
  }

  std::mt19937_64 random_{3};
  std::vector<uint32_t> params_;
  int by_vectors_ = 0;

 private:
  // As aligned as a device's memory, for what is told apart here.
  static char* Begin(std::vector<uint64_t>* memory) {
    const auto address = reinterpret_cast<uintptr_t>(memory->data());
    return reinterpret_cast<char*>(memory->data()) + (kVectorBytes - address % kVectorBytes) % kVectorBytes;
  }
};

TEST_F(MoveTileTest, MovesWhatLiesSideBySide) {
  for (const Kind& kind : kKinds) {
    for (const uint32_t elements : {1u, 3u, 15u, 16u, 4095u, 4096u, 4097u, 10007u}) {
      ExpectMoved(Flat(kind, elements));
    }
  }
  EXPECT_EQ(by_vectors_, static_cast<int>(8 * std::size(kKinds)));
}

TEST_F(MoveTileTest, MovesWhatIsNotAlignedToVectors) {
  for (const Kind& kind : kKinds) {
    for (const uint32_t by : {1u, 3u}) {
      MaasSegment segment = Flat(kind, 5000);
      segment.src = by * ElementBytes(segment, kind.from);
      ExpectMoved(segment);
      segment.src = 0;
      segment.dst = by * ElementBytes(segment, kind.to);
      ExpectMoved(segment);
    }
  }
  EXPECT_EQ(by_vectors_, 4 * 2) << "fills, which do not look at their sources";
}

TEST_F(MoveTileTest, MovesRowsAndGathersThem) {
  for (int round = 0; round < 600; ++round) {
    const uint32_t runs[] = {1, 3, 8, 16, 48, 100, 224, 1000};
    MaasSegment segment = Flat(kKinds[random_() % std::size(kKinds)], runs[random_() % std::size(runs)]);
    segment.loop_count = static_cast<uint8_t>(1 + random_() % MAAS_SEGMENT_LOOPS);
    const bool even = random_() % 2 != 0;
    auto span = static_cast<int64_t>(segment.run);
    for (int l = 0; l < segment.loop_count; ++l) {
      const auto extent = static_cast<uint32_t>(1 + random_() % (l < 2 ? 6 : 3));
      const auto gap = static_cast<int64_t>(even ? 16 * (random_() % 3) : random_() % 20);
      // Sources may be read again; places to write to are each another.
      const auto step = static_cast<int64_t>(even ? 16 * (random_() % 9) : random_() % 99);
      segment.loops[l] = {extent, static_cast<uint32_t>(random_() % 2), step, span + gap};
      span = (span + gap) * extent;
      segment.elements *= extent;
    }
    segment.axis_run = random_() % 4 == 0;
    ExpectMoved(segment);
  }
  EXPECT_GT(by_vectors_, 100);
  EXPECT_LT(by_vectors_, 500);
}

TEST(VectorOf, FillsTheWiderOfLoadAndStore) {
  alignas(kVectorBytes) static const char memory[kVectorBytes] = {};
  const uint32_t wanted[] = {16, 8, 4, 2, 16, 8, 4, 2, 4, 8, 8, 4, 8, 8, 4, 8, 4};
  for (size_t i = 0; i < std::size(kKinds); ++i) {
    EXPECT_EQ(VectorOf(Flat(kKinds[i], 100), memory, memory), wanted[i]) << i;
  }
}

TEST(VectorOf, TakesSingleElementsWhereTheirOrderOrScaleDiffers) {
  alignas(kVectorBytes) static const char memory[kVectorBytes] = {};
  MaasSegment segment = Flat({MAAS_DEQUANTIZE, kSegmentInt8, kSegmentFp32, 0}, 12);
  segment.loop_count = 1;
  segment.loops[0] = {8, 1, 12, 20};
  EXPECT_EQ(VectorOf(segment, memory, memory), 4u);
  EXPECT_EQ(VectorOf(segment, memory + 2, memory), 1u);
  EXPECT_EQ(VectorOf(segment, memory, memory + 4), 1u);
  segment.axis_run = 1;
  EXPECT_EQ(VectorOf(segment, memory, memory), 1u);
  segment.axis_run = 0;
  segment.loops[0].src_stride = 13;
  EXPECT_EQ(VectorOf(segment, memory, memory), 1u);
  segment.loops[0] = {8, 1, 12, 22};
  EXPECT_EQ(VectorOf(segment, memory, memory), 1u);
  segment.loops[0].dst_stride = 20;
  segment.run = 10;
  EXPECT_EQ(VectorOf(segment, memory, memory), 1u);
}

}  // namespace
}  // namespace maas
