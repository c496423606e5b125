#include "maas/pack/block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "maas/quant/reference_for_test.h"

namespace maas {
namespace {

constexpr std::byte kUntouched{0xcd};
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Box Whole(const Dims& dims) { return {dims, Zeros(dims.rank())}; }
size_t Count(const Dims& dims) { return static_cast<size_t>(ElementCount(dims)); }

std::vector<std::byte> RandomBytes(size_t n, std::mt19937* random) {
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>((*random)());
  return bytes;
}

template <typename T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

template <typename T>
std::vector<T> ValuesOf(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Calls visit(index) for every index of `extent`.
template <typename Visit>
void ForEachIndex(const Dims& extent, Visit visit) {
  Dims index = Zeros(extent.rank());
  for (size_t left = Count(extent); left > 0; --left) {
    visit(index);
    for (int d = extent.rank() - 1; d >= 0; --d) {
      if (++index[d] < extent[d]) break;
      index[d] = 0;
    }
  }
}

size_t OffsetOf(const Box& box, const Dims& index) {
  int64_t offset = 0;
  for (int d = 0; d < index.rank(); ++d) offset = offset * box.dims[d] + box.offset[d] + index[d];
  return static_cast<size_t>(offset);
}

// Copies by CopyBox into a destination of untouched bytes, and expects each element of the box to be what the
// definition makes of its source, and every other byte to stay untouched.
void ExpectCopies(const std::vector<std::byte>& src, const Box& src_box, const Box& dst_box,
                  const Dims& extent, const Conversion& conversion) {
  const size_t from_size = ElementSize(conversion.from);
  const size_t to_size = ElementSize(conversion.to);
  std::vector<std::byte> dst(Count(dst_box.dims) * to_size, kUntouched);
  CopyBox(src.data(), src_box, dst.data(), dst_box, extent, conversion);

  std::vector<bool> covered(Count(dst_box.dims), false);
  ForEachIndex(extent, [&](const Dims& index) {
    const std::byte* from = &src[OffsetOf(src_box, index) * from_size];
    const size_t at = OffsetOf(dst_box, index);
    const std::byte* to = &dst[at * to_size];
    covered[at] = true;
    if (conversion.from == conversion.to) {
      ASSERT_EQ(std::memcmp(from, to, to_size), 0) << "at " << ToString(index);
      return;
    }
    const bool dequantizes = IsQuantized(conversion.from);
    const Box& quantized = dequantizes ? src_box : dst_box;
    const size_t param = conversion.scales.size() > 1
                             ? static_cast<size_t>(quantized.offset[conversion.axis] + index[conversion.axis])
                             : 0;
    const float scale = conversion.scales[param];
    const int32_t zero_point = conversion.zero_points[param];
    const double x = reference::Load(conversion.from, from);
    const double expected =
        dequantizes ? reference::Dequantize(static_cast<int>(x), scale, zero_point, conversion.to)
                    : static_cast<double>(reference::Quantize(x, scale, zero_point, conversion.to));
    ASSERT_TRUE(reference::SameNumber(reference::Load(conversion.to, to), expected))
        << Name(conversion.from) << " -> " << Name(conversion.to) << " at " << ToString(index);
  });
  for (size_t i = 0; i < covered.size(); ++i) {
    for (size_t b = 0; b < to_size && !covered[i]; ++b) {
      ASSERT_EQ(dst[i * to_size + b], kUntouched) << "outside the box, element " << i;
    }
  }
}

// Parameters at random for an axis of n indices.
struct Quantization {
  Quantization(int64_t n, DataType type, uint32_t seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> scale(0.01f, 2.0f);
    for (int64_t i = 0; i < n; ++i) {
      scales.push_back(scale(random));
      zero_points.push_back(static_cast<int32_t>(random() % 128) - (type == DataType::kInt8 ? 64 : 0));
    }
  }
  std::vector<float> scales;
  std::vector<int32_t> zero_points;
};

TEST(CopyBox, CopiesElementsOfEverySize) {
  std::mt19937 random(1);
  for (int i = 0; i < kDataTypeCount; ++i) {
    const auto type = static_cast<DataType>(i);
    if (ElementSize(type) == 0) continue;
    const std::vector<std::byte> src = RandomBytes(4 * 5 * 6 * ElementSize(type), &random);
    for (const Dims& extent :
         {Dims({4, 5, 6}), Dims({2, 3, 4}), Dims({4, 5, 1}), Dims({3, 1, 2}), Dims({1, 1, 1})}) {
      const Box src_box = {{4, 5, 6}, Zeros(3)};
      ExpectCopies(src, src_box, {{9, 7, 8}, {3, 1, 2}}, extent, {type, type, {}, {}, -1});
      ExpectCopies(src, src_box, Whole(extent), extent, {type, type, {}, {}, -1});
    }
  }
}

TEST(CopyBox, PacksAndScattersAlongABatchAxisThatIsNotTheFirst) {
  std::mt19937 random(2);
  const Conversion copy = {DataType::kFp32, DataType::kFp32, {}, {}, -1};
  const std::vector<std::byte> state = RandomBytes(2 * 3 * 128 * 4, &random);
  ExpectCopies(state, Whole({2, 3, 128}), {{2, 8, 128}, {0, 4, 0}}, {2, 3, 128}, copy);
  const std::vector<std::byte> batch = RandomBytes(2 * 8 * 128 * 4, &random);
  ExpectCopies(batch, {{2, 8, 128}, {0, 4, 0}}, Whole({2, 3, 128}), {2, 3, 128}, copy);
}

TEST(CopyBox, PacksRowsOfALargerRequestIntoPaddedRows) {
  std::mt19937 random(3);
  const std::vector<std::byte> src = RandomBytes(10 * 17 * 8, &random);
  ExpectCopies(src, {{10, 17}, {6, 0}}, {{32, 64}, {28, 0}}, {4, 17},
               {DataType::kInt64, DataType::kInt64, {}, {}, -1});
}

TEST(CopyBox, CopiesAScalar) {
  const std::vector<std::byte> src = BytesOf<int64_t>({16000});
  ExpectCopies(src, Whole({}), Whole({}), {}, {DataType::kInt64, DataType::kInt64, {}, {}, -1});
}

TEST(CopyBox, DequantizesAScalar) {
  const Quantization q(1, DataType::kInt8, 4);
  ExpectCopies({std::byte{0x80}}, Whole({}), Whole({}), {},
               {DataType::kInt8, DataType::kFp32, q.scales, q.zero_points, -1});
}

TEST(CopyBox, CopiesNothingOfAnEmptyBox) {
  const Quantization q(1, DataType::kInt8, 5);
  for (const DataType to : {DataType::kInt8, DataType::kFp32}) {
    const Conversion conversion = {DataType::kInt8, to, q.scales, q.zero_points, -1};
    ExpectCopies({}, Whole({0, 4}), Whole({3, 4}), {0, 4}, conversion);
    ExpectCopies(std::vector<std::byte>(12), Whole({3, 4}), Whole({3, 4}), {3, 0}, conversion);
  }
}

TEST(CopyBox, LeavesQuantizedValuesAloneIfTheDatatypeStays) {
  std::mt19937 random(6);
  const Quantization q(1, DataType::kUint8, 6);
  ExpectCopies(RandomBytes(60, &random), Whole({3, 20}), Whole({3, 20}), {3, 20},
               {DataType::kUint8, DataType::kUint8, q.scales, q.zero_points, -1});
}

TEST(CopyBox, DequantizesTheShortChannelsOfAnImage) {
  std::mt19937 random(7);
  const Quantization q(3, DataType::kUint8, 7);
  const std::vector<std::byte> image = RandomBytes(2 * 33 * 41 * 3, &random);
  for (const DataType to : {DataType::kFp32, DataType::kFp16}) {
    const Conversion conversion = {DataType::kUint8, to, q.scales, q.zero_points, 3};
    ExpectCopies(image, Whole({2, 33, 41, 3}), Whole({2, 33, 41, 3}), {2, 33, 41, 3}, conversion);
    ExpectCopies(image, Whole({2, 33, 41, 3}), {{4, 48, 48, 3}, {1, 0, 0, 0}}, {2, 33, 41, 3}, conversion);
    ExpectCopies(image, {{2, 33, 41, 3}, {0, 0, 0, 1}}, Whole({2, 33, 41, 2}), {2, 33, 41, 2}, conversion);
  }
}

TEST(CopyBox, DequantizesAnInnermostAxisOfAnyLength) {
  std::mt19937 random(8);
  for (const int64_t n : {1, 2, 7, 64, 255, 256, 257, 511, 512, 513, 1000}) {
    const Quantization q(n, DataType::kInt8, 8);
    const std::vector<std::byte> src = RandomBytes(static_cast<size_t>(5 * n), &random);
    ExpectCopies(src, Whole({5, n}), Whole({5, n}), {5, n},
                 {DataType::kInt8, DataType::kFp32, q.scales, q.zero_points, 1});
  }
}

TEST(CopyBox, TakesOneScaleForAllIndicesOfAnAxis) {
  std::mt19937 random(9);
  const Quantization q(1, DataType::kInt8, 9);
  ExpectCopies(RandomBytes(24, &random), {{4, 6}, {1, 2}}, Whole({2, 3}), {2, 3},
               {DataType::kInt8, DataType::kFp32, q.scales, q.zero_points, 1});
}

// Any box, any place, any conversion, any axis.
class CopyBoxProperty : public testing::TestWithParam<uint32_t> {
 protected:
  int Uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  Box Around(const Dims& extent) {
    Box box;
    for (int d = 0; d < extent.rank(); ++d) {
      const int before = Uniform(0, 1) * Uniform(0, 2);
      box.dims.push_back(before + extent[d] + Uniform(0, 1) * Uniform(0, 2));
      box.offset.push_back(before);
    }
    return box;
  }

  std::mt19937 random_{GetParam()};
};

TEST_P(CopyBoxProperty, ConvertsByDefinition) {
  constexpr DataType kQuantized[] = {DataType::kInt8, DataType::kUint8};
  constexpr DataType kFloating[] = {DataType::kFp32, DataType::kFp16, DataType::kBf16};
  for (int i = 0; i < 300; ++i) {
    Dims extent;
    for (int rank = Uniform(0, 4); rank > 0; --rank)
      extent.push_back(Uniform(0, 9) == 0 ? Uniform(0, 40) : Uniform(1, 4));
    const Box src_box = Around(extent);
    const Box dst_box = Around(extent);
    const DataType quantized = kQuantized[Uniform(0, 1)];
    const DataType floating = kFloating[Uniform(0, 2)];
    const bool dequantizes = Uniform(0, 1) == 0;
    const int axis = Uniform(-1, extent.rank() - 1);
    const Box& quantized_box = dequantizes ? src_box : dst_box;
    const Quantization q(axis < 0 ? 1 : quantized_box.dims[axis], quantized, GetParam());
    const Conversion conversion = {dequantizes ? quantized : floating, dequantizes ? floating : quantized,
                                   q.scales, q.zero_points, axis};
    SCOPED_TRACE(ToString(src_box.dims) + " -> " + ToString(dst_box.dims) + " box " + ToString(extent) +
                 " axis " + std::to_string(axis));
    ExpectCopies(RandomBytes(Count(src_box.dims) * ElementSize(conversion.from), &random_), src_box, dst_box,
                 extent, conversion);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CopyBoxProperty, testing::Values(1u, 2u, 3u, 4u));

void ExpectFills(const Box& box, const Dims& extent, const std::vector<std::byte>& value) {
  const size_t size = value.size();
  std::vector<std::byte> expected(Count(box.dims) * size, kUntouched);
  ForEachIndex(extent, [&](const Dims& index) {
    std::memcpy(&expected[OffsetOf(box, index) * size], value.data(), size);
  });
  std::vector<std::byte> dst(expected.size(), kUntouched);
  FillBox(dst.data(), box, extent, value.data(), size);
  EXPECT_TRUE(dst == expected) << ToString(box.dims) << " box " << ToString(extent) << " size " << size;
}

TEST(FillBox, FillsTheBoxAndNothingElse) {
  std::mt19937 random(10);
  for (const size_t size : {1u, 2u, 4u, 8u}) {
    for (const std::vector<std::byte>& value : {std::vector<std::byte>(size), RandomBytes(size, &random)}) {
      ExpectFills(Whole({3, 7}), {3, 7}, value);
      ExpectFills({{4, 9}, {1, 5}}, {3, 4}, value);
      ExpectFills({{2, 3, 4}, {0, 1, 0}}, {2, 2, 4}, value);
      ExpectFills({{2, 3, 4}, {0, 1, 3}}, {2, 2, 1}, value);
      ExpectFills(Whole({}), {}, value);
      ExpectFills(Whole({3, 7}), {3, 0}, value);
      ExpectFills({{5, 5000}, {2, 7}}, {2, 4990}, value);
    }
  }
}

struct Chosen {
  std::vector<float> scales;
  std::vector<int32_t> zero_points;
};

Chosen Choose(const std::vector<std::byte>& src, DataType from, const Dims& dims, int axis, DataType to) {
  const size_t n = axis < 0 ? 1 : static_cast<size_t>(dims[axis]);
  Chosen chosen = {std::vector<float>(n, -1.0f), std::vector<int32_t>(n, -1)};
  ChooseQuantization(src.data(), from, dims, axis, to, chosen.scales, chosen.zero_points);
  return chosen;
}

TEST(ChooseQuantization, MapsTheLargestMagnitudeTo127) {
  const std::vector<std::byte> src = BytesOf<float>({1.0f, -25.4f, 3.0f, 0.0f});
  const Chosen signed_bytes = Choose(src, DataType::kFp32, {4}, -1, DataType::kInt8);
  EXPECT_EQ(signed_bytes.scales, std::vector<float>{25.4f / 127.0f});
  EXPECT_EQ(signed_bytes.zero_points, std::vector<int32_t>{0});
  const Chosen unsigned_bytes = Choose(src, DataType::kFp32, {4}, -1, DataType::kUint8);
  EXPECT_EQ(unsigned_bytes.scales, signed_bytes.scales);
  EXPECT_EQ(unsigned_bytes.zero_points, std::vector<int32_t>{128});
}

TEST(ChooseQuantization, ChoosesPerIndexOfAnyAxis) {
  // Element (i, j, k) is (i + 1) * 100 + (j + 1) * 10 + (k + 1).
  std::vector<float> values;
  ForEachIndex({2, 3, 4}, [&](const Dims& index) {
    values.push_back(static_cast<float>((index[0] + 1) * 100 + (index[1] + 1) * 10 + index[2] + 1));
  });
  const auto scales = [&](int axis) {
    std::vector<float> magnitudes =
        Choose(BytesOf(values), DataType::kFp32, {2, 3, 4}, axis, DataType::kInt8).scales;
    for (float& m : magnitudes) m = std::round(m * 127.0f);
    return magnitudes;
  };
  EXPECT_EQ(scales(0), (std::vector<float>{134, 234}));
  EXPECT_EQ(scales(1), (std::vector<float>{214, 224, 234}));
  EXPECT_EQ(scales(2), (std::vector<float>{231, 232, 233, 234}));
}

TEST(ChooseQuantization, GivesASliceOfZerosScaleOne) {
  const Chosen chosen =
      Choose(BytesOf<float>({0, 0, 0, -0.0f, 127, 0}), DataType::kFp32, {3, 2}, 0, DataType::kInt8);
  EXPECT_EQ(chosen.scales, (std::vector<float>{1.0f, 1.0f, 1.0f}));
  EXPECT_EQ(Choose({}, DataType::kFp32, {0}, -1, DataType::kInt8).scales, std::vector<float>{1.0f});
  EXPECT_EQ(Choose({}, DataType::kFp32, {2, 0}, 0, DataType::kInt8).scales, (std::vector<float>{1.0f, 1.0f}));
  EXPECT_TRUE(Choose({}, DataType::kFp32, {0, 2}, 0, DataType::kInt8).scales.empty());
}

TEST(ChooseQuantization, LooksAtFiniteNumbersOnly) {
  const Chosen chosen =
      Choose(BytesOf<float>({kInf, -254.0f, kNan, 1, -kInf}), DataType::kFp32, {5}, -1, DataType::kInt8);
  EXPECT_EQ(chosen.scales, std::vector<float>{2.0f});
}

TEST(ChooseQuantization, LooksAtScalarsAndAtSixteenBitTypes) {
  EXPECT_EQ(Choose(BytesOf<float>({-127}), DataType::kFp32, {}, -1, DataType::kInt8).scales,
            std::vector<float>{1.0f});
  // 1.0 and -2.0 in either type.
  EXPECT_EQ(Choose(BytesOf<uint16_t>({0x3c00, 0xc000}), DataType::kFp16, {2}, -1, DataType::kInt8).scales,
            std::vector<float>{2.0f / 127.0f});
  EXPECT_EQ(Choose(BytesOf<uint16_t>({0x3f80, 0xc000}), DataType::kBf16, {2}, -1, DataType::kInt8).scales,
            std::vector<float>{2.0f / 127.0f});
}

TEST(ChooseQuantization, BringsEveryMagnitudeBackFinite) {
  std::vector<float> magnitudes = {std::numeric_limits<float>::max()};
  for (float m = std::numeric_limits<float>::denorm_min(); std::isfinite(m); m *= 1.7f)
    magnitudes.push_back(m);
  for (const float magnitude : magnitudes) {
    const std::vector<std::byte> src = BytesOf<float>({magnitude, -magnitude, 0.0f});
    for (const DataType type : {DataType::kInt8, DataType::kUint8}) {
      const Chosen chosen = Choose(src, DataType::kFp32, {3}, -1, type);
      std::vector<std::byte> quantized(3);
      std::vector<std::byte> out(12);
      CopyBox(src.data(), Whole({3}), quantized.data(), Whole({3}), {3},
              {DataType::kFp32, type, chosen.scales, chosen.zero_points, -1});
      CopyBox(quantized.data(), Whole({3}), out.data(), Whole({3}), {3},
              {type, DataType::kFp32, chosen.scales, chosen.zero_points, -1});
      const std::vector<float> back = ValuesOf<float>(out);
      // Magnitudes below 127 of the smallest normal numbers are quantized by that number.
      const float tolerance = std::max(magnitude * 1e-6f, std::numeric_limits<float>::min() / 2);
      ASSERT_TRUE(std::isfinite(back[0])) << magnitude;
      EXPECT_LE(std::fabs(back[0] - magnitude), tolerance) << magnitude;
      EXPECT_EQ(back[1], -back[0]);
      EXPECT_EQ(back[2], 0.0f);
    }
  }
}

}  // namespace
}  // namespace maas
