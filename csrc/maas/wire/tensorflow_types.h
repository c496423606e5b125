// TensorFlow's datatypes and ours, and which field of a TensorProto holds the values of which.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "maas/base/datatype.h"

namespace maas {

// The numbers of tensorflow.DataType that have a counterpart here.
enum class TensorFlowType : int32_t {
  kFloat = 1,
  kDouble = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 5,
  kInt8 = 6,
  kString = 7,
  kInt64 = 9,
  kBool = 10,
  kBfloat16 = 14,
  kUint16 = 17,
  kHalf = 19,
  kUint32 = 22,
  kUint64 = 23,
};

// How the values of one datatype travel one by one.
enum class ValueForm : uint8_t {
  kFixed32 = 0,  // Four bytes each, packed as the core has them.
  kFixed64 = 1,
  kVarint = 2,
  kText = 3,  // A field for each.
};

struct TensorFlowValues {
  uint32_t field = 0;  // Of TensorProto.
  std::string_view name;
  ValueForm form = ValueForm::kVarint;
};

inline constexpr TensorFlowValues kFloatValues{5, "float_val", ValueForm::kFixed32};
inline constexpr TensorFlowValues kDoubleValues{6, "double_val", ValueForm::kFixed64};
inline constexpr TensorFlowValues kIntValues{7, "int_val", ValueForm::kVarint};
inline constexpr TensorFlowValues kStringValues{8, "string_val", ValueForm::kText};
inline constexpr TensorFlowValues kInt64Values{10, "int64_val", ValueForm::kVarint};
inline constexpr TensorFlowValues kBoolValues{11, "bool_val", ValueForm::kVarint};
inline constexpr TensorFlowValues kHalfValues{13, "half_val", ValueForm::kVarint};
inline constexpr TensorFlowValues kUint32Values{16, "uint32_val", ValueForm::kVarint};
inline constexpr TensorFlowValues kUint64Values{17, "uint64_val", ValueForm::kVarint};

struct TensorFlowCounterpart {
  TensorFlowType type;
  TensorFlowValues values;
};

// By DataType; the first stands for none.
inline constexpr std::array<TensorFlowCounterpart, kDataTypeCount> kTensorFlowCounterparts = {{
    {TensorFlowType::kFloat, kFloatValues},
    {TensorFlowType::kBool, kBoolValues},
    {TensorFlowType::kUint8, kIntValues},
    {TensorFlowType::kUint16, kIntValues},
    {TensorFlowType::kUint32, kUint32Values},
    {TensorFlowType::kUint64, kUint64Values},
    {TensorFlowType::kInt8, kIntValues},
    {TensorFlowType::kInt16, kIntValues},
    {TensorFlowType::kInt32, kIntValues},
    {TensorFlowType::kInt64, kInt64Values},
    {TensorFlowType::kHalf, kHalfValues},
    {TensorFlowType::kBfloat16, kHalfValues},
    {TensorFlowType::kFloat, kFloatValues},
    {TensorFlowType::kDouble, kDoubleValues},
    {TensorFlowType::kString, kStringValues},
}};

// REQUIRES: type != DataType::kUnspecified.
constexpr const TensorFlowCounterpart& TensorFlowOf(DataType type) {
  return kTensorFlowCounterparts[static_cast<uint8_t>(type)];
}

// "float_val" for 5; empty for a field that holds no values. Also names those that are always refused.
std::string_view TensorFlowValuesName(uint32_t field);

// kUnspecified for a number that has no counterpart.
DataType DataTypeOfTensorFlow(int32_t number);

// "DT_COMPLEX64"; empty for a number that TensorFlow does not have, and for references.
std::string_view TensorFlowTypeName(int32_t number);

}  // namespace maas
