#include "maas/wire/tensorflow_types.h"

namespace maas {

DataType DataTypeOfTensorFlow(int32_t number) {
  for (uint8_t i = 1; i < kDataTypeCount; ++i) {
    const auto type = static_cast<DataType>(i);
    if (static_cast<int32_t>(TensorFlowOf(type).type) == number) return type;
  }
  return DataType::kUnspecified;
}

std::string_view TensorFlowValuesName(uint32_t field) {
  constexpr static std::array<std::string_view, 14> kNames = {
      "float_val",   "double_val", "int_val",      "string_val", "scomplex_val",
      "int64_val",   "bool_val",   "dcomplex_val", "half_val",   "resource_handle_val",
      "variant_val", "uint32_val", "uint64_val",   "float8_val",
  };
  constexpr uint32_t kFirst = 5;
  if (field < kFirst || field - kFirst >= kNames.size()) return {};
  return kNames[field - kFirst];
}

std::string_view TensorFlowTypeName(int32_t number) {
  constexpr static std::array<std::string_view, 34> kNames = {
      "DT_INVALID",
      "DT_FLOAT",
      "DT_DOUBLE",
      "DT_INT32",
      "DT_UINT8",
      "DT_INT16",
      "DT_INT8",
      "DT_STRING",
      "DT_COMPLEX64",
      "DT_INT64",
      "DT_BOOL",
      "DT_QINT8",
      "DT_QUINT8",
      "DT_QINT32",
      "DT_BFLOAT16",
      "DT_QINT16",
      "DT_QUINT16",
      "DT_UINT16",
      "DT_COMPLEX128",
      "DT_HALF",
      "DT_RESOURCE",
      "DT_VARIANT",
      "DT_UINT32",
      "DT_UINT64",
      "DT_FLOAT8_E5M2",
      "DT_FLOAT8_E4M3FN",
      "DT_FLOAT8_E4M3FNUZ",
      "DT_FLOAT8_E4M3B11FNUZ",
      "DT_FLOAT8_E5M2FNUZ",
      "DT_INT4",
      "DT_UINT4",
      "DT_INT2",
      "DT_UINT2",
      "DT_FLOAT4_E2M1FN",
  };
  if (number < 0 || number >= static_cast<int32_t>(kNames.size())) return {};
  return kNames[static_cast<size_t>(number)];
}

}  // namespace maas
