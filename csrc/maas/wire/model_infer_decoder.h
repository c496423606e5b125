// Decodes inference.ModelInferRequest without copying payloads, but for typed values that need a conversion.
//
// Behaves as protobuf does (see predict_decoder.h): also for the maps of parameters, whose last entry of a
// name wins. A model version in digits is a number, any other text a label, none the default.
//
//   parameters of the request: priority, timeout (microseconds), binary_data_output (false: the answer's
//     tensors are typed values)
//   of an input: scale, zero_point, axis (its quantization), shared_memory_region, _offset, _byte_size
//   of an output: classification, quantize ("INT8" or "UINT8"), scale, zero_point, axis, shared_memory_*
// Others are ignored, sequence_id among them: no model here keeps state between requests.
//
// Raw contents are all or nothing: one entry per input that is not in shared memory, in their order.
// Threads: pure function. Errors: INVALID_ARGUMENT naming the field, what was expected and what came.
#pragma once

#include <cstddef>
#include <span>

#include "maas/base/status.h"
#include "maas/wire/predict_view.h"

namespace maas {

// *view is overwritten; on error its content is unspecified.
Status DecodeModelInferRequest(std::span<const std::byte> message, PredictRequestView* view);

}  // namespace maas
