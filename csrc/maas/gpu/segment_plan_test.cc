#include "maas/gpu/segment_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "maas/gpu/segment_math.h"

namespace maas {
namespace {

constexpr DataType kQuantized[] = {DataType::kInt8, DataType::kUint8};
constexpr DataType kFloating[] = {DataType::kFp32, DataType::kFp16, DataType::kBf16};
constexpr size_t kMargin = 64;

using Bytes = std::vector<std::byte>;

Box Whole(const Dims& dims) { return {dims, Zeros(dims.rank())}; }
size_t Count(const Dims& dims) { return static_cast<size_t>(ElementCount(dims)); }

Bytes RandomBytes(size_t n, std::mt19937* random) {
  Bytes bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>((*random)());
  return bytes;
}

// Parameters at random for an axis of n indices.
struct Quantization {
  Quantization(int64_t n, DataType type, std::mt19937* random) {
    std::uniform_real_distribution<float> scale(0.01f, 2.0f);
    for (int64_t i = 0; i < n; ++i) {
      scales.push_back(scale(*random));
      zero_points.push_back(static_cast<int32_t>((*random)() % 128) - (type == DataType::kInt8 ? 64 : 0));
    }
  }
  std::vector<float> scales;
  std::vector<int32_t> zero_points;
};

// The memory that a kernel reads and the one that it writes; each box lies somewhere in it.
class Batch {
 public:
  Batch(uint32_t seed, int64_t longest) : random(seed), table(longest) {}

  int Uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

  // Extents and what lies around them, of `rank` dimensions: small tensors of up to kMaxRank, most of the
  // time with dimensions that cannot be joined.
  void Shape(int rank, Dims* extent, Box* src, Box* dst) {
    int64_t elements = 1;
    for (int d = 0; d < rank; ++d) {
      const int64_t most = std::max<int64_t>(1, (int64_t{1} << 13) / elements);
      const int64_t n = rank <= 3 && Uniform(0, 4) == 0 ? Uniform(0, 70) : Uniform(1, rank > 6 ? 2 : 4);
      extent->push_back(std::min(n, most));
      int64_t widest = 1;
      for (Box* box : {src, dst}) {
        const int64_t before = most > 8 ? Uniform(0, 1) * Uniform(0, 1) : 0;
        const int64_t after = most > 8 ? Uniform(0, 1) * Uniform(0, 1) : 0;
        box->offset.push_back(before);
        box->dims.push_back(before + (*extent)[d] + after);
        widest = std::max(widest, box->dims[d]);
      }
      elements *= widest;
    }
  }

  // Adds the move to the table, and makes it by CopyBox in what is expected.
  void Move(const Box& src, const Box& dst, const Dims& extent, const Conversion& conversion) {
    const size_t src_at = Place(Count(src.dims) * ElementSize(conversion.from), &from);
    const size_t dst_at = Place(Count(dst.dims) * ElementSize(conversion.to), &expected);
    table.AddMove(src, src_at, dst, dst_at, extent, conversion);
    CopyBox(from.data() + src_at, src, expected.data() + dst_at, dst, extent, conversion);
  }

  void Fill(const Box& dst, const Dims& extent, const Bytes& value) {
    const size_t at = Place(Count(dst.dims) * value.size(), &expected);
    table.AddFill(dst, at, extent, value.data(), value.size());
    FillBox(expected.data() + at, dst, extent, value.data(), value.size());
  }

  Bytes Moved() const {
    Bytes to(expected.size());
    MoveAll(table.segments(), table.params().data(), from.data(), to.data());
    return to;
  }

  std::mt19937 random;
  SegmentTable table;
  Bytes from;
  Bytes expected;

 private:
  // So many bytes more, at random in `from`, and where they begin: aligned to 8.
  size_t Place(size_t bytes, Bytes* memory) {
    const size_t at = (memory->size() + kMargin) / 8 * 8;
    memory->resize(at + bytes + kMargin);
    if (memory == &from) {
      for (size_t i = at; i < at + bytes; ++i) (*memory)[i] = static_cast<std::byte>(random());
    }
    return at;
  }
};

// What a grid of blocks does: each finds its segment and moves its tile of it.
Bytes MovedByTiles(const Batch& batch) {
  Bytes to(batch.expected.size());
  const std::span<const MaasSegment> segments = batch.table.segments();
  for (uint32_t tile = 0; tile < batch.table.tiles(); ++tile) {
    const MaasSegment& segment =
        segments[FindSegment(segments.data(), static_cast<uint32_t>(segments.size()), tile)];
    const uint64_t first = uint64_t{tile - segment.tiles_before} * MAAS_TILE_ELEMENTS;
    EXPECT_LT(first, segment.elements);
    for (uint64_t i = first; i < std::min<uint64_t>(first + MAAS_TILE_ELEMENTS, segment.elements); ++i) {
      MoveElement(segment, batch.table.params().data(), batch.from.data(), to.data(), i);
    }
  }
  return to;
}

struct Seed {
  uint32_t seed;
  int64_t longest;
};

class SegmentTableProperty : public testing::TestWithParam<Seed> {};

TEST_P(SegmentTableProperty, MovesAnyBoxesAsCopyBoxAndFillBoxDo) {
  for (int round = 0; round < 200; ++round) {
    Batch batch(GetParam().seed + static_cast<uint32_t>(round) * 100u, GetParam().longest);
    for (int i = batch.Uniform(1, 8); i > 0; --i) {
      Dims extent;
      Box src;
      Box dst;
      const int rank = batch.Uniform(0, 2) == 0 ? batch.Uniform(0, kMaxRank) : batch.Uniform(0, 4);
      batch.Shape(rank, &extent, &src, &dst);
      const DataType quantized = kQuantized[batch.Uniform(0, 1)];
      const DataType floating = kFloating[batch.Uniform(0, 2)];
      const int axis = batch.Uniform(-1, rank - 1);
      const int kind = batch.Uniform(0, 3);
      const Box& along = kind == 0 ? src : dst;
      const Quantization q(axis < 0 || batch.Uniform(0, 4) == 0 ? 1 : along.dims[axis], quantized,
                           &batch.random);
      if (kind == 0) {
        batch.Move(src, dst, extent, {quantized, floating, q.scales, q.zero_points, axis});
      } else if (kind == 1) {
        batch.Move(src, dst, extent, {floating, quantized, q.scales, q.zero_points, axis});
      } else if (kind == 2) {
        const auto type = static_cast<DataType>(batch.Uniform(1, kDataTypeCount - 2));
        batch.Move(src, dst, extent, {type, type, q.scales, q.zero_points, axis});
      } else {
        batch.Fill(dst, extent, RandomBytes(size_t{1} << batch.Uniform(0, 3), &batch.random));
      }
    }
    ASSERT_TRUE(batch.Moved() == batch.expected) << "round " << round;
    ASSERT_TRUE(MovedByTiles(batch) == batch.expected) << "round " << round;
    for (const MaasSegment& segment : batch.table.segments()) {
      ASSERT_LE(segment.run, GetParam().longest);
      for (int l = 0; l < segment.loop_count; ++l) ASSERT_LE(segment.loops[l].extent, GetParam().longest);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SegmentTableProperty,
                         testing::Values(Seed{1, SegmentTable::kLongest}, Seed{2, SegmentTable::kLongest},
                                         Seed{3, 1}, Seed{4, 2}, Seed{5, 3}, Seed{6, 16}));

TEST(SegmentTable, MovesSegmentsOfManyTiles) {
  Batch batch(7, SegmentTable::kLongest);
  const Quantization q(41, DataType::kUint8, &batch.random);
  const Quantization one(1, DataType::kInt8, &batch.random);
  batch.Move({{7, 33, 41}, {0, 0, 0}}, {{9, 40, 48}, {1, 0, 0}}, {7, 33, 41},
             {DataType::kUint8, DataType::kFp16, q.scales, q.zero_points, 2});
  batch.Move(Whole({9000}), Whole({9000}), {9000}, {DataType::kInt64, DataType::kInt64, {}, {}, -1});
  batch.Fill({{4, 5000}, {1, 3}}, {2, 4096}, RandomBytes(2, &batch.random));
  batch.Move(Whole({3, 4097}), Whole({3, 4097}), {3, 4097},
             {DataType::kBf16, DataType::kInt8, one.scales, one.zero_points, -1});
  EXPECT_EQ(batch.table.segments().size(), 4u);
  EXPECT_EQ(batch.table.tiles(), 3u + 3u + 2u + 4u);
  EXPECT_TRUE(batch.Moved() == batch.expected);
  EXPECT_TRUE(MovedByTiles(batch) == batch.expected);
}

TEST(SegmentTable, CastsBetweenFloatingDatatypes) {
  const std::vector<float> src = {1.0f, -2.5f, 65504.0f, 3e-8f};
  std::vector<uint16_t> dst(6, 1);
  SegmentTable table;
  table.AddMove(Whole({2, 2}), 0, {{2, 3}, {0, 1}}, 0, {2, 2},
                {DataType::kFp32, DataType::kFp16, {}, {}, -1});
  MoveAll(table.segments(), nullptr, src.data(), dst.data());
  EXPECT_EQ(dst, (std::vector<uint16_t>{1, 0x3c00, 0xc100, 1, 0x7bff, 0x0001}));
}

TEST(SegmentTable, TakesTheShortestLoopsApartWhereThereAreTooMany) {
  const Conversion copy = {DataType::kFp32, DataType::kFp32, {}, {}, -1};
  SegmentTable table;
  table.AddMove(Whole({2, 3, 4, 5, 6}), 0, Whole({4, 5, 6, 7, 8}), 0, {2, 3, 4, 5, 6}, copy);
  EXPECT_EQ(table.segments().size(), 1u);
  table.Clear();
  table.AddMove(Whole({4, 3, 2, 4, 5, 6}), 0, Whole({5, 4, 3, 6, 7, 8}), 0, {4, 3, 2, 4, 5, 6}, copy);
  EXPECT_EQ(table.segments().size(), 2u);
}

TEST(SegmentTable, AddsNothingForAnEmptyBox) {
  SegmentTable table;
  const std::byte zero[4] = {};
  table.AddMove(Whole({0, 4}), 0, Whole({3, 4}), 0, {0, 4}, {DataType::kInt8, DataType::kFp32, {}, {}, 0});
  table.AddFill(Whole({3, 4}), 0, {3, 0}, zero, 4);
  EXPECT_TRUE(table.segments().empty());
  EXPECT_TRUE(table.params().empty());
  EXPECT_EQ(table.tiles(), 0u);
}

TEST(SegmentTable, KeepsEqualParametersOnce) {
  SegmentTable table;
  const std::vector<float> scales = {0.5f, 0.25f, 0.125f};
  const std::vector<int32_t> zero_points = {1, 2, 3};
  const std::vector<int32_t> other_zero_points = {1, 2, 4};
  const auto add = [&](std::span<const int32_t> zp, int64_t first, int64_t n) {
    table.AddMove({{2, 3}, {0, first}}, 0, Whole({2, n}), 0, {2, n},
                  {DataType::kInt8, DataType::kFp32, scales, zp, 1});
    return table.segments().back();
  };
  const MaasSegment first = add(zero_points, 0, 3);
  const MaasSegment again = add(zero_points, 0, 3);
  EXPECT_EQ(again.scales, first.scales);
  EXPECT_EQ(again.zero_points, first.zero_points);
  EXPECT_EQ(table.params().size(), 6 * sizeof(float));
  EXPECT_NE(add(other_zero_points, 0, 3).scales, first.scales);
  EXPECT_EQ(table.params().size(), 12 * sizeof(float));
  // A box of the last two indices refers to those alone.
  const MaasSegment part = add(zero_points, 1, 2);
  EXPECT_EQ(table.params().size(), 16 * sizeof(float));
  EXPECT_EQ(ScaleOf(part, table.params().data(), 1), 0.125f);
  EXPECT_EQ(ZeroPointOf(part, table.params().data(), 0), 2);
}

TEST(SegmentTable, IsFilledAgainWithoutAllocating) {
  SegmentTable table;
  const float scale = 0.5f;
  const int32_t zero_point = 3;
  const auto add_rows = [&] {
    for (int64_t i = 0; i < 5; ++i) {
      table.AddMove(Whole({1, 6}), 0, {{5, 6}, {i, 0}}, 0, {1, 6},
                    {DataType::kInt8, DataType::kFp32, {&scale, 1}, {&zero_point, 1}, -1});
    }
  };
  add_rows();
  const MaasSegment* segments = table.segments().data();
  const std::byte* params = table.params().data();
  table.Clear();
  EXPECT_TRUE(table.segments().empty());
  EXPECT_TRUE(table.params().empty());
  EXPECT_EQ(table.tiles(), 0u);
  add_rows();
  EXPECT_EQ(table.segments().data(), segments);
  EXPECT_EQ(table.params().data(), params);
  EXPECT_EQ(table.params().size(), 2 * sizeof(float));
  EXPECT_EQ(table.segments().size(), 5u);
  EXPECT_EQ(table.tiles(), 5u);
}

TEST(SegmentTable, CutsWhatIsLongerThan32BitsCount) {
  constexpr int64_t kHuge = (int64_t{1} << 33) + 5;
  const Conversion copy = {DataType::kUint8, DataType::kUint8, {}, {}, -1};
  SegmentTable runs;
  runs.AddMove(Whole({kHuge}), 0, Whole({kHuge}), 64, {kHuge}, copy);
  SegmentTable loops;
  loops.AddMove({{kHuge, 2}, {0, 1}}, 0, Whole({kHuge, 1}), 64, {kHuge, 1}, copy);
  for (const SegmentTable* table : {&runs, &loops}) {
    ASSERT_EQ(table->segments().size(), 5u);
    uint64_t elements = 0;
    for (const MaasSegment& segment : table->segments()) {
      EXPECT_EQ(segment.dst, 64 + elements);
      elements += segment.elements;
    }
    EXPECT_EQ(elements, static_cast<uint64_t>(kHuge));
    EXPECT_EQ(table->segments().back().elements, 5u);
    EXPECT_EQ(table->tiles(), (uint32_t{1} << 21) + 1);
  }
  EXPECT_EQ(runs.segments()[4].src, uint64_t{1} << 33);
  EXPECT_EQ(loops.segments()[4].src, (uint64_t{1} << 34) + 1);
}

}  // namespace
}  // namespace maas
