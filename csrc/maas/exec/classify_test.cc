#include "maas/exec/classify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The texts of one row's classes.
template <typename T>
std::vector<std::string> Top(DataType type, const std::vector<T>& row, int64_t count,
                             const std::vector<std::string>& labels = {}) {
  std::string out = "before";
  const int64_t classes = Classify(type, std::as_bytes(std::span(row)), count, labels, &out);
  EXPECT_EQ(out.substr(0, 6), "before");
  std::vector<std::string> texts;
  size_t at = 6;
  while (at < out.size()) {
    uint32_t size;
    std::memcpy(&size, out.data() + at, sizeof(size));
    texts.push_back(out.substr(at + sizeof(size), size));
    at += sizeof(size) + size;
  }
  EXPECT_EQ(at, out.size());
  EXPECT_EQ(classes, std::ssize(texts));
  return texts;
}

TEST(Classify, GivesTheLargestFirstWithTheirIndices) {
  EXPECT_THAT(Top<float>(DataType::kFp32, {0.1F, 0.7F, -3, 0.2F}, 2),
              ElementsAre("0.700000:1", "0.200000:3"));
  EXPECT_THAT(Top<double>(DataType::kFp64, {1, 2}, 1), ElementsAre("2.000000:1"));
}

TEST(Classify, GivesLabelsWhereThereAreSome) {
  EXPECT_THAT(Top<float>(DataType::kFp32, {1, 2, 3, 4}, 4, {"cat", "", "dog"}),
              ElementsAre("4.000000:3", "3.000000:2:dog", "2.000000:1", "1.000000:0:cat"));
}

TEST(Classify, GivesAllOfAShorterRow) {
  EXPECT_THAT(Top<float>(DataType::kFp32, {1, 2}, std::numeric_limits<int64_t>::max()),
              ElementsAre("2.000000:1", "1.000000:0"));
  EXPECT_THAT(Top<float>(DataType::kFp32, {}, 3), IsEmpty());
}

TEST(Classify, OfEqualValuesTheFirstComesFirst) {
  EXPECT_THAT(Top<int32_t>(DataType::kInt32, {5, 7, 5, 7, 7}, 4), ElementsAre("7:1", "7:3", "7:4", "5:0"));
}

TEST(Classify, PutsNanBehindEveryNumberAndKeepsItsOrder) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_THAT(Top<float>(DataType::kFp32, {nan, -inf, nan, inf}, 4),
              ElementsAre("inf:3", "-inf:1", "nan:0", "nan:2"));
}

TEST(Classify, ReadsEveryIntegerAsANumber) {
  EXPECT_THAT(Top<int8_t>(DataType::kInt8, {-128, 127}, 2), ElementsAre("127:1", "-128:0"));
  EXPECT_THAT(Top<uint8_t>(DataType::kUint8, {65, 200}, 2), ElementsAre("200:1", "65:0"));
  EXPECT_THAT(Top<uint8_t>(DataType::kBool, {0, 1}, 1), ElementsAre("1:1"));
  EXPECT_THAT(Top<int16_t>(DataType::kInt16, {-5, 300}, 1), ElementsAre("300:1"));
  EXPECT_THAT(Top<uint16_t>(DataType::kUint16, {65535, 1}, 1), ElementsAre("65535:0"));
  EXPECT_THAT(Top<uint32_t>(DataType::kUint32, {UINT32_MAX, 1}, 1), ElementsAre("4294967295:0"));
  EXPECT_THAT(Top<int64_t>(DataType::kInt64, {INT64_MIN, INT64_MAX}, 2),
              ElementsAre("9223372036854775807:1", "-9223372036854775808:0"));
  EXPECT_THAT(Top<uint64_t>(DataType::kUint64, {1, UINT64_MAX, uint64_t{1} << 63}, 2),
              ElementsAre("18446744073709551615:1", "9223372036854775808:2"));
}

TEST(Classify, ReadsBothHalves) {
  EXPECT_THAT(Top<uint16_t>(DataType::kFp16, {0x3800, 0x3c00}, 2), ElementsAre("1.000000:1", "0.500000:0"));
  EXPECT_THAT(Top<uint16_t>(DataType::kBf16, {0x3f00, 0xbf80}, 2), ElementsAre("0.500000:0", "-1.000000:1"));
}

}  // namespace
}  // namespace maas
