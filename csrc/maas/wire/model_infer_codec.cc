// The codecs of the Open Inference Protocol.

#include "maas/wire/codec.h"
#include "maas/wire/model_infer_decoder.h"
#include "maas/wire/model_infer_encoder.h"
#include "maas/wire/typed_contents.h"

namespace maas {
namespace {

ElementForm Form(DataType datatype, bool typed) {
  if (!typed || IsTypedAsRaw(datatype)) return ElementForm::kRaw;
  return TypedField(datatype) == 0 ? ElementForm::kNone : ElementForm::kTranscoded;
}

}  // namespace

const Codec& ModelInferCodec() {
  static constexpr Codec kCodec{DecodeModelInferRequest, ModelInferResponseSize, WriteModelInferResponse,
                                Form, AppendTyped};
  return kCodec;
}

const Codec& ModelStreamInferCodec() {
  static constexpr Codec kCodec{DecodeModelInferRequest, ModelStreamInferResponseSize,
                                WriteModelStreamInferResponse, Form, AppendTyped};
  return kCodec;
}

}  // namespace maas
