#include "maas/model/lane_key.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "maas/model/bind_testing.h"

namespace maas {
namespace {

constexpr auto kFp32 = DataType::kFp32;
constexpr auto kInt64 = DataType::kInt64;

BoundRequest Bind(const ModelSpec& spec, TestRequest request) {
  BoundRequest bound;
  EXPECT_EQ(request.Bind(spec, &bound), "");
  return bound;
}
std::string Key(const ModelSpec& spec, TestRequest request) {
  return Bind(spec, std::move(request)).lane_key;
}

TestRequest Request(std::string_view name, DataType datatype, const Dims& shape) {
  TestRequest request;
  request.Add(name, datatype, shape);
  return request;
}

TEST(LaneKey, IsEmptyWhenOnlyTheRowsVary) {
  const ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, 16})});
  EXPECT_EQ(Key(spec, Request("x", kFp32, {1, 16})), "");
  EXPECT_EQ(Key(spec, Request("x", kFp32, {7, 16})), "");
}

TEST(LaneKey, TellsVaryingSizesApartAndRowsNot) {
  const ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, -1, 3, -1})});
  const std::string key = Key(spec, Request("x", kFp32, {1, 2, 3, 4}));
  EXPECT_NE(key, "");
  EXPECT_EQ(key, Key(spec, Request("x", kFp32, {9, 2, 3, 4})));
  EXPECT_NE(key, Key(spec, Request("x", kFp32, {1, 4, 3, 2})));
  EXPECT_NE(key, Key(spec, Request("x", kFp32, {1, 2, 3, 0})));
}

TEST(LaneKey, LetsQuantizedRowsTravelWithOthers) {
  const ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, -1})});
  TestRequest quantized = Request("x", DataType::kInt8, {1, 4});
  quantized.Quantized({{0.5F}, {}, false, 0});
  EXPECT_EQ(Key(spec, std::move(quantized)), Key(spec, Request("x", kFp32, {1, 4})));
}

ModelSpec Padded(std::vector<int64_t> buckets) {
  ModelSpec spec = MakeSpec({MakePadded("ids"), MakePadded("mask", AutoFill::kMask)});
  spec.pad_groups = {{std::move(buckets)}};
  return spec;
}

TEST(LaneKey, TellsBucketsApartAndLengthsNot) {
  const ModelSpec spec = Padded({16, 32});
  const std::string key = Key(spec, Request("ids", kInt64, {1, 3}));
  EXPECT_NE(key, "");
  EXPECT_EQ(key, Key(spec, Request("ids", kInt64, {1, 16})));
  EXPECT_NE(key, Key(spec, Request("ids", kInt64, {1, 17})));
}

TEST(LaneKey, IsEmptyWhenThereIsOneBucket) {
  EXPECT_EQ(Key(Padded({16}), Request("ids", kInt64, {1, 3})), "");
}

TEST(LaneKey, LetsAMaskThatWasSentTravelWithOneThatWasFilled) {
  const ModelSpec spec = Padded({16, 32});
  TestRequest sent = Request("ids", kInt64, {1, 3});
  sent.Add("mask", kInt64, {1, 3});
  EXPECT_EQ(Key(spec, std::move(sent)), Key(spec, Request("ids", kInt64, {1, 3})));
}

ModelSpec Shared(std::vector<int64_t> dims, DataType datatype = kFp32) {
  return MakeSpec({MakeInput("x", kInt64, {-1}), MakeInput("w", datatype, std::move(dims), -1)});
}

TestRequest WithShared(DataType datatype, const Dims& shape, std::string data) {
  TestRequest request = Request("x", kInt64, {1});
  request.Add("w", datatype, shape, std::move(data));
  return request;
}

TEST(LaneKey, HoldsTheBytesOfInputsWithoutABatchAxis) {
  const ModelSpec spec = Shared({2});
  const std::string key = Key(spec, WithShared(kFp32, {2}, "12345678"));
  EXPECT_EQ(key, Key(spec, WithShared(kFp32, {2}, "12345678")));
  EXPECT_NE(key, Key(spec, WithShared(kFp32, {2}, "12345679")));
}

TEST(LaneKey, HoldsTheShapeOfThoseBytes) {
  const ModelSpec spec = Shared({-1, -1});
  EXPECT_NE(Key(spec, WithShared(kFp32, {1, 2}, "12345678")),
            Key(spec, WithShared(kFp32, {2, 1}, "12345678")));
  EXPECT_NE(Key(spec, WithShared(kFp32, {0, 2}, "")), Key(spec, WithShared(kFp32, {2, 0}, "")));
}

TEST(LaneKey, HoldsTheQuantizationOfThoseBytes) {
  const ModelSpec spec = Shared({2});
  const auto key = [&spec](DataType wire, Quantization q) {
    TestRequest request = WithShared(wire, {2}, "ab");
    request.Quantized(std::move(q));
    return Key(spec, std::move(request));
  };
  const std::string one = key(DataType::kInt8, {{1}, {}, false, 0});
  EXPECT_EQ(one, key(DataType::kInt8, {{1}, {0}, false, 0}));
  EXPECT_NE(one, key(DataType::kUint8, {{1}, {}, false, 0}));
  EXPECT_NE(one, key(DataType::kInt8, {{2}, {}, false, 0}));
  EXPECT_NE(one, key(DataType::kInt8, {{1}, {1}, false, 0}));
}

TEST(LaneKey, HoldsTheRealLengthOfASharedPaddedInput) {
  InputSpec positions = MakePadded("positions");
  positions.dims = {-1, -1};
  positions.batch_axis = -1;
  positions.pad_axis = 0;
  ModelSpec spec = MakeSpec({MakePadded("ids"), positions});
  spec.pad_groups = {{{16}}};
  const auto key = [&spec](int64_t length) {
    TestRequest request = Request("ids", kInt64, {1, length});
    request.Add("positions", kInt64, {length, 0});  // No bytes that would give the length away.
    return Key(spec, std::move(request));
  };
  EXPECT_EQ(key(3), key(3));
  EXPECT_NE(key(3), key(4));
}

TEST(LaneKey, MakesALargeSharedInputRunAlone) {
  const ModelSpec spec = Shared({-1}, DataType::kUint8);
  const auto bind = [&spec](int64_t size) {
    return Bind(spec, WithShared(DataType::kUint8, {size}, std::string(static_cast<size_t>(size), 'w')));
  };
  EXPECT_FALSE(bind(65536).solo);
  EXPECT_TRUE(bind(65537).solo);
  EXPECT_EQ(bind(65537).lane_key, "");
}

TEST(LaneKey, MakesEveryRequestRunAloneWithoutBatching) {
  ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, -1})});
  spec.batching = false;
  const BoundRequest bound = Bind(spec, Request("x", kFp32, {1, 3}));
  EXPECT_TRUE(bound.solo);
  EXPECT_EQ(bound.lane_key, "");
}

TEST(LaneKey, SoloRequestsOfAboutOneSizeTakeAboutTheSameTime) {
  ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {-1, -1})});
  spec.batching = false;
  const auto key = [&spec](int64_t rows, int64_t size) {
    return Bind(spec, Request("x", kFp32, {rows, size})).size_key;
  };
  EXPECT_EQ(key(1, 5), "size 2^3");
  EXPECT_EQ(key(1, 5), key(2, 4));
  EXPECT_NE(key(1, 5), key(3, 4));
  EXPECT_NE(key(1, 5), key(1, 500));
}

TEST(LaneKey, SoloRequestsOfAModelWithOneShapeHaveNoSizeToTell) {
  ModelSpec spec = MakeSpec({MakeInput("x", kFp32, {3})});
  spec.batching = false;
  EXPECT_EQ(Bind(spec, Request("x", kFp32, {3})).size_key, "");
}

TEST(LaneKey, TheSizeKeyLeavesOutTheValuesThatRowsShare) {
  const ModelSpec spec = Shared({-1}, DataType::kUint8);
  const BoundRequest a = Bind(spec, WithShared(DataType::kUint8, {3}, "abc"));
  const BoundRequest b = Bind(spec, WithShared(DataType::kUint8, {3}, "abd"));
  EXPECT_NE(a.lane_key, b.lane_key);
  EXPECT_EQ(a.size_key, b.size_key);
  EXPECT_NE(a.size_key, Bind(spec, WithShared(DataType::kUint8, {4}, "abcd")).size_key);
}

TEST(SizeKeyText, SaysWhatTheKeyHolds) {
  const auto text = [](const ModelSpec& spec, TestRequest request) {
    return SizeKeyText(spec, Bind(spec, std::move(request)).size_key);
  };
  const ModelSpec varying = MakeSpec({MakeInput("x", kFp32, {-1, -1, 3, -1})});
  EXPECT_EQ(text(varying, Request("x", kFp32, {1, 2, 3, 4})), "x [2, 4]");
  EXPECT_EQ(text(Padded({16, 32}), Request("ids", kInt64, {1, 20})), "length 32");
  EXPECT_EQ(text(Shared({-1}, DataType::kUint8), WithShared(DataType::kUint8, {3}, "abc")), "w [3]");
  EXPECT_EQ(SizeKeyText(varying, ""), "");
  EXPECT_EQ(SizeKeyText(varying, "size 2^9"), "size 2^9");
}

}  // namespace
}  // namespace maas
