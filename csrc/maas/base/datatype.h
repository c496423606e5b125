// Element types; the numbers are those of maas.v1.DataType on the wire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace maas {

enum class DataType : uint8_t {
  kUnspecified = 0,
  kBool = 1,
  kUint8 = 2,
  kUint16 = 3,
  kUint32 = 4,
  kUint64 = 5,
  kInt8 = 6,
  kInt16 = 7,
  kInt32 = 8,
  kInt64 = 9,
  kFp16 = 10,
  kBf16 = 11,
  kFp32 = 12,
  kFp64 = 13,
  kBytes = 14,
};
inline constexpr int kDataTypeCount = 15;

// Bytes of one element; 0 for kUnspecified and for kBytes, whose elements vary.
constexpr size_t ElementSize(DataType type) {
  constexpr uint8_t kSizes[kDataTypeCount] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 0};
  return kSizes[static_cast<uint8_t>(type)];
}

// "FP32", spelled as in the Open Inference Protocol.
constexpr std::string_view Name(DataType type) {
  constexpr std::string_view kNames[kDataTypeCount] = {"DATA_TYPE_UNSPECIFIED",
                                                       "BOOL",
                                                       "UINT8",
                                                       "UINT16",
                                                       "UINT32",
                                                       "UINT64",
                                                       "INT8",
                                                       "INT16",
                                                       "INT32",
                                                       "INT64",
                                                       "FP16",
                                                       "BF16",
                                                       "FP32",
                                                       "FP64",
                                                       "BYTES"};
  return kNames[static_cast<uint8_t>(type)];
}

constexpr bool IsFloating(DataType t) {
  return t == DataType::kFp16 || t == DataType::kBf16 || t == DataType::kFp32;
}
constexpr bool IsQuantized(DataType t) { return t == DataType::kInt8 || t == DataType::kUint8; }

}  // namespace maas
