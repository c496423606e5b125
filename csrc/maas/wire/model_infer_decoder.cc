#include "maas/wire/model_infer_decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "maas/wire/decoding.h"
#include "maas/wire/infer_parameter.h"
#include "maas/wire/typed_contents.h"

namespace maas {
namespace {

using Bytes = std::span<const std::byte>;

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
// Of a request and of an input alike.
constexpr uint32_t kParametersField = 4;
constexpr uint32_t kContentsField = 5;

// The parameters that an input and a requested output have in common come first, in both.
enum TensorParameter : uint8_t {
  kScale,
  kZeroPoint,
  kAxis,
  kRegion,
  kOffset,
  kByteSize,
  kQuantize,
  kClassification
};
constexpr std::array<std::string_view, 8> kTensorParameters = {
    "scale",
    "zero_point",
    "axis",
    "shared_memory_region",
    "shared_memory_offset",
    "shared_memory_byte_size",
    "quantize",
    "classification",
};
using TensorParameters = std::array<InferParameter, kTensorParameters.size()>;

// Every entry of the map in field `field` of `message`.
Status ReadParameters(Reader message, uint32_t field, const FieldPath* at,
                      std::span<const std::string_view> names, std::span<InferParameter> values) {
  while (!message.done()) {
    uint32_t tag;
    if (!message.ReadTag(&tag)) return Malformed(message, at);
    if (tag == BytesTag(field)) {
      MAAS_RETURN_IF_ERROR(ReadInferParameter(&message, at, names, values));
    } else if (!message.Skip(tag)) {
      return Malformed(message, at);
    }
  }
  return {};
}

Status ParseDatatype(std::string_view name, const FieldPath* at, DataType* datatype) {
  for (int i = 1; i < kDataTypeCount; ++i) {
    if (Name(static_cast<DataType>(i)) != name) continue;
    *datatype = static_cast<DataType>(i);
    return {};
  }
  std::string known;
  for (int i = 1; i < kDataTypeCount; ++i) {
    known.append(i == 1                    ? ""
                 : i + 1 == kDataTypeCount ? " or "
                                           : ", ")
        .append(Name(static_cast<DataType>(i)));
  }
  return InvalidField(at, "datatype", "expected " + known + ", got '" + std::string(name) + '\'');
}

bool HasQuantization(const TensorParameters& parameters) {
  return parameters[kScale].present() || parameters[kZeroPoint].present() || parameters[kAxis].present();
}

Status ToQuantization(const FieldPath* at, const TensorParameters& parameters, Quantization* out) {
  MAAS_RETURN_IF_ERROR(ToFloats(at, kTensorParameters[kScale], parameters[kScale], &out->scales));
  MAAS_RETURN_IF_ERROR(
      ToIntegers(at, kTensorParameters[kZeroPoint], parameters[kZeroPoint], &out->zero_points));
  int64_t axis = 0;
  MAAS_RETURN_IF_ERROR(ToInteger(at, kTensorParameters[kAxis], parameters[kAxis],
                                 std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(),
                                 &axis));
  out->has_axis = parameters[kAxis].present();
  out->axis = static_cast<int32_t>(axis);
  return {};
}

// Leaves *out null when there is no such parameter.
Status ToSharedMemory(const FieldPath* at, const TensorParameters& parameters,
                      std::unique_ptr<SharedMemoryView>* out) {
  const auto missing = [at](TensorParameter parameter, TensorParameter beside) {
    const FieldPath path{at, "parameters"};
    return InvalidField(&path, kTensorParameters[parameter],
                        "expected one beside " + std::string(kTensorParameters[beside]) + ", got none");
  };
  if (!parameters[kRegion].present()) {
    if (parameters[kOffset].present()) return missing(kRegion, kOffset);
    return parameters[kByteSize].present() ? missing(kRegion, kByteSize) : Status();
  }
  if (!parameters[kByteSize].present()) return missing(kByteSize, kRegion);
  auto shared = std::make_unique<SharedMemoryView>();
  MAAS_RETURN_IF_ERROR(
      ToText(at, kTensorParameters[kRegion], parameters[kRegion], kMaxNameBytes, &shared->region));
  int64_t offset = 0;
  int64_t size = 0;
  MAAS_RETURN_IF_ERROR(ToInteger(at, kTensorParameters[kOffset], parameters[kOffset], 0, kMaxInt64, &offset));
  MAAS_RETURN_IF_ERROR(
      ToInteger(at, kTensorParameters[kByteSize], parameters[kByteSize], 0, kMaxInt64, &size));
  shared->offset = static_cast<uint64_t>(offset);
  shared->size = static_cast<uint64_t>(size);
  *out = std::move(shared);
  return {};
}

Status DecodeInputParameters(Reader message, const FieldPath* at, TensorView* tensor) {
  TensorParameters values;
  MAAS_RETURN_IF_ERROR(ReadParameters(message, kParametersField, at,
                                      std::span(kTensorParameters).first<kQuantize>(),
                                      std::span(values).first<kQuantize>()));
  if (HasQuantization(values)) {
    tensor->quantization = std::make_unique<Quantization>();
    MAAS_RETURN_IF_ERROR(ToQuantization(at, values, tensor->quantization.get()));
  }
  return ToSharedMemory(at, values, &tensor->shared);
}

Status DecodeInput(Reader message, const FieldPath* at, TensorView* tensor) {
  Reader in = message;
  bool has_parameters = false;
  bool has_contents = false;
  std::string_view datatype;
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    switch (tag) {
      case BytesTag(1):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "name", kMaxNameBytes, &tensor->name));
        break;
      case BytesTag(2):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "datatype", kMaxNameBytes, &datatype));
        break;
      case BytesTag(3):
      case VarintTag(3):
        MAAS_RETURN_IF_ERROR(ReadShape(&in, at, tag == BytesTag(3), &tensor->shape));
        break;
      default:
        // Both are read once the rest is known, from the beginning: they may come in several places.
        has_parameters |= tag == BytesTag(kParametersField);
        has_contents |= tag == BytesTag(kContentsField);
        if (!in.Skip(tag)) return Malformed(in, at);
    }
  }
  MAAS_RETURN_IF_ERROR(ParseDatatype(datatype, at, &tensor->datatype));
  if (has_parameters) MAAS_RETURN_IF_ERROR(DecodeInputParameters(message, at, tensor));
  if (has_contents) MAAS_RETURN_IF_ERROR(DecodeTypedContents(message, kContentsField, at, tensor));
  if (tensor->shared == nullptr || tensor->data.empty()) return {};
  return InvalidField(at, "contents",
                      "expected none beside shared_memory_region, got " +
                          std::to_string(ElementCount(tensor->shape)) + " elements");
}

Status ToOutputQuantization(const FieldPath* at, const TensorParameters& values,
                            std::unique_ptr<OutputQuantization>* out) {
  const FieldPath parameters{at, "parameters"};
  const std::string_view name = kTensorParameters[kQuantize];
  if (!values[kQuantize].present()) {
    if (!HasQuantization(values)) return {};
    return InvalidField(&parameters, name,
                        "expected INT8 or UINT8 beside scale, zero_point and axis, got none");
  }
  std::string_view datatype;
  MAAS_RETURN_IF_ERROR(ToText(at, name, values[kQuantize], kMaxNameBytes, &datatype));
  if (datatype != Name(DataType::kInt8) && datatype != Name(DataType::kUint8)) {
    return InvalidField(&parameters, name, "expected INT8 or UINT8, got '" + std::string(datatype) + '\'');
  }
  auto quantize = std::make_unique<OutputQuantization>();
  quantize->datatype = datatype == Name(DataType::kInt8) ? DataType::kInt8 : DataType::kUint8;
  MAAS_RETURN_IF_ERROR(ToQuantization(at, values, &quantize->params));
  *out = std::move(quantize);
  return {};
}

Status DecodeOutput(Reader message, const FieldPath* at, RequestedOutputView* output) {
  Reader in = message;
  TensorParameters values;
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    switch (tag) {
      case BytesTag(1):
        MAAS_RETURN_IF_ERROR(ReadText(&in, at, "name", kMaxNameBytes, &output->name));
        break;
      case BytesTag(2):
        MAAS_RETURN_IF_ERROR(ReadInferParameter(&in, at, kTensorParameters, values));
        break;
      default:
        if (!in.Skip(tag)) return Malformed(in, at);
    }
  }
  MAAS_RETURN_IF_ERROR(ToOutputQuantization(at, values, &output->quantize));
  MAAS_RETURN_IF_ERROR(ToInteger(at, kTensorParameters[kClassification], values[kClassification], 0,
                                 kMaxInt64, &output->classification));
  return ToSharedMemory(at, values, &output->shared);
}

Status ParseVersion(std::string_view text, PredictRequestView* view) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!std::all_of(text.begin(), text.end(), is_digit)) {
    view->label = text;
    return {};
  }
  if (text.empty()) return {};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), view->version);
  if (error == std::errc() && view->version > 0) return {};
  return InvalidField(nullptr, "model_version",
                      "expected a number from 1 to " + std::to_string(kMaxInt64) + ", a label or none, got " +
                          std::string(text));
}

enum RequestParameter : uint8_t { kTimeout, kPriority, kBinaryOutput };
constexpr std::array<std::string_view, 3> kRequestParameters = {"timeout", "priority", "binary_data_output"};

Status DecodeRequestParameters(Reader message, PredictRequestView* view) {
  std::array<InferParameter, kRequestParameters.size()> values;
  MAAS_RETURN_IF_ERROR(ReadParameters(message, kParametersField, nullptr, kRequestParameters, values));
  MAAS_RETURN_IF_ERROR(ToInteger(nullptr, kRequestParameters[kTimeout], values[kTimeout], 0, kMaxTimeoutUs,
                                 &view->timeout_us));
  int64_t priority = 0;
  MAAS_RETURN_IF_ERROR(
      ToInteger(nullptr, kRequestParameters[kPriority], values[kPriority], 0, kMaxInt64, &priority));
  view->priority = static_cast<uint64_t>(priority);
  bool raw = true;
  MAAS_RETURN_IF_ERROR(ToBool(nullptr, kRequestParameters[kBinaryOutput], values[kBinaryOutput], &raw));
  view->typed = !raw;
  return {};
}

// Raw contents as they come, before it is known whose they are.
struct RawContents {
  // Not a span, which would be set to empty kMaxTensors times.
  struct Entry {
    const std::byte* data;
    size_t size;
  };
  std::array<Entry, kMaxTensors> entries;  // The first `count`.
  size_t count = 0;
};

Status ReadRawContents(Reader* in, RawContents* raw) {
  constexpr std::string_view kName = "raw_input_contents";
  Bytes bytes;
  if (!in->ReadBytes(&bytes)) {
    const FieldPath path{nullptr, kName, static_cast<std::ptrdiff_t>(raw->count)};
    return Malformed(*in, &path);
  }
  if (raw->count == kMaxTensors) return TooMany(nullptr, kName, kMaxTensors, "entries");
  raw->entries[raw->count++] = {bytes.data(), bytes.size()};
  return {};
}

Status AssignRawContents(const RawContents& raw, std::vector<TensorView>* inputs) {
  size_t next = 0;
  for (size_t i = 0; i < inputs->size(); ++i) {
    TensorView& tensor = (*inputs)[i];
    if (!tensor.data.empty()) {
      const FieldPath path{nullptr, "inputs", static_cast<std::ptrdiff_t>(i)};
      return InvalidField(&path, "contents",
                          "expected none, as the request has raw_input_contents, got " +
                              std::to_string(ElementCount(tensor.shape)) + " elements");
    }
    if (tensor.shared != nullptr) continue;
    if (next < raw.count) tensor.data = {raw.entries[next].data, raw.entries[next].size};
    ++next;
  }
  if (next == raw.count) return {};
  return InvalidField(nullptr, "raw_input_contents",
                      "expected " + std::to_string(next) +
                          " entries, one per input that is not in shared memory, got " +
                          std::to_string(raw.count));
}

}  // namespace

Status DecodeModelInferRequest(Bytes message, PredictRequestView* view) {
  Clear(view);
  std::string_view version;
  bool has_parameters = false;
  RawContents raw;
  Reader in(message);
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, nullptr);
    switch (tag) {
      case BytesTag(1):
        MAAS_RETURN_IF_ERROR(ReadText(&in, nullptr, "model_name", kMaxNameBytes, &view->model));
        break;
      case BytesTag(2):
        MAAS_RETURN_IF_ERROR(ReadText(&in, nullptr, "model_version", kMaxLabelBytes, &version));
        break;
      case BytesTag(3):
        MAAS_RETURN_IF_ERROR(ReadText(&in, nullptr, "id", kMaxNameBytes, &view->id));
        break;
      case BytesTag(5):
        MAAS_RETURN_IF_ERROR(ReadElement(&in, "inputs", DecodeInput, &view->inputs));
        break;
      case BytesTag(6):
        MAAS_RETURN_IF_ERROR(ReadElement(&in, "outputs", DecodeOutput, &view->outputs));
        break;
      case BytesTag(7):
        MAAS_RETURN_IF_ERROR(ReadRawContents(&in, &raw));
        break;
      default:
        has_parameters |= tag == BytesTag(kParametersField);
        if (!in.Skip(tag)) return Malformed(in, nullptr);
    }
  }
  MAAS_RETURN_IF_ERROR(ParseVersion(version, view));
  if (has_parameters) MAAS_RETURN_IF_ERROR(DecodeRequestParameters(Reader(message), view));
  return raw.count == 0 ? Status() : AssignRawContents(raw, &view->inputs);
}

}  // namespace maas
