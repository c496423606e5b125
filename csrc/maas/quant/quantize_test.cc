#include "maas/quant/quantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "maas/quant/reference_for_test.h"

namespace maas {
namespace {

constexpr DataType kQuantized[] = {DataType::kInt8, DataType::kUint8};
constexpr DataType kFloating[] = {DataType::kFp32, DataType::kFp16, DataType::kBf16};
constexpr std::byte kGuard{0xa5};

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kDenormal = std::numeric_limits<float>::denorm_min();
constexpr float kMax = std::numeric_limits<float>::max();

// Among them: products halfway between two FP16 or two BF16 numbers, subnormal and largest ones too.
constexpr float kScales[] = {1.0f,      0.1f,       1.0f / 255.0f, 300.7f,      3e-8f,          1e-40f,
                             kDenormal, 1e36f,      2e38f,         0x1.004p0f,  0x1.00cp0f,     0x1.01p0f,
                             0x1.03p0f, 0x1.8p-24f, 0x1.4p-23f,    0x1p-25f,    0x1.8p-133f,    0x1.4p-132f,
                             0x1p-134f, 65520.0f,   65519.0f,      0x1.ffp127f, 0x1.fefffep127f};
// Zero, infinite, not a number by default, and with all bits of the payload.
const float kSpecialScales[] = {0.0f, kInf, kNan, std::bit_cast<float>(0x7fffffffu)};

int LowOf(DataType type) { return type == DataType::kInt8 ? -128 : 0; }
int HighOf(DataType type) { return type == DataType::kInt8 ? 127 : 255; }

std::vector<std::byte> AllBytes() {
  std::vector<std::byte> all(256);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(i);
  return all;
}

template <typename T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Floats as elements of `type`; those that it cannot hold are truncated, not rounded.
std::vector<std::byte> FloatsAs(DataType type, const std::vector<float>& values) {
  if (type == DataType::kFp32) return BytesOf(values);
  std::vector<uint16_t> halves;
  for (const float x : values) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    const uint32_t sign = (bits >> 16) & 0x8000u;
    if (type == DataType::kBf16) {
      halves.push_back(static_cast<uint16_t>(bits >> 16));
    } else if (std::isnan(x)) {
      halves.push_back(static_cast<uint16_t>(sign | 0x7e00u));
    } else if (std::fabs(x) >= 65536.0f) {
      halves.push_back(static_cast<uint16_t>(sign | 0x7c00u));
    } else if (std::fabs(x) < 0x1p-14f) {
      halves.push_back(static_cast<uint16_t>(sign | static_cast<uint32_t>(std::ldexp(std::fabs(x), 24))));
    } else {
      halves.push_back(static_cast<uint16_t>(sign | (((bits & 0x7fffffffu) - (112u << 23)) >> 13)));
    }
  }
  return BytesOf(halves);
}

// Numbers at which conversions go wrong, for a scale: ties, bounds, overflow, what is no number.
std::vector<float> HardNumbers(float scale) {
  std::vector<float> numbers = {0.0f,  -0.0f, kNan,   -kNan,     kInf, -kInf, kMax,
                                -kMax, 1e30f, -1e30f, kDenormal, 3e9f, -3e9f, -kDenormal};
  for (int i = -520; i <= 520; ++i) {
    const float x = static_cast<float>(i) * 0.5f * scale;
    numbers.insert(numbers.end(), {x, std::nextafter(x, kInf), std::nextafter(x, -kInf)});
  }
  return numbers;
}

std::vector<float> RandomScales(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> exponent(-12.0f, 12.0f);
  std::vector<float> scales(n);
  for (float& scale : scales) scale = std::exp2(exponent(random));
  return scales;
}

std::vector<int32_t> RandomZeroPoints(size_t n, DataType type, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> value(LowOf(type), HighOf(type));
  std::vector<int32_t> zero_points(n);
  for (int32_t& zero_point : zero_points) zero_point = value(random);
  return zero_points;
}

std::vector<std::byte> RandomBytes(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

// Runs a kernel on a source and into a destination that begin `misalignment` bytes past what malloc aligns,
// and expects the bytes around the destination to be left alone.
std::vector<std::byte> RunKernel(DequantizeFn kernel, std::vector<std::byte> src, size_t dst_bytes, size_t n,
                                 const QuantParams& params, size_t src_misalignment = 0,
                                 size_t dst_misalignment = 0) {
  constexpr size_t kMargin = 64;
  src.insert(src.begin(), src_misalignment, kGuard);
  std::vector<std::byte> dst(dst_misalignment + dst_bytes + kMargin, kGuard);
  kernel(src.data() + src_misalignment, dst.data() + dst_misalignment, n, params);
  for (size_t i = 0; i < dst_misalignment; ++i) EXPECT_EQ(dst[i], kGuard) << "before the destination";
  for (size_t i = dst_misalignment + dst_bytes; i < dst.size(); ++i) {
    EXPECT_EQ(dst[i], kGuard) << "past the destination, n=" << n;
  }
  const auto begin = dst.begin() + static_cast<std::ptrdiff_t>(dst_misalignment);
  return {begin, begin + static_cast<std::ptrdiff_t>(dst_bytes)};
}

std::string Label(DataType from, DataType to) {
  return std::string(Name(from)) + " -> " + std::string(Name(to));
}

TEST(Quantize, HasKernelsForQuantizedAndFloatingTypesOnly) {
  for (int from = 0; from < kDataTypeCount; ++from) {
    for (int to = 0; to < kDataTypeCount; ++to) {
      const auto a = static_cast<DataType>(from);
      const auto b = static_cast<DataType>(to);
      EXPECT_EQ(GetDequantize(a, b) != nullptr, IsQuantized(a) && IsFloating(b)) << Label(a, b);
      EXPECT_EQ(GetQuantize(a, b) != nullptr, IsFloating(a) && IsQuantized(b)) << Label(a, b);
    }
    EXPECT_EQ(GetAbsMax(static_cast<DataType>(from)) != nullptr, IsFloating(static_cast<DataType>(from)));
  }
}

TEST(Quantize, NamesEveryInstructionSet) {
  EXPECT_STREQ(Name(Isa::kPortable), "portable");
  EXPECT_STREQ(Name(Isa::kAvx2), "avx2");
  EXPECT_STREQ(Name(Isa::kAvx512), "avx512");
}

TEST(Quantize, PortableDequantizesEveryValueByDefinition) {
  const std::vector<std::byte> all = AllBytes();
  for (const DataType from : kQuantized) {
    for (const DataType to : kFloating) {
      for (const int32_t zero_point : {LowOf(from), 0, 3, HighOf(from)}) {
        for (const float scale : kScales) {
          const QuantParams params{&scale, &zero_point, false};
          const auto out =
              RunKernel(GetDequantize(from, to, Isa::kPortable), all, 256 * ElementSize(to), 256, params);
          for (size_t i = 0; i < 256; ++i) {
            const int q = static_cast<int>(reference::Load(from, &all[i]));
            const double expected = reference::Dequantize(q, scale, zero_point, to);
            const double got = reference::Load(to, &out[i * ElementSize(to)]);
            ASSERT_TRUE(reference::SameNumber(got, expected))
                << Label(from, to) << " q=" << q << " scale=" << scale << " got " << got << " not "
                << expected;
          }
        }
      }
    }
  }
}

TEST(Quantize, PortableKeepsWhatIsNoNumber) {
  const std::byte q{1};
  const int32_t zero_point = 0;
  for (const float& scale : {kNan, std::bit_cast<float>(0x7fffffffu), std::bit_cast<float>(0x7fc00001u)}) {
    for (const DataType to : kFloating) {
      std::byte out[4];
      GetDequantize(DataType::kInt8, to, Isa::kPortable)(&q, out, 1, {&scale, &zero_point, false});
      EXPECT_TRUE(std::isnan(reference::Load(to, out))) << Name(to);
    }
  }
}

TEST(Quantize, PortableDequantizesLongInputLikeShortInput) {
  // Long input to 16-bit types goes through a table.
  const std::vector<std::byte> src = RandomBytes(5000, 11);
  const float scale = 0.37f;
  const int32_t zero_point = 9;
  const QuantParams params{&scale, &zero_point, false};
  for (const DataType from : kQuantized) {
    for (const DataType to : kFloating) {
      const size_t size = ElementSize(to);
      const DequantizeFn kernel = GetDequantize(from, to, Isa::kPortable);
      const auto whole = RunKernel(kernel, src, src.size() * size, src.size(), params);
      for (size_t i = 0; i < src.size(); ++i) {
        std::byte one[4];
        kernel(&src[i], one, 1, params);
        ASSERT_EQ(std::memcmp(one, &whole[i * size], size), 0) << Label(from, to) << " at " << i;
      }
    }
  }
}

TEST(Quantize, PortableQuantizesHardNumbersByDefinition) {
  for (const DataType from : kFloating) {
    for (const DataType to : kQuantized) {
      for (const float scale : {1.0f, 0.1f, 0.25f, 77.7f, 1e-30f, 1e30f, kDenormal}) {
        const std::vector<std::byte> src = FloatsAs(from, HardNumbers(scale));
        const size_t n = src.size() / ElementSize(from);
        for (const int32_t zero_point : {LowOf(to), 0, 5, HighOf(to)}) {
          const auto out =
              RunKernel(GetQuantize(from, to, Isa::kPortable), src, n, n, {&scale, &zero_point, false});
          for (size_t i = 0; i < n; ++i) {
            const double x = reference::Load(from, &src[i * ElementSize(from)]);
            ASSERT_EQ(reference::Load(to, &out[i]), reference::Quantize(x, scale, zero_point, to))
                << Label(from, to) << " x=" << x << " scale=" << scale << " zero point " << zero_point;
          }
        }
      }
    }
  }
}

TEST(Quantize, PortableQuantizesEverySixteenBitPatternByDefinition) {
  std::vector<uint16_t> patterns(65536);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  const std::vector<std::byte> src = BytesOf(patterns);
  const float scale = 0.013f;
  const int32_t zero_point = 17;
  for (const DataType from : {DataType::kFp16, DataType::kBf16}) {
    for (const DataType to : kQuantized) {
      const auto out =
          RunKernel(GetQuantize(from, to, Isa::kPortable), src, 65536, 65536, {&scale, &zero_point, false});
      for (size_t i = 0; i < 65536; ++i) {
        const double x = reference::Decode(from, static_cast<uint32_t>(i));
        ASSERT_EQ(reference::Load(to, &out[i]), reference::Quantize(x, scale, zero_point, to))
            << Label(from, to);
      }
    }
  }
}

TEST(Quantize, RoundTripsEveryValue) {
  const std::vector<std::byte> all = AllBytes();
  const float scale = 0.031f;
  for (const DataType type : kQuantized) {
    const int32_t zero_point = LowOf(type) + 100;
    const QuantParams params{&scale, &zero_point, false};
    const auto real = RunKernel(GetDequantize(type, DataType::kFp32), all, 1024, 256, params);
    EXPECT_EQ(RunKernel(GetQuantize(DataType::kFp32, type), real, 256, 256, params), all);
  }
}

// Every instruction set, the portable one too, against the portable one.
class QuantizeIsa : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetAbsMax(DataType::kFp32, GetParam()) == nullptr) {
      GTEST_SKIP() << "this build has no code for " << Name(GetParam());
    }
    if (GetParam() > DetectIsa()) GTEST_SKIP() << "this CPU has no " << Name(GetParam());
  }

  static void ExpectSameAsPortable(DequantizeFn portable, DequantizeFn kernel,
                                   const std::vector<std::byte>& src, size_t n, size_t dst_size,
                                   const QuantParams& params, const std::string& label) {
    const std::vector<std::byte> expected = RunKernel(portable, src, n * dst_size, n, params);
    for (const auto& [src_misalignment, dst_misalignment] :
         {std::pair<size_t, size_t>{0, 0}, {1, 0}, {0, 1}, {3, 2}, {2, 4}, {5, 12}, {8, 63}}) {
      ASSERT_EQ(RunKernel(kernel, src, n * dst_size, n, params, src_misalignment, dst_misalignment), expected)
          << label << " n=" << n << " misaligned by " << src_misalignment << " and " << dst_misalignment;
    }
  }
};

std::vector<size_t> Lengths() {
  std::vector<size_t> lengths;
  for (size_t n = 0; n <= 70; ++n) lengths.push_back(n);
  lengths.insert(lengths.end(), {127, 128, 129, 255, 256, 257, 300, 777, 1025, 4099});
  return lengths;
}

TEST_P(QuantizeIsa, DequantizesEveryValueLikePortable) {
  std::vector<float> scales(std::begin(kScales), std::end(kScales));
  scales.insert(scales.end(), std::begin(kSpecialScales), std::end(kSpecialScales));
  for (const DataType from : kQuantized) {
    for (const DataType to : kFloating) {
      for (const float& scale : scales) {
        for (const int32_t zero_point : {LowOf(from), 0, HighOf(from)}) {
          ExpectSameAsPortable(GetDequantize(from, to, Isa::kPortable), GetDequantize(from, to, GetParam()),
                               AllBytes(), 256, ElementSize(to), {&scale, &zero_point, false},
                               Label(from, to));
        }
      }
    }
  }
}

TEST_P(QuantizeIsa, DequantizesAnyLengthLikePortable) {
  for (const DataType from : kQuantized) {
    for (const DataType to : kFloating) {
      for (const size_t n : Lengths()) {
        const std::vector<std::byte> src = RandomBytes(n, 1);
        const std::vector<float> scales = RandomScales(n + 1, 2);
        const std::vector<int32_t> zero_points = RandomZeroPoints(n + 1, from, 3);
        for (const bool per_element : {false, true}) {
          ExpectSameAsPortable(GetDequantize(from, to, Isa::kPortable), GetDequantize(from, to, GetParam()),
                               src, n, ElementSize(to), {scales.data(), zero_points.data(), per_element},
                               Label(from, to));
        }
      }
    }
  }
}

TEST_P(QuantizeIsa, DequantizesOutputLargerThanTheCachesLikePortable) {
  for (const DataType to : kFloating) {
    const size_t size = ElementSize(to);
    const size_t n = (size_t{32} << 20) / size + 37;
    std::vector<std::byte> src(n);
    for (size_t i = 0; i < n; ++i) src[i] = static_cast<std::byte>(i * 131);
    const std::vector<float> scales(n, 0.17f);
    const std::vector<int32_t> zero_points(n, -3);
    for (const bool per_element : {false, true}) {
      if (per_element && to != DataType::kFp32) continue;  // What differs by type was seen.
      const QuantParams params{scales.data(), zero_points.data(), per_element};
      const std::vector<std::byte> expected =
          RunKernel(GetDequantize(DataType::kInt8, to, Isa::kPortable), src, n * size, n, params);
      const DequantizeFn kernel = GetDequantize(DataType::kInt8, to, GetParam());
      for (const size_t misalignment : {0u, 1u, 20u}) {
        ASSERT_TRUE(RunKernel(kernel, src, n * size, n, params, 0, misalignment) == expected)
            << Name(to) << " misaligned by " << misalignment;
      }
    }
  }
}

TEST_P(QuantizeIsa, QuantizesHardNumbersLikePortable) {
  for (const DataType from : kFloating) {
    for (const DataType to : kQuantized) {
      for (const float scale : {1.0f, 0.1f, 77.7f, 1e-30f, 1e30f, kDenormal, 0.0f, kInf, kNan}) {
        const std::vector<std::byte> src = FloatsAs(from, HardNumbers(scale));
        for (const int32_t zero_point : {LowOf(to), 0, HighOf(to)}) {
          ExpectSameAsPortable(GetQuantize(from, to, Isa::kPortable), GetQuantize(from, to, GetParam()), src,
                               src.size() / ElementSize(from), 1, {&scale, &zero_point, false},
                               Label(from, to));
        }
      }
    }
  }
}

TEST_P(QuantizeIsa, QuantizesAnyBitsOfAnyLengthLikePortable) {
  for (const DataType from : kFloating) {
    for (const DataType to : kQuantized) {
      for (const size_t n : Lengths()) {
        const std::vector<std::byte> src = RandomBytes(n * ElementSize(from), 7);
        const std::vector<float> scales = RandomScales(n + 1, 8);
        const std::vector<int32_t> zero_points = RandomZeroPoints(n + 1, to, 9);
        for (const bool per_element : {false, true}) {
          ExpectSameAsPortable(GetQuantize(from, to, Isa::kPortable), GetQuantize(from, to, GetParam()), src,
                               n, 1, {scales.data(), zero_points.data(), per_element}, Label(from, to));
        }
      }
    }
  }
}

TEST_P(QuantizeIsa, FindsTheLargestFiniteMagnitude) {
  for (const DataType type : kFloating) {
    const size_t size = ElementSize(type);
    for (const size_t n : Lengths()) {
      std::vector<std::byte> src = RandomBytes(n * size + 1, static_cast<uint32_t>(n));
      double expected = 0;
      for (size_t i = 0; i < n; ++i) {
        const double x = std::fabs(reference::Load(type, &src[1 + i * size]));
        if (std::isfinite(x)) expected = std::max(expected, x);
      }
      EXPECT_EQ(GetAbsMax(type, GetParam())(src.data() + 1, n), expected) << Name(type) << " n=" << n;
    }
  }
}

TEST_P(QuantizeIsa, FindsTheLargestMagnitudeWhereverItIs) {
  for (const DataType type : kFloating) {
    const size_t size = ElementSize(type);
    for (size_t at = 0; at < 70; ++at) {
      std::vector<float> values(70, -0.5f);
      values[at] = -2.5f;
      EXPECT_EQ(GetAbsMax(type, GetParam())(FloatsAs(type, values).data(), values.size()), 2.5f)
          << size << at;
    }
  }
}

TEST_P(QuantizeIsa, FindsNoMagnitudeWhereNothingIsFinite) {
  for (const DataType type : kFloating) {
    const std::vector<std::byte> src =
        FloatsAs(type, {kNan, kInf, -kInf, -kNan, kNan, kInf, kNan, kNan, -kInf});
    EXPECT_EQ(GetAbsMax(type, GetParam())(src.data(), 9), 0.0f);
    EXPECT_EQ(GetAbsMax(type, GetParam())(src.data(), 0), 0.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(All, QuantizeIsa, testing::Values(Isa::kPortable, Isa::kAvx2, Isa::kAvx512),
                         [](const testing::TestParamInfo<Isa>& tested) {
                           return std::string(Name(tested.param));
                         });

}  // namespace
}  // namespace maas
