// What one protocol is to the core: how its requests read and how its answers are written.
//
// Every protocol goes down the same path: decode -> bind -> queue -> pack -> run -> size, write. A codec is a
// table of pure functions and lives for ever; a request keeps a pointer to its own (ReplyTo::codec).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "maas/base/datatype.h"
#include "maas/base/status.h"
#include "maas/wire/predict_encoder.h"
#include "maas/wire/predict_view.h"

namespace maas {

// In which form a datatype's elements go out.
enum class ElementForm : uint8_t {
  kRaw = 0,  // As the core has them: little-endian, side by side, BYTES with their lengths before them.
  kTranscoded = 1,  // As `transcode` writes them.
  kNone = 2,        // The protocol has no such form for this datatype.
};

struct Codec {
  // Overwrites *view; on error its content is unspecified. INVALID_ARGUMENT names the field and the limit.
  Status (*decode)(std::span<const std::byte> message, PredictRequestView* view);

  // The two phases of an answer, as in predict_encoder.h: its exact size, then its bytes but for the data of
  // the outputs, whose addresses are left in `data`.
  size_t (*size)(const ResponseHead& head);
  void (*write)(const ResponseHead& head, std::byte* out, std::byte** data);

  // `typed` as in PredictRequestView.
  ElementForm (*form)(DataType datatype, bool typed);
  // Appends the elements of `data`, which are in the form kRaw, to *out in the protocol's own.
  // REQUIRES: form() says kTranscoded for `datatype`.
  void (*transcode)(DataType datatype, std::span<const std::byte> data, std::string* out);
};

// maas.v1.PredictRequest -> PredictResponse.
const Codec& PredictCodec();
// The same, answered by an entry of a PredictStreamResponse.
const Codec& PredictStreamCodec();
// inference.ModelInferRequest -> ModelInferResponse.
const Codec& ModelInferCodec();
// The same, answered by a ModelStreamInferResponse.
const Codec& ModelStreamInferCodec();
// tensorflow.serving.PredictRequest -> PredictResponse.
const Codec& TensorFlowPredictCodec();

}  // namespace maas
