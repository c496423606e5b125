// Scans an entry of a map from names to tensorflow.TensorProto: everything but its values, without
// allocating.
//
// Of several entries of one name only the last counts, and a few bytes may ask for much memory; so all
// entries are scanned first, and the tensors made of those that are left (tensorflow_tensor.h). Threads: pure
// functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "maas/base/dims.h"
#include "maas/base/status.h"
#include "maas/wire/decoding.h"

namespace maas {

// Borrows from the message.
struct TensorFlowEntry {
  std::string_view name;
  int32_t dtype = 0;  // As sent.
  Dims shape;
  bool unknown_rank = false;
  std::span<const std::byte> content;
  // The values: all in one field of TensorProto, unless `second_field` is not 0 either.
  uint32_t field = 0;
  uint32_t second_field = 0;
  uint64_t count = 0;
  std::span<const std::byte> packed;  // Where they lie, if they came packed in one piece.
  Reader values;                      // The entry's message, to be read again.
};

// `at` names the entry. On error *entry is unspecified. INVALID_ARGUMENT: what protobuf would not read, a
// name or a rank over the limit.
Status ScanTensorFlowEntry(Reader in, const FieldPath* at, TensorFlowEntry* entry);

}  // namespace maas
