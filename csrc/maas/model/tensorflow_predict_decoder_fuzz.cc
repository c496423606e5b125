// Decodes arbitrary bytes as TensorFlow Serving's request, binds what decodes to a few models, and sends the
// inputs through the encoder's transcoding and back.
//
// Run from the repository's root, seeded with tests/golden/tensorflow_predict/*/message.bin: make fuzz.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "maas/model/bind.h"
#include "maas/model/bind_testing.h"
#include "maas/model/decoder_fuzz_testing.h"
#include "maas/wire/codec.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/tensorflow_tensor.h"
#include "maas/wire/tensorflow_types.h"

namespace maas {
namespace {

// Beyond it a message is only decoded: filling is cheap, going over it again and again is not.
constexpr size_t kMostToRepeat = size_t{1} << 20;

// Under the names that the golden messages use, so that the fuzzer gets past the first check.
const std::vector<ModelSpec>& Specs() {
  static const std::vector<ModelSpec> specs = [] {
    std::vector<ModelSpec> out;
    out.push_back(GoldenSpec());
    out.push_back(MakeSpec({MakeInput("x", DataType::kBytes, {-1})}));
    for (DataType type : {DataType::kInt64, DataType::kUint8, DataType::kFp16, DataType::kBool}) {
      out.push_back(MakeSpec({MakeInput("x", type, {-1}, -1)}));
    }
    out.push_back(MakeSpec({MakeInput("x", DataType::kFp32, {}, -1)}));
    out.back().batching = false;
    return out;
  }();
  return specs;
}

Status CheckStatus(Status status) {
  if (status.ok()) return status;
  if (status.code() == Code::kFailedPrecondition) {
    Require(status.reason() == "SIGNATURE_NOT_FOUND");
  } else {
    RequireRefusal(status);
  }
  return status;
}

// What the answer would hold if the model answered its input, read as an input again.
void SendBack(const TensorView& tensor) {
  const Codec& codec = TensorFlowPredictCodec();
  const TensorFlowCounterpart& counterpart = TensorFlowOf(tensor.datatype);
  std::string values;
  if (codec.form(tensor.datatype, false) == ElementForm::kTranscoded) {
    codec.transcode(tensor.datatype, tensor.data, &values);
  } else {
    values = AsText(tensor.data);
  }
  MessageBuilder shape;
  for (int64_t dim : tensor.shape) shape.Message(2, MessageBuilder().Number(1, dim));
  MessageBuilder proto;
  proto.Number(1, static_cast<int64_t>(counterpart.type)).Message(2, shape);
  if (counterpart.values.form == ValueForm::kText) {
    proto.Raw(values);
  } else {
    proto.Bytes(counterpart.values.field, values);
  }
  const MessageBuilder message = MessageBuilder().Bytes(1, tensor.name).Message(2, proto);
  TensorFlowEntry entry;
  Require(ScanTensorFlowEntry(Reader(message.bytes()), nullptr, &entry).ok());
  size_t room = 0;
  TensorView again;
  Require(TakeTensorFlowTensor(entry, nullptr, &room, &again).ok());
  Require(again.datatype == tensor.datatype && again.shape == tensor.shape);
  Require(std::equal(again.data.begin(), again.data.end(), tensor.data.begin(), tensor.data.end()));
}

void DecodeAndBind(std::span<const std::byte> message) {
  static PredictRequestView view;
  static BoundRequest bound;
  const Codec& codec = TensorFlowPredictCodec();
  if (!CheckStatus(codec.decode(message, &view)).ok()) return;
  Require(!view.model.empty() && view.version >= 0 && view.inputs.size() <= kMaxTensors);
  for (const TensorView& input : view.inputs) {
    Require(input.datatype != DataType::kUnspecified && ElementCount(input.shape) >= 0);
    if (input.data.size() > kMostToRepeat) return;
  }
  for (const ModelSpec& spec : Specs()) {
    if (!CheckStatus(BindRequest(spec, &view, &bound)).ok()) continue;
    for (const TensorView& input : view.inputs) SendBack(input);
  }
}

}  // namespace
}  // namespace maas

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  maas::DecodeAndBind(std::as_bytes(std::span(data, size)));
  return 0;
}
