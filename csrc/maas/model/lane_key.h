// Tells which requests may share a batch: those with equal keys.
//
//   key    := { padded }  one per pad group with more than one bucket: the bucket that the request falls into
//             { input }   in the spec's order
//   input  := { size }    batched: each dimension that may vary, but rows and the padded one
//           | { size } datatype bytes [quantization]   shared by the rows: each dimension that may vary, then
//           all
//                                                      that decides its values
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
// with. Its size_key is how many elements it has in inputs whose sizes vary, rounded up to a power of two.
// REQUIRES: the rest of *request is bound.
void SetLaneKey(const ModelSpec& spec, BoundRequest* request);

// What a key of either kind says, for people: "length 128, x [224, 224], rate of 8 bytes"; empty for an empty
// key. REQUIRES: SetLaneKey() made it for `spec`.
std::string LaneKeyText(const ModelSpec& spec, std::string_view key);

}  // namespace maas
