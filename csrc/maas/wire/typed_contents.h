// Tensors as the Open Inference Protocol's typed values, and back.
//
//   InferTensorContents := bool (1) | int (2) | int64 (3) | uint (4) | uint64 (5) | fp32 (6) | fp64 (7)
//                          | bytes (8)
//
// All are repeated, numbers packed or not. Each datatype has one field; FP16 and BF16 have none. Elements
// that lie in the message as the core wants them (packed fp32 and fp64, and bools that are 0 and 1) stay
// there.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "maas/base/datatype.h"
#include "maas/base/status.h"
#include "maas/wire/field_path.h"
#include "maas/wire/predict_view.h"
#include "maas/wire/reader.h"

namespace maas {

// The number of the field that holds elements of `type`; 0: it has none.
constexpr uint32_t TypedField(DataType type) {
  constexpr uint8_t kFields[kDataTypeCount] = {0, 1, 4, 4, 4, 5, 2, 2, 2, 3, 0, 0, 6, 7, 8};
  return kFields[static_cast<uint8_t>(type)];
}

// Whether the packed elements on the wire are the bytes that the core has. Those of BOOL are only if each of
// them is 0 or 1: a byte of another number is true to a model, and part of a longer varint on the wire.
constexpr bool IsTypedAsRaw(DataType type) { return type == DataType::kFp32 || type == DataType::kFp64; }

// Sets tensor->data to what every `contents` field (number `field`) of the tensor's message together says:
// into the message, or into tensor->owned, where a conversion was due. Leaves it empty when they hold
// nothing. The memory it takes is at most 8 times what it reads. REQUIRES: datatype and shape are set.
// INVALID_ARGUMENT, naming the field of the contents: elements in another datatype's field, more or fewer
// than the shape says, or a value that the datatype cannot hold.
Status DecodeTypedContents(Reader message, uint32_t field, const FieldPath* at, TensorView* tensor);

// Appends what stands in the field for these elements, which are in raw form: packed varints, or for BYTES
// the fields themselves with their tags. REQUIRES: TypedField(type) != 0 && !IsTypedAsRaw(type).
void AppendTyped(DataType type, std::span<const std::byte> data, std::string* out);

}  // namespace maas
