// Encodes inference.ModelInferResponse and ModelStreamInferResponse in two phases, as predict_encoder.h does.
//
// The data goes into raw_output_contents, one entry per output, in their order; that of an output in shared
// memory is empty, as clients count on it. When head.typed, it goes into each output's contents instead.
// A quantized output says so in its parameters: scale (double) and zero_point (int64), or both as texts of
// several numbers with commas between, and axis (int64).
// Threads: pure functions.
#pragma once

#include <cstddef>

#include "maas/wire/predict_encoder.h"

namespace maas {

size_t ModelInferResponseSize(const ResponseHead& head);
// Writes exactly ModelInferResponseSize(head) bytes but for the data, as WritePredictResponse() does.
void WriteModelInferResponse(const ResponseHead& head, std::byte* out, std::byte** data);

// The same inside a ModelStreamInferResponse, marked as the last answer to its request.
size_t ModelStreamInferResponseSize(const ResponseHead& head);
void WriteModelStreamInferResponse(const ResponseHead& head, std::byte* out, std::byte** data);

}  // namespace maas
