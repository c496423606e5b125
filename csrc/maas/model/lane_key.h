// Tells which requests may share a batch: those with equal keys.
//
//   key    := { padded }  one per pad group with more than one bucket: the bucket that the request falls into
//             { size }    per input, in the spec's order, each dimension that may vary; of a batched one
//             without
//                         the rows and the padded one
//             { values }  per input that is shared by the rows: all that decides its values
//   values := datatype bytes [quantization]
//   padded, size, datatype := varint, 1 more than the number; 0 for an input that the server fills
//   bytes  := varint(n) n bytes
//   quantization := bytes(scales) bytes(zero points) axis
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "maas/model/bind.h"
#include "maas/model/spec.h"

namespace maas {

// An input without a batch axis whose bytes are more than this makes its request run alone.
inline constexpr size_t kMaxSharedInputBytes = size_t{64} * 1024;

// Sets lane_key, solo and size_key. A solo request's lane_key is empty: it has no company to be compared
// with. Its size_key is how many elements it has in inputs whose sizes vary, rounded up to a power of two;
// that of others is their lane_key without the values.
// REQUIRES: the rest of *request is bound.
void SetLaneKey(const ModelSpec& spec, BoundRequest* request);

// What a size_key says, for people: "length 128, x [224, 224]"; empty for an empty key. REQUIRES:
// SetLaneKey() made it for `spec`.
std::string SizeKeyText(const ModelSpec& spec, std::string_view key);

}  // namespace maas
