#include "maas/wire/predict_encoder.h"

#include <cassert>
#include <cstring>

#include "maas/wire/encoding.h"

namespace maas {
namespace {

size_t QuantizationSize(const Quantization& q) {
  size_t size = PackedFieldSize(2, std::span<const int32_t>(q.zero_points));
  if (!q.scales.empty()) size += BytesFieldSize(1, q.scales.size() * sizeof(float));
  if (q.has_axis) size += VarintFieldSize(3, SignExtend(q.axis));
  return size;
}

void WriteQuantization(Writer* out, const Quantization& q) {
  if (!q.scales.empty()) {
    const size_t size = q.scales.size() * sizeof(float);
    out->BytesHead(1, size);
    out->Raw(q.scales.data(), size);
  }
  WritePacked(out, 2, std::span<const int32_t>(q.zero_points));
  if (q.has_axis) out->VarintField(3, SignExtend(q.axis));
}

size_t TensorSize(const OutputHead& tensor) {
  size_t size = TextSize(1, tensor.name) + NumberSize(2, static_cast<uint64_t>(tensor.datatype)) +
                PackedFieldSize(3, tensor.shape.span());
  if (tensor.data_size > 0) size += BytesFieldSize(4, tensor.data_size);
  if (tensor.quantization != nullptr) size += BytesFieldSize(5, QuantizationSize(*tensor.quantization));
  return size;
}

std::byte* WriteTensor(Writer* out, const OutputHead& tensor) {
  WriteText(out, 1, tensor.name);
  WriteNumber(out, 2, static_cast<uint64_t>(tensor.datatype));
  WritePacked(out, 3, tensor.shape.span());
  if (tensor.data_size > 0) out->BytesHead(4, tensor.data_size);
  std::byte* const data = out->Hole(tensor.data_size);
  if (tensor.quantization != nullptr) {
    out->BytesHead(5, QuantizationSize(*tensor.quantization));
    WriteQuantization(out, *tensor.quantization);
  }
  return data;
}

size_t ReceiptSize(const Receipt& receipt) {
  return NumberSize(1, AsVarint(receipt.queue_ns)) + NumberSize(2, AsVarint(receipt.run_ns)) +
         NumberSize(3, AsVarint(receipt.batch_size)) + NumberSize(4, AsVarint(receipt.batches)) +
         NumberSize(5, AsVarint(receipt.predicted_ns)) + NumberSize(6, AsVarint(receipt.total_ns));
}

void WriteReceipt(Writer* out, const Receipt& receipt) {
  out->BytesHead(5, ReceiptSize(receipt));
  WriteNumber(out, 1, AsVarint(receipt.queue_ns));
  WriteNumber(out, 2, AsVarint(receipt.run_ns));
  WriteNumber(out, 3, AsVarint(receipt.batch_size));
  WriteNumber(out, 4, AsVarint(receipt.batches));
  WriteNumber(out, 5, AsVarint(receipt.predicted_ns));
  WriteNumber(out, 6, AsVarint(receipt.total_ns));
}

void WriteResponse(Writer* out, const ResponseHead& head, std::byte** data) {
  WriteText(out, 1, head.id);
  WriteText(out, 2, head.model);
  WriteNumber(out, 3, AsVarint(head.version));
  for (const OutputHead& tensor : head.outputs) {
    out->BytesHead(4, TensorSize(tensor));
    *data++ = WriteTensor(out, tensor);
  }
  WriteReceipt(out, head.receipt);
}

// PredictStreamAnswer, without the tag and length of the `answers` entry.
size_t AnswerSize(const ResponseHead& head) {
  return TextSize(1, head.id) + BytesFieldSize(2, PredictResponseSize(head));
}

}  // namespace

size_t PredictResponseSize(const ResponseHead& head) {
  size_t size = TextSize(1, head.id) + TextSize(2, head.model) + NumberSize(3, AsVarint(head.version)) +
                BytesFieldSize(5, ReceiptSize(head.receipt));
  for (const OutputHead& tensor : head.outputs) size += BytesFieldSize(4, TensorSize(tensor));
  return size;
}

void WritePredictResponse(const ResponseHead& head, std::byte* out, std::byte** data) {
  Writer writer(out);
  WriteResponse(&writer, head, data);
  assert(writer.position() == out + PredictResponseSize(head));
}

size_t StreamAnswerSize(const ResponseHead& head) { return BytesFieldSize(1, AnswerSize(head)); }

void WriteStreamAnswer(const ResponseHead& head, std::byte* out, std::byte** data) {
  Writer writer(out);
  writer.BytesHead(1, AnswerSize(head));
  WriteText(&writer, 1, head.id);
  writer.BytesHead(2, PredictResponseSize(head));
  WriteResponse(&writer, head, data);
  assert(writer.position() == out + StreamAnswerSize(head));
}

}  // namespace maas
