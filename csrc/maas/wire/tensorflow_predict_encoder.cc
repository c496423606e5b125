#include "maas/wire/tensorflow_predict_encoder.h"

#include <cassert>
#include <cstdint>
#include <string_view>

#include "maas/wire/encoding.h"
#include "maas/wire/tensorflow_predict_decoder.h"
#include "maas/wire/tensorflow_types.h"
#include "maas/wire/typed_contents.h"

namespace maas {
namespace {

size_t ShapeSize(const Dims& shape) {
  size_t size = 0;
  for (int64_t dim : shape) size += BytesFieldSize(2, NumberSize(1, static_cast<uint64_t>(dim)));
  return size;
}

void WriteShape(Writer* out, const Dims& shape) {
  for (int64_t dim : shape) {
    const auto size = static_cast<uint64_t>(dim);
    out->BytesHead(2, NumberSize(1, size));
    WriteNumber(out, 1, size);
  }
}

size_t TensorSize(const OutputHead& tensor) {
  const TensorFlowCounterpart& counterpart = TensorFlowOf(tensor.datatype);
  size_t size = VarintFieldSize(1, static_cast<uint64_t>(counterpart.type)) +
                BytesFieldSize(2, ShapeSize(tensor.shape));
  if (tensor.data_size == 0) return size;
  if (counterpart.values.form == ValueForm::kText) return size + tensor.data_size;
  return size + BytesFieldSize(counterpart.values.field, tensor.data_size);
}

std::byte* WriteTensor(Writer* out, const OutputHead& tensor) {
  const TensorFlowCounterpart& counterpart = TensorFlowOf(tensor.datatype);
  out->VarintField(1, static_cast<uint64_t>(counterpart.type));
  out->BytesHead(2, ShapeSize(tensor.shape));
  WriteShape(out, tensor.shape);
  if (tensor.data_size > 0 && counterpart.values.form != ValueForm::kText) {
    out->BytesHead(counterpart.values.field, tensor.data_size);
  }
  return out->Hole(tensor.data_size);
}

// An entry of the map `outputs`, without its own tag and length. Maps hold both fields, also empty ones.
size_t EntrySize(const OutputHead& tensor) {
  return BytesFieldSize(1, tensor.name.size()) + BytesFieldSize(2, TensorSize(tensor));
}

size_t VersionSize(const ResponseHead& head) { return NumberSize(1, static_cast<uint64_t>(head.version)); }

size_t SpecSize(const ResponseHead& head) {
  return TextSize(1, head.model) + BytesFieldSize(2, VersionSize(head)) +
         BytesFieldSize(3, kTensorFlowSignature.size());
}

}  // namespace

size_t TensorFlowPredictResponseSize(const ResponseHead& head) {
  size_t size = BytesFieldSize(2, SpecSize(head));
  for (const OutputHead& tensor : head.outputs) size += BytesFieldSize(1, EntrySize(tensor));
  return size;
}

void WriteTensorFlowPredictResponse(const ResponseHead& head, std::byte* out, std::byte** data) {
  Writer writer(out);
  for (const OutputHead& tensor : head.outputs) {
    writer.BytesHead(1, EntrySize(tensor));
    writer.BytesField(1, tensor.name);
    writer.BytesHead(2, TensorSize(tensor));
    *data++ = WriteTensor(&writer, tensor);
  }
  writer.BytesHead(2, SpecSize(head));
  WriteText(&writer, 1, head.model);
  writer.BytesHead(2, VersionSize(head));
  WriteNumber(&writer, 1, static_cast<uint64_t>(head.version));
  writer.BytesField(3, kTensorFlowSignature);
  assert(writer.position() == out + TensorFlowPredictResponseSize(head));
}

ElementForm TensorFlowElementForm(DataType datatype, bool) {
  return IsTypedAsRaw(datatype) ? ElementForm::kRaw : ElementForm::kTranscoded;
}

void TranscodeToTensorFlow(DataType datatype, std::span<const std::byte> data, std::string* out) {
  static_assert(TypedField(DataType::kBytes) == kStringValues.field, "texts are written with their tags");
  // Beyond what they are called, the two protocols' values differ in that only this one has the short floats.
  const bool half = datatype == DataType::kFp16 || datatype == DataType::kBf16;
  AppendTyped(half ? DataType::kUint16 : datatype, data, out);
}

}  // namespace maas
