// The codec of tensorflow.serving.PredictionService/Predict.

#include "maas/wire/codec.h"
#include "maas/wire/tensorflow_predict_decoder.h"
#include "maas/wire/tensorflow_predict_encoder.h"

namespace maas {

const Codec& TensorFlowPredictCodec() {
  static constexpr Codec kCodec{DecodeTensorFlowPredictRequest, TensorFlowPredictResponseSize,
                                WriteTensorFlowPredictResponse, TensorFlowElementForm, TranscodeToTensorFlow};
  return kCodec;
}

}  // namespace maas
