// Decodes maas.v1.PredictRequest and PredictStreamRequest without copying payloads.
//
// Behaves as protobuf does: fields in any order, last value of a singular scalar wins, sub-messages merge,
// packed and unpacked repeated numbers, unknown fields and enum-unknown values skipped or kept as
// kUnspecified, groups skipped. The oneof version/label: the last one set wins and clears the other.
// Bounds are checked before use. Threads: pure functions. Errors: INVALID_ARGUMENT naming field and limit;
// text fields (id, model, label, names) must be valid UTF-8, as proto3 demands.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "maas/base/status.h"
#include "maas/wire/decoding.h"
#include "maas/wire/predict_view.h"

namespace maas {

inline constexpr size_t kMaxStreamRequests = 4096;

// *view is overwritten; on error its content is unspecified.
Status DecodePredictRequest(std::span<const std::byte> message, PredictRequestView* view);

// The spans of the PredictRequests inside one PredictStreamRequest, in order. Each is decoded on its own by
// DecodePredictRequest, so that a bad one fails alone.
Status SplitPredictStreamRequest(std::span<const std::byte> message,
                                 std::vector<std::span<const std::byte>>* requests);

// The id of a PredictRequest that may otherwise be malformed: the best that can be said about whom to answer.
// Empty when there is none, it is over the limit, or not UTF-8.
std::string_view PeekRequestId(std::span<const std::byte> message);

}  // namespace maas
