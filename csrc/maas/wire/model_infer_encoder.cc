#include "maas/wire/model_infer_encoder.h"

#include <array>
#include <cassert>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>

#include "maas/wire/encoding.h"
#include "maas/wire/typed_contents.h"

namespace maas {
namespace {

// The parts of an entry in a map of parameters, and the choices of an InferParameter.
constexpr uint32_t kKey = 1;
constexpr uint32_t kValue = 2;
constexpr uint32_t kBool = 1;
constexpr uint32_t kInt64 = 2;
constexpr uint32_t kString = 3;
constexpr uint32_t kDouble = 4;
// Where the maps are in a response and in an output of it.
constexpr uint32_t kParametersField = 4;

constexpr std::string_view kFinalResponse = "triton_final_response";

// A number as text, without memory of its own.
class Decimal {
 public:
  template <std::integral Integer>
  explicit Decimal(Integer value) {
    end_ = std::to_chars(text_.data(), text_.data() + text_.size(), value).ptr;
  }
  // Always of one length, so that the size of an answer does not depend on scales that are chosen later.
  // REQUIRES: finite and positive.
  explicit Decimal(float value) {
    end_ = std::to_chars(text_.data(), text_.data() + text_.size(), value, std::chars_format::scientific,
                         kDigits)
               .ptr;
  }

  std::string_view text() const { return {text_.data(), static_cast<size_t>(end_ - text_.data())}; }

 private:
  static constexpr int kDigits = 8;  // After the point; nine in all tell any two floats apart.
  std::array<char, 32> text_{};
  char* end_ = nullptr;
};

template <typename Number>
size_t ListSize(std::span<const Number> numbers) {
  size_t size = numbers.size() - 1;  // The commas.
  for (const Number number : numbers) size += Decimal(number).text().size();
  return size;
}
template <typename Number>
void WriteList(Writer* out, std::span<const Number> numbers) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) out->Raw(",", 1);
    const Decimal decimal(numbers[i]);
    out->Raw(decimal.text().data(), decimal.text().size());
  }
}

// The size of an entry whose InferParameter takes `value` bytes.
size_t EntrySize(std::string_view key, size_t value) {
  return BytesFieldSize(kParametersField, BytesFieldSize(kKey, key.size()) + BytesFieldSize(kValue, value));
}
// All of an entry but the InferParameter, whose `value` bytes follow.
void WriteEntryHead(Writer* out, std::string_view key, size_t value) {
  out->BytesHead(kParametersField, BytesFieldSize(kKey, key.size()) + BytesFieldSize(kValue, value));
  out->BytesField(kKey, key);
  out->BytesHead(kValue, value);
}

size_t IntegerSize(int64_t value) { return VarintFieldSize(kInt64, AsVarint(value)); }
size_t IntegerEntrySize(std::string_view key, int64_t value) { return EntrySize(key, IntegerSize(value)); }
void WriteIntegerEntry(Writer* out, std::string_view key, int64_t value) {
  WriteEntryHead(out, key, IntegerSize(value));
  out->VarintField(kInt64, AsVarint(value));
}

constexpr size_t kDoubleSize = TagSize(kDouble) + sizeof(double);

// Entries in the order of their names, as protobuf writes them where it is asked for a stable order.
size_t QuantizationSize(const Quantization& q) {
  const std::span<const float> scales(q.scales);
  const std::span<const int32_t> zero_points(q.zero_points);
  size_t size = q.has_axis ? IntegerEntrySize("axis", q.axis) : 0;
  if (scales.size() == 1) size += EntrySize("scale", kDoubleSize);
  if (scales.size() > 1) size += EntrySize("scale", BytesFieldSize(kString, ListSize(scales)));
  if (zero_points.size() == 1) size += IntegerEntrySize("zero_point", zero_points[0]);
  if (zero_points.size() > 1) size += EntrySize("zero_point", BytesFieldSize(kString, ListSize(zero_points)));
  return size;
}
void WriteScale(Writer* out, std::span<const float> scales) {
  if (scales.size() == 1) {
    WriteEntryHead(out, "scale", kDoubleSize);
    out->Tag(kDouble, WireType::kFixed64);
    const double scale = scales[0];
    out->Raw(&scale, sizeof(scale));
  } else if (scales.size() > 1) {
    const size_t size = ListSize(scales);
    WriteEntryHead(out, "scale", BytesFieldSize(kString, size));
    out->BytesHead(kString, size);
    WriteList(out, scales);
  }
}
void WriteZeroPoint(Writer* out, std::span<const int32_t> zero_points) {
  if (zero_points.size() == 1) {
    WriteIntegerEntry(out, "zero_point", zero_points[0]);
  } else if (zero_points.size() > 1) {
    const size_t size = ListSize(zero_points);
    WriteEntryHead(out, "zero_point", BytesFieldSize(kString, size));
    out->BytesHead(kString, size);
    WriteList(out, zero_points);
  }
}

size_t SharedMemorySize(const OutputHead& tensor) {
  return IntegerEntrySize("shared_memory_byte_size", static_cast<int64_t>(tensor.shared_size)) +
         IntegerEntrySize("shared_memory_offset", static_cast<int64_t>(tensor.shared->offset)) +
         EntrySize("shared_memory_region", BytesFieldSize(kString, tensor.shared->region.size()));
}
void WriteSharedMemory(Writer* out, const OutputHead& tensor) {
  const std::string_view region = tensor.shared->region;
  WriteIntegerEntry(out, "shared_memory_byte_size", static_cast<int64_t>(tensor.shared_size));
  WriteIntegerEntry(out, "shared_memory_offset", static_cast<int64_t>(tensor.shared->offset));
  WriteEntryHead(out, "shared_memory_region", BytesFieldSize(kString, region.size()));
  out->BytesField(kString, region);
}

// The InferTensorContents of an output whose data is typed; 0: none.
size_t ContentsSize(const OutputHead& tensor) {
  if (tensor.data_size == 0 || tensor.datatype == DataType::kBytes) return tensor.data_size;
  return BytesFieldSize(TypedField(tensor.datatype), tensor.data_size);
}

size_t TensorSize(const OutputHead& tensor, bool typed) {
  size_t size =
      TextSize(1, tensor.name) + TextSize(2, Name(tensor.datatype)) + PackedFieldSize(3, tensor.shape.span());
  if (tensor.quantization != nullptr) size += QuantizationSize(*tensor.quantization);
  if (tensor.shared != nullptr) size += SharedMemorySize(tensor);
  if (typed && tensor.data_size > 0) size += BytesFieldSize(5, ContentsSize(tensor));
  return size;
}

// Returns where the data goes if it is typed, else null.
std::byte* WriteTensor(Writer* out, const OutputHead& tensor, bool typed) {
  WriteText(out, 1, tensor.name);
  WriteText(out, 2, Name(tensor.datatype));
  WritePacked(out, 3, tensor.shape.span());
  if (const Quantization* q = tensor.quantization) {
    if (q->has_axis) WriteIntegerEntry(out, "axis", q->axis);
    WriteScale(out, q->scales);
  }
  if (tensor.shared != nullptr) WriteSharedMemory(out, tensor);
  if (tensor.quantization != nullptr) WriteZeroPoint(out, tensor.quantization->zero_points);
  if (!typed || tensor.data_size == 0) return nullptr;
  out->BytesHead(5, ContentsSize(tensor));
  if (tensor.datatype != DataType::kBytes) out->BytesHead(TypedField(tensor.datatype), tensor.data_size);
  return out->Hole(tensor.data_size);
}

constexpr size_t kTrueSize = VarintFieldSize(kBool, 1);

size_t ResponseSize(const ResponseHead& head, bool last) {
  size_t size = TextSize(1, head.model) + TextSize(2, Decimal(head.version).text()) + TextSize(3, head.id);
  if (last) size += EntrySize(kFinalResponse, kTrueSize);
  for (const OutputHead& tensor : head.outputs) {
    size += BytesFieldSize(5, TensorSize(tensor, head.typed));
    if (!head.typed) size += BytesFieldSize(6, tensor.data_size);
  }
  return size;
}

void WriteResponse(Writer* out, const ResponseHead& head, bool last, std::byte** data) {
  WriteText(out, 1, head.model);
  WriteText(out, 2, Decimal(head.version).text());
  WriteText(out, 3, head.id);
  if (last) {
    WriteEntryHead(out, kFinalResponse, kTrueSize);
    out->VarintField(kBool, 1);
  }
  for (size_t i = 0; i < head.outputs.size(); ++i) {
    out->BytesHead(5, TensorSize(head.outputs[i], head.typed));
    data[i] = WriteTensor(out, head.outputs[i], head.typed);
  }
  if (head.typed) return;
  for (size_t i = 0; i < head.outputs.size(); ++i) {
    out->BytesHead(6, head.outputs[i].data_size);
    data[i] = out->Hole(head.outputs[i].data_size);
  }
}

}  // namespace

size_t ModelInferResponseSize(const ResponseHead& head) { return ResponseSize(head, false); }

void WriteModelInferResponse(const ResponseHead& head, std::byte* out, std::byte** data) {
  Writer writer(out);
  WriteResponse(&writer, head, false, data);
  assert(writer.position() == out + ModelInferResponseSize(head));
}

size_t ModelStreamInferResponseSize(const ResponseHead& head) {
  return BytesFieldSize(2, ResponseSize(head, true));
}

void WriteModelStreamInferResponse(const ResponseHead& head, std::byte* out, std::byte** data) {
  Writer writer(out);
  writer.BytesHead(2, ResponseSize(head, true));
  WriteResponse(&writer, head, true, data);
  assert(writer.position() == out + ModelStreamInferResponseSize(head));
}

}  // namespace maas
