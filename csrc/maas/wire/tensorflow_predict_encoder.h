// Encodes tensorflow.serving.PredictResponse in two phases, as predict_encoder.h does for ours: tensors as
// TensorFlow Serving sends them by default, their elements as typed values.
//
// float_val, double_val and bool_val hold the elements as the core has them; the other datatypes are
// transcoded first. Neither the id nor the receipt has a place in this message. Threads: pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "maas/base/datatype.h"
#include "maas/wire/codec.h"

namespace maas {

size_t TensorFlowPredictResponseSize(const ResponseHead& head);
// As WritePredictResponse(). REQUIRES: no output is quantized or in shared memory.
void WriteTensorFlowPredictResponse(const ResponseHead& head, std::byte* out, std::byte** data);

ElementForm TensorFlowElementForm(DataType datatype, bool typed);
// Appends the values of the field that belongs to the datatype: packed without tag and length, or for
// DT_STRING the fields themselves. REQUIRES: TensorFlowElementForm() is kTranscoded; `data` is well formed.
void TranscodeToTensorFlow(DataType datatype, std::span<const std::byte> data, std::string* out);

}  // namespace maas
