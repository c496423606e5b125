#include "maas/wire/tensorflow_types.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

TEST(TensorFlowTypes, EveryDatatypeHasACounterpartAndComesBackFromIt) {
  for (uint8_t i = 1; i < kDataTypeCount; ++i) {
    const auto type = static_cast<DataType>(i);
    const TensorFlowCounterpart& counterpart = TensorFlowOf(type);
    EXPECT_EQ(DataTypeOfTensorFlow(static_cast<int32_t>(counterpart.type)), type) << Name(type);
    EXPECT_EQ(TensorFlowValuesName(counterpart.values.field), counterpart.values.name) << Name(type);
  }
}

TEST(TensorFlowTypes, TheValuesOfADatatypeTravelInTheFieldThatTensorFlowPutsThemIn) {
  EXPECT_EQ(TensorFlowOf(DataType::kFp32).values.name, "float_val");
  EXPECT_EQ(TensorFlowOf(DataType::kFp64).values.name, "double_val");
  EXPECT_EQ(TensorFlowOf(DataType::kUint8).values.name, "int_val");
  EXPECT_EQ(TensorFlowOf(DataType::kUint16).values.name, "int_val");
  EXPECT_EQ(TensorFlowOf(DataType::kUint32).values.name, "uint32_val");
  EXPECT_EQ(TensorFlowOf(DataType::kUint64).values.name, "uint64_val");
  EXPECT_EQ(TensorFlowOf(DataType::kInt64).values.name, "int64_val");
  EXPECT_EQ(TensorFlowOf(DataType::kBf16).values.name, "half_val");
  EXPECT_EQ(TensorFlowOf(DataType::kBytes).values.name, "string_val");
}

TEST(TensorFlowTypes, FieldsThatAreAlwaysRefusedHaveANameAndOthersHaveNone) {
  EXPECT_EQ(TensorFlowValuesName(9), "scomplex_val");
  EXPECT_EQ(TensorFlowValuesName(18), "float8_val");
  EXPECT_EQ(TensorFlowValuesName(4), "");
  EXPECT_EQ(TensorFlowValuesName(19), "");
}

TEST(TensorFlowTypes, WhatHasNoCounterpartHasANameForTheRefusal) {
  for (int32_t number : {0, 8, 11, 12, 13, 15, 16, 18, 20, 21, 24, 29, 33}) {
    EXPECT_EQ(DataTypeOfTensorFlow(number), DataType::kUnspecified) << number;
    EXPECT_FALSE(TensorFlowTypeName(number).empty()) << number;
  }
  EXPECT_EQ(TensorFlowTypeName(8), "DT_COMPLEX64");
  EXPECT_EQ(TensorFlowTypeName(21), "DT_VARIANT");
  EXPECT_EQ(TensorFlowTypeName(33), "DT_FLOAT4_E2M1FN");
  for (int32_t number : {-1, 34, 101, 1 << 30}) {
    EXPECT_EQ(DataTypeOfTensorFlow(number), DataType::kUnspecified) << number;
    EXPECT_EQ(TensorFlowTypeName(number), "") << number;
  }
}

}  // namespace
}  // namespace maas
