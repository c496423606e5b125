#include "maas/wire/predict_decoder.h"

#include <bit>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "maas/wire/decoding.h"
#include "maas/wire/utf8.h"

namespace maas {
namespace {

using Bytes = std::span<const std::byte>;

DataType AsDataType(uint64_t varint) {
  const int32_t number = AsInt32(varint);
  return number >= 0 && number < kDataTypeCount ? static_cast<DataType>(number) : DataType::kUnspecified;
}

Status ReadPackedScales(Reader* in, const FieldPath* at, std::vector<float>* scales) {
  Bytes bytes;
  if (!in->ReadBytes(&bytes)) return Malformed(*in, at);
  const size_t count = bytes.size() / sizeof(float);
  if (bytes.size() % sizeof(float) != 0) {
    return InvalidField(at, "scales",
                        "expected floats of 4 bytes, got " + std::to_string(bytes.size()) + " bytes");
  }
  if (count > kMaxScales - scales->size()) return TooMany(at, "scales", kMaxScales, "entries");
  if (count == 0) return {};
  const size_t old_size = scales->size();
  scales->resize(old_size + count);
  std::memcpy(scales->data() + old_size, bytes.data(), bytes.size());
  return {};
}

Status ReadScale(Reader* in, const FieldPath* at, std::vector<float>* scales) {
  uint32_t bits = 0;
  if (!in->ReadFixed32(&bits)) return Malformed(*in, at);
  if (scales->size() == kMaxScales) return TooMany(at, "scales", kMaxScales, "entries");
  scales->push_back(std::bit_cast<float>(bits));
  return {};
}

Status ReadZeroPoints(Reader* in, const FieldPath* at, bool packed, std::vector<int32_t>* zero_points) {
  return ReadVarints(in, at, packed, [=](uint64_t value) -> Status {
    if (zero_points->size() == kMaxScales) return TooMany(at, "zero_points", kMaxScales, "entries");
    zero_points->push_back(AsInt32(value));
    return {};
  });
}

// Quantization and OutputQuantization hold the same three fields, one number apart: `first` is that of
// scales. *known tells whether `tag` was one of them; if not, nothing was read.
Status ReadQuantizationField(Reader* in, const FieldPath* at, uint32_t first, uint32_t tag, bool* known,
                             Quantization* out) {
  *known = true;
  if (tag == BytesTag(first)) return ReadPackedScales(in, at, &out->scales);
  if (tag == Fixed32Tag(first)) return ReadScale(in, at, &out->scales);
  if (tag == BytesTag(first + 1)) return ReadZeroPoints(in, at, true, &out->zero_points);
  if (tag == VarintTag(first + 1)) return ReadZeroPoints(in, at, false, &out->zero_points);
  if (tag == VarintTag(first + 2)) {
    uint64_t axis;
    if (!in->ReadVarint(&axis)) return Malformed(*in, at);
    out->has_axis = true;
    out->axis = AsInt32(axis);
    return {};
  }
  *known = false;
  return {};
}

Status DecodeQuantization(Reader in, const FieldPath* at, Quantization* out) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    bool known;
    MAAS_RETURN_IF_ERROR(ReadQuantizationField(&in, at, 1, tag, &known, out));
    if (!known && !in.Skip(tag)) return Malformed(in, at);
  }
  return {};
}

Status DecodeOutputQuantization(Reader in, const FieldPath* at, OutputQuantization* out) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    if (tag == VarintTag(1)) {
      uint64_t value;
      if (!in.ReadVarint(&value)) return Malformed(in, at);
      // 0 on the wire is the same as nothing on the wire: the default. Unknown numbers are kept as
      // unspecified.
      out->datatype = AsInt32(value) == 0 ? DataType::kInt8 : AsDataType(value);
      continue;
    }
    bool known;
    MAAS_RETURN_IF_ERROR(ReadQuantizationField(&in, at, 2, tag, &known, &out->params));
    if (!known && !in.Skip(tag)) return Malformed(in, at);
  }
  return {};
}

Status DecodeTensor(Reader in, const FieldPath* at, TensorView* tensor) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    switch (tag) {
      case BytesTag(1):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "name", kMaxNameBytes, &tensor->name));
        break;
      case VarintTag(2): {
        uint64_t value;
        if (!in.ReadVarint(&value)) return Malformed(in, at);
        tensor->datatype = AsDataType(value);
        break;
      }
      case BytesTag(3):
      case VarintTag(3):
        MAAS_RETURN_IF_ERROR(ReadShape(&in, at, tag == BytesTag(3), &tensor->shape));
        break;
      case BytesTag(4):
        if (!in.ReadBytes(&tensor->data)) return Malformed(in, at);
        break;
      case BytesTag(5): {
        Reader message;
        if (!in.ReadMessage(&message)) return Malformed(in, at);
        if (tensor->quantization == nullptr) tensor->quantization = std::make_unique<Quantization>();
        const FieldPath path{at, "quantization"};
        MAAS_RETURN_IF_ERROR(DecodeQuantization(message, &path, tensor->quantization.get()));
        break;
      }
      default:
        if (!in.Skip(tag)) return Malformed(in, at);
    }
  }
  return {};
}

Status DecodeRequestedOutput(Reader in, const FieldPath* at, RequestedOutputView* output) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    switch (tag) {
      case BytesTag(1):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "name", kMaxNameBytes, &output->name));
        break;
      case BytesTag(2): {
        Reader message;
        if (!in.ReadMessage(&message)) return Malformed(in, at);
        if (output->quantize == nullptr) output->quantize = std::make_unique<OutputQuantization>();
        const FieldPath path{at, "quantize"};
        MAAS_RETURN_IF_ERROR(DecodeOutputQuantization(message, &path, output->quantize.get()));
        break;
      }
      default:
        if (!in.Skip(tag)) return Malformed(in, at);
    }
  }
  return {};
}

Status CheckNumbers(const PredictRequestView& view) {
  if (view.version < 0) {
    return InvalidField(nullptr, "version",
                        "expected a number greater than 0, got " + std::to_string(view.version));
  }
  if (view.timeout_us < 0 || view.timeout_us > kMaxTimeoutUs) {
    return InvalidField(nullptr, "timeout_us",
                        "expected 0 to " + std::to_string(kMaxTimeoutUs) + " microseconds, got " +
                            std::to_string(view.timeout_us));
  }
  return {};
}

}  // namespace

Status DecodePredictRequest(Bytes message, PredictRequestView* view) {
  Clear(view);
  Reader in(message);
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, nullptr);
    uint64_t value;
    switch (tag) {
      case BytesTag(1):
        MAAS_RETURN_IF_ERROR(ReadText(&in, nullptr, "id", kMaxNameBytes, &view->id));
        break;
      case BytesTag(2):
        MAAS_RETURN_IF_ERROR(ReadText(&in, nullptr, "model", kMaxNameBytes, &view->model));
        break;
      case VarintTag(3):
        if (!in.ReadVarint(&value)) return Malformed(in, nullptr);
        view->version = static_cast<int64_t>(value);
        view->label = {};
        break;
      case BytesTag(4):
        MAAS_RETURN_IF_ERROR(ReadText(&in, nullptr, "label", kMaxLabelBytes, &view->label));
        view->version = 0;
        break;
      case BytesTag(5):
        MAAS_RETURN_IF_ERROR(ReadElement(&in, "inputs", DecodeTensor, &view->inputs));
        break;
      case BytesTag(6):
        MAAS_RETURN_IF_ERROR(ReadElement(&in, "outputs", DecodeRequestedOutput, &view->outputs));
        break;
      case VarintTag(7):
        if (!in.ReadVarint(&value)) return Malformed(in, nullptr);
        view->timeout_us = static_cast<int64_t>(value);
        break;
      case VarintTag(8):
        if (!in.ReadVarint(&value)) return Malformed(in, nullptr);
        view->priority = static_cast<uint32_t>(value);  // Of 32-bit fields only the lower half counts.
        break;
      default:
        if (!in.Skip(tag)) return Malformed(in, nullptr);
    }
  }
  return CheckNumbers(*view);
}

Status SplitPredictStreamRequest(Bytes message, std::vector<Bytes>* requests) {
  requests->clear();
  Reader in(message);
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, nullptr);
    if (tag != BytesTag(1)) {
      if (!in.Skip(tag)) return Malformed(in, nullptr);
      continue;
    }
    Bytes request;
    if (!in.ReadBytes(&request)) return Malformed(in, nullptr);
    if (requests->size() == kMaxStreamRequests)
      return TooMany(nullptr, "requests", kMaxStreamRequests, "entries");
    requests->push_back(request);
  }
  return {};
}

std::string_view PeekRequestId(Bytes message) {
  Bytes id;
  Reader in(message);
  uint32_t tag;
  while (!in.done() && in.ReadTag(&tag)) {
    if (!(tag == BytesTag(1) ? in.ReadBytes(&id) : in.Skip(tag))) break;
  }
  if (id.size() > kMaxNameBytes || !IsUtf8(AsText(id))) return {};
  return AsText(id);
}

}  // namespace maas
