#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "maas/base/datatype.h"
#include "maas/gpu/device.h"
#include "maas/gpu/fake_device_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;

std::string Text(const Status& status) { return status.ok() ? "ok" : status.message(); }

constexpr uint32_t kElements = MAAS_TILE_ELEMENTS + 904;
constexpr uint32_t kRows = 2;
constexpr uint32_t kTiles = 3;
// Of the parameters: two scales, and as many zero points behind them.
constexpr uint32_t kZeroPoints = 8;
constexpr uint32_t kFillFrom = kRows * kElements * 4;
constexpr size_t kToBytes = kFillFrom + 4 * 4;

// Two rows of bytes, each with its own scale and zero point, to floats; and four floats of 2.0 behind them.
std::vector<MaasSegment> Segments() {
  MaasSegment rows = {};
  rows.elements = kRows * kElements;
  rows.run = kElements;
  rows.zero_points = kZeroPoints;
  rows.kind = MAAS_DEQUANTIZE;
  rows.from = static_cast<uint8_t>(DataType::kUint8);
  rows.to = static_cast<uint8_t>(DataType::kFp32);
  rows.loop_count = 1;
  rows.loops[0] = {kRows, 1, kElements, kElements};
  MaasSegment fill = {};
  fill.dst = kFillFrom;
  fill.value = 0x40000000;
  fill.elements = 4;
  fill.tiles_before = (kRows * kElements + MAAS_TILE_ELEMENTS - 1) / MAAS_TILE_ELEMENTS;
  fill.run = 4;
  fill.kind = MAAS_FILL;
  fill.size = 4;
  return {rows, fill};
}

// Uploads everything, moves, and downloads what came of it.
class FakeMoveTest : public testing::Test {
 protected:
  static constexpr size_t kParamsAt = 512;
  static constexpr size_t kFromAt = 768;
  static constexpr size_t kPinnedBytes = kFromAt + kRows * kElements;

  FakeMoveTest() {
    EXPECT_EQ(Text(DeviceTable::Make(fake_.api(), &table_)), "ok");
    GpuDevice* const device = table_->device(0);
    EXPECT_EQ(Text(PinnedMemory::Allocate(device, kPinnedBytes, &pinned_)), "ok");
    EXPECT_EQ(Text(PinnedMemory::Allocate(device, kToBytes, &result_)), "ok");
    EXPECT_EQ(Text(DeviceMemory::Allocate(device, kPinnedBytes, &from_)), "ok");
    EXPECT_EQ(Text(DeviceMemory::Allocate(device, kToBytes, &to_)), "ok");
    EXPECT_EQ(Text(DeviceStream::Make(device, 0, &stream_)), "ok");
    EXPECT_EQ(Text(DeviceEvent::Make(device, false, &done_)), "ok");
    constexpr float kScales[] = {0.5F, 0.25F};
    constexpr int32_t kZeros[] = {0, 100};
    std::memcpy(pinned_.data() + kParamsAt, kScales, sizeof(kScales));
    std::memcpy(pinned_.data() + kParamsAt + kZeroPoints, kZeros, sizeof(kZeros));
    for (uint32_t i = 0; i < kRows * kElements; ++i) pinned_.data()[kFromAt + i] = static_cast<std::byte>(i);
  }

  // `uploaded`: without it the kernel meets memory that nobody wrote.
  Status Move(const std::vector<MaasSegment>& segments, uint32_t tiles, bool uploaded = true) {
    std::memcpy(pinned_.data(), segments.data(), segments.size() * sizeof(MaasSegment));
    if (uploaded) MAAS_RETURN_IF_ERROR(stream_.Upload(from_.data(), pinned_.data(), kPinnedBytes));
    MAAS_RETURN_IF_ERROR(stream_.Move(reinterpret_cast<const MaasSegment*>(from_.data()),
                                      static_cast<uint32_t>(segments.size()), tiles, from_.data() + kParamsAt,
                                      from_.data() + kFromAt, to_.data()));
    MAAS_RETURN_IF_ERROR(stream_.Download(result_.data(), to_.data(), kToBytes));
    MAAS_RETURN_IF_ERROR(stream_.Record(done_));
    EXPECT_FALSE(table_->device(0)->lost());
    return done_.Synchronize();
  }

  FakeDevices fake_;
  std::unique_ptr<DeviceTable> table_;
  PinnedMemory pinned_;
  PinnedMemory result_;
  DeviceMemory from_;
  DeviceMemory to_;
  DeviceStream stream_;
  DeviceEvent done_;
};

TEST_F(FakeMoveTest, MovesEveryElementOfEveryTile) {
  ASSERT_EQ(Text(Move(Segments(), kTiles + 1)), "ok");
  std::vector<float> got(kToBytes / sizeof(float));
  std::memcpy(got.data(), result_.data(), kToBytes);
  for (uint32_t i = 0; i < kRows * kElements; ++i) {
    const auto q = static_cast<float>(i & 0xff);
    ASSERT_EQ(got[i], i < kElements ? q * 0.5F : (q - 100) * 0.25F) << i;
  }
  for (size_t i = kFillFrom / 4; i < got.size(); ++i) EXPECT_EQ(got[i], 2.0F);
}

TEST_F(FakeMoveTest, SegmentsThatWereNotUploadedLoseTheDevice) {
  EXPECT_THAT(Text(Move(Segments(), kTiles + 1, false)), HasSubstr("segment 0: it is no segment"));
  EXPECT_TRUE(table_->device(0)->lost());
}

struct BadCase {
  const char* name;
  void (*spoil)(std::vector<MaasSegment>* segments);
  const char* message;
};
void PrintTo(const BadCase& bad, std::ostream* out) { *out << bad.name; }

class BadSegmentTest : public FakeMoveTest, public testing::WithParamInterface<BadCase> {};

TEST_P(BadSegmentTest, LosesTheDevice) {
  std::vector<MaasSegment> segments = Segments();
  GetParam().spoil(&segments);
  const Status status = Move(segments, kTiles + 1);
  EXPECT_THAT(Text(status), HasSubstr(GetParam().message));
  EXPECT_EQ(status.reason(), "DEVICE_LOST");
}

constexpr BadCase kBad[] = {
    {"Loops", [](auto* s) { (*s)[0].loop_count = MAAS_SEGMENT_LOOPS + 1; }, "segment 0: it is no segment"},
    {"Empty", [](auto* s) { (*s)[1].elements = 0; }, "segment 1: it is no segment"},
    {"Run", [](auto* s) { (*s)[1].run = 0; }, "segment 1: it is no segment"},
    {"Datatype", [](auto* s) { (*s)[0].from = 15; }, "segment 0: it is of no datatype"},
    {"Conversion", [](auto* s) { (*s)[0].to = (*s)[0].from; }, "segment 0: it is of no datatype"},
    {"Cast", [](auto* s) { (*s)[0].kind = MAAS_CAST; }, "segment 0: it is of no datatype"},
    {"Quantize", [](auto* s) { (*s)[0].kind = MAAS_QUANTIZE; }, "segment 0: it is of no datatype"},
    {"Size", [](auto* s) { (*s)[1].size = 3; }, "segment 1: it is of no datatype"},
    {"LargeSize", [](auto* s) { (*s)[1].size = 16; }, "segment 1: it is of no datatype"},
    {"Elements", [](auto* s) { ++(*s)[0].elements; }, "segment 0: its elements are not those of its loops"},
    {"Source", [](auto* s) { ++(*s)[0].src; }, "segment 0: it reads beyond the memory"},
    {"SourceStride", [](auto* s) { ++(*s)[0].loops[0].src_stride; }, "segment 0: it reads beyond the memory"},
    {"Backwards", [](auto* s) { (*s)[0].loops[0].src_stride = -2 * int64_t{kElements}; },
     "segment 0: it reads beyond"},
    {"Destination", [](auto* s) { (*s)[1].dst += 4; }, "segment 1: it writes beyond the memory"},
    {"Misaligned", [](auto* s) { (*s)[1].dst -= 2; }, "or across elements"},
    {"Scales", [](auto* s) { (*s)[0].scales = 1U << 30; }, "segment 0: its parameters lie beyond the memory"},
    {"ZeroPoints", [](auto* s) { (*s)[0].zero_points += 1; }, "segment 0: its parameters lie beyond"},
    {"TilesBefore", [](auto* s) { ++(*s)[1].tiles_before; }, "segment 1: its tiles do not follow"},
    {"Tiles", [](auto* s) { s->pop_back(); }, "tiles are not those of the segments"},
};
INSTANTIATE_TEST_SUITE_P(Table, BadSegmentTest, testing::ValuesIn(kBad),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace maas
