// The codecs of maas.v1.

#include "maas/wire/codec.h"
#include "maas/wire/predict_decoder.h"
#include "maas/wire/predict_encoder.h"

namespace maas {
namespace {

ElementForm AlwaysRaw(DataType, bool) { return ElementForm::kRaw; }

}  // namespace

const Codec& PredictCodec() {
  static constexpr Codec kCodec{DecodePredictRequest, PredictResponseSize, WritePredictResponse, AlwaysRaw,
                                nullptr};
  return kCodec;
}

const Codec& PredictStreamCodec() {
  static constexpr Codec kCodec{DecodePredictRequest, StreamAnswerSize, WriteStreamAnswer, AlwaysRaw,
                                nullptr};
  return kCodec;
}

}  // namespace maas
