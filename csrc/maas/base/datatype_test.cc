#include "maas/base/datatype.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace maas {
namespace {

TEST(DataType, KnowsTheSizeOfAnElement) {
  EXPECT_EQ(ElementSize(DataType::kBool), 1u);
  EXPECT_EQ(ElementSize(DataType::kUint8), 1u);
  EXPECT_EQ(ElementSize(DataType::kUint16), 2u);
  EXPECT_EQ(ElementSize(DataType::kUint32), 4u);
  EXPECT_EQ(ElementSize(DataType::kUint64), 8u);
  EXPECT_EQ(ElementSize(DataType::kInt8), 1u);
  EXPECT_EQ(ElementSize(DataType::kInt16), 2u);
  EXPECT_EQ(ElementSize(DataType::kInt32), 4u);
  EXPECT_EQ(ElementSize(DataType::kInt64), 8u);
  EXPECT_EQ(ElementSize(DataType::kFp16), 2u);
  EXPECT_EQ(ElementSize(DataType::kBf16), 2u);
  EXPECT_EQ(ElementSize(DataType::kFp32), 4u);
  EXPECT_EQ(ElementSize(DataType::kFp64), 8u);
}

TEST(DataType, HasNoSizeWhereElementsVary) {
  EXPECT_EQ(ElementSize(DataType::kBytes), 0u);
  EXPECT_EQ(ElementSize(DataType::kUnspecified), 0u);
}

TEST(DataType, IsSpelledAsInTheOpenInferenceProtocol) {
  EXPECT_EQ(Name(DataType::kBool), "BOOL");
  EXPECT_EQ(Name(DataType::kUint8), "UINT8");
  EXPECT_EQ(Name(DataType::kUint64), "UINT64");
  EXPECT_EQ(Name(DataType::kInt8), "INT8");
  EXPECT_EQ(Name(DataType::kInt64), "INT64");
  EXPECT_EQ(Name(DataType::kFp16), "FP16");
  EXPECT_EQ(Name(DataType::kBf16), "BF16");
  EXPECT_EQ(Name(DataType::kFp32), "FP32");
  EXPECT_EQ(Name(DataType::kFp64), "FP64");
  EXPECT_EQ(Name(DataType::kBytes), "BYTES");
}

TEST(DataType, HasANameOfItsOwnForEachType) {
  std::set<std::string_view> names;
  for (int i = 0; i < kDataTypeCount; ++i) names.insert(Name(static_cast<DataType>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kDataTypeCount));
}

TEST(DataType, SaysWhichTypesConvert) {
  for (int i = 0; i < kDataTypeCount; ++i) {
    const auto type = static_cast<DataType>(i);
    EXPECT_EQ(IsQuantized(type), type == DataType::kInt8 || type == DataType::kUint8) << Name(type);
    EXPECT_EQ(IsFloating(type), type == DataType::kFp16 || type == DataType::kBf16 || type == DataType::kFp32)
        << Name(type);
  }
}

}  // namespace
}  // namespace maas
