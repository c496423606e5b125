// Decodes tensorflow.serving.PredictRequest without copying payloads that need no conversion.
//
// Behaves as protobuf does (see predict_decoder.h); of several entries of the map `inputs` with one name the
// last counts, a missing key is the empty name. A version of 0 is none, which is how some clients ask for the
// newest. Elements: see tensorflow_tensor.h.
// Threads: pure function. Errors: INVALID_ARGUMENT naming field and limit; FAILED_PRECONDITION for a
// signature that no model here has.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "maas/base/status.h"
#include "maas/wire/predict_view.h"

namespace maas {

// The only signature to predict with; an empty name stands for it.
inline constexpr std::string_view kTensorFlowSignature = "serving_default";

// *view is overwritten; on error its content is unspecified.
Status DecodeTensorFlowPredictRequest(std::span<const std::byte> message, PredictRequestView* view);

}  // namespace maas
