#include "maas/wire/tensorflow_tensor.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "maas/wire/tensorflow_types.h"
#include "maas/wire/tensorflow_values.h"

namespace maas {
namespace {

using Bytes = std::span<const std::byte>;

// The element that "stands for all that are missing" when there is none to repeat.
constexpr std::byte kZero[8] = {};

// "of 'x' (DT_FLOAT [2,3])", for messages.
std::string Of(const TensorFlowEntry& entry) {
  return "of '" + std::string(entry.name) + "' (" + std::string(TensorFlowTypeName(entry.dtype)) + ' ' +
         ToString(entry.shape) + ')';
}

Status CheckDatatype(const TensorFlowEntry& entry, const FieldPath* at, DataType* datatype) {
  *datatype = DataTypeOfTensorFlow(entry.dtype);
  if (*datatype != DataType::kUnspecified) return {};
  const std::string_view name = TensorFlowTypeName(entry.dtype);
  return InvalidField(at, "dtype",
                      "expected a datatype that models here have (DT_FLOAT, DT_DOUBLE, DT_HALF, DT_BFLOAT16, "
                      "DT_BOOL, DT_STRING, or an integer of 8 to 64 bits) for '" +
                          std::string(entry.name) + "', got " +
                          (name.empty() ? std::to_string(entry.dtype) : std::string(name)));
}

Status CheckShape(const TensorFlowEntry& entry, const FieldPath* at) {
  const FieldPath shape{at, "tensor_shape"};
  if (entry.unknown_rank) {
    return InvalidField(&shape, "unknown_rank", "expected the shape " + Of(entry) + ", got unknown_rank");
  }
  for (int axis = 0; axis < entry.shape.rank(); ++axis) {
    if (entry.shape[axis] >= 0) continue;
    const FieldPath dim{&shape, "dim", axis};
    return InvalidField(
        &dim, "size",
        "expected 0 or more in the shape " + Of(entry) + ", got " + std::to_string(entry.shape[axis]));
  }
  if (ElementCount(entry.shape) >= 0) return {};
  return InvalidField(
      at, "tensor_shape",
      "expected at most " + std::to_string(kMaxElements) + " elements, got the shape " + Of(entry));
}

// That the elements are in one place, and that it is the right one.
Status CheckSource(const TensorFlowEntry& entry, const TensorFlowValues& values, const FieldPath* at) {
  if (entry.field == 0) return {};
  const uint32_t wrong = entry.field != values.field ? entry.field : entry.second_field;
  if (wrong != 0) {
    return InvalidField(at, TensorFlowValuesName(wrong),
                        "expected the values " + Of(entry) + " in " + std::string(values.name) +
                            ", got some in " + std::string(TensorFlowValuesName(wrong)));
  }
  if (!entry.content.empty()) {
    return InvalidField(
        at, values.name,
        "expected none besides tensor_content, got " + std::to_string(entry.count) + " values " + Of(entry));
  }
  const auto count = static_cast<uint64_t>(ElementCount(entry.shape));
  if (entry.count <= count) return {};
  return InvalidField(at, values.name,
                      "expected at most " + std::to_string(count) + " values " + Of(entry) + ", got " +
                          std::to_string(entry.count));
}

Status Reserve(const TensorFlowEntry& entry, const FieldPath* at, std::string_view field, uint64_t missing,
               uint64_t element_size, size_t* room) {
  // Neither factor is above 2^40 and 2^32.
  if (missing == 0 || (element_size <= *room && missing <= *room / std::max<uint64_t>(element_size, 1))) {
    *room -= static_cast<size_t>(missing * element_size);
    return {};
  }
  return InvalidField(at, field,
                      "expected values for all but " + std::to_string(kMaxFilledBytes) +
                          " bytes of the request's elements, got " + std::to_string(entry.count) +
                          " values " + Of(entry));
}

// The strings of tensor_content: all lengths as varints, then all bytes.
Status TakeStringContent(const TensorFlowEntry& entry, const FieldPath* at, TensorView* tensor) {
  const auto count = static_cast<uint64_t>(ElementCount(entry.shape));
  const auto refuse = [&] {
    return InvalidField(at, "tensor_content",
                        "expected the lengths and then the bytes of " + std::to_string(count) + " strings " +
                            Of(entry) + ", got " + std::to_string(entry.content.size()) +
                            " bytes that are not");
  };
  // Each length takes a byte at least.
  if (count > entry.content.size()) return refuse();
  Reader lengths(entry.content);
  uint64_t total = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length;
    if (!lengths.ReadVarint(&length) || length > lengths.remaining()) return refuse();
    total += length;
    if (total > entry.content.size()) return refuse();
  }
  if (total != lengths.remaining()) return refuse();
  const std::byte* bytes = entry.content.data() + (entry.content.size() - static_cast<size_t>(total));
  tensor->owned.resize(static_cast<size_t>(count * sizeof(uint32_t) + total));
  std::byte* out = tensor->owned.data();
  lengths = Reader(entry.content);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length = 0;
    if (!lengths.ReadVarint(&length)) return refuse();
    const auto prefix = static_cast<uint32_t>(length);
    std::memcpy(out, &prefix, sizeof(prefix));
    out = std::copy_n(bytes, length, out + sizeof(prefix));
    bytes += length;
  }
  return {};
}

// Writes `count` times the element of `size` bytes at `element`.
void Fill(const std::byte* element, size_t size, uint64_t count, std::byte* out) {
  if (count == 0) return;
  const bool same = std::all_of(element, element + size, [&](std::byte b) { return b == element[0]; });
  if (same) {
    std::memset(out, static_cast<int>(element[0]), static_cast<size_t>(count) * size);
    return;
  }
  for (uint64_t i = 0; i < count; ++i) out = std::copy_n(element, size, out);
}

bool IsZeroOrOne(std::byte byte) { return static_cast<uint8_t>(byte) <= 1; }

// Bytes as they are; but bools are 0 or 1 from here on, as an answer that holds others could not be read.
void TakeContent(Bytes content, TensorView* tensor) {
  if (tensor->datatype != DataType::kBool || std::all_of(content.begin(), content.end(), IsZeroOrOne)) {
    tensor->data = content;
    return;
  }
  tensor->owned.resize(content.size());
  std::transform(content.begin(), content.end(), tensor->owned.begin(),
                 [](std::byte byte) { return byte == std::byte{0} ? std::byte{0} : std::byte{1}; });
}

Status TakeTexts(const TensorFlowEntry& entry, const FieldPath* at, size_t* room, TensorView* tensor) {
  const auto count = static_cast<uint64_t>(ElementCount(entry.shape));
  size_t total = 0;
  Bytes last;
  VisitTexts(entry, [&](Bytes text) {
    total += sizeof(uint32_t) + text.size();
    last = text;
  });
  const uint64_t missing = count - entry.count;
  const size_t last_size = sizeof(uint32_t) + last.size();
  MAAS_RETURN_IF_ERROR(Reserve(entry, at, kStringValues.name, missing, last_size, room));
  tensor->owned.resize(total + static_cast<size_t>(missing) * last_size);
  std::byte* out = tensor->owned.data();
  VisitTexts(entry, [&](Bytes text) {
    const auto length = static_cast<uint32_t>(text.size());
    std::memcpy(out, &length, sizeof(length));
    out = std::copy(text.begin(), text.end(), out + sizeof(length));
  });
  // Without any value the elements are empty: zeros, as the memory already is.
  if (entry.count > 0) Fill(out - last_size, last_size, missing, out);
  return {};
}

Status TakeNumbers(const TensorFlowEntry& entry, const TensorFlowValues& values, const FieldPath* at,
                   size_t* room, TensorView* tensor) {
  const auto count = static_cast<uint64_t>(ElementCount(entry.shape));
  const size_t size = ElementSize(tensor->datatype);
  if (entry.count == count && !entry.packed.empty()) {
    const bool is_bool = tensor->datatype == DataType::kBool;
    if (values.form != ValueForm::kVarint ||
        (is_bool && std::all_of(entry.packed.begin(), entry.packed.end(), IsZeroOrOne))) {
      tensor->data = entry.packed;
      return {};
    }
  }
  const uint64_t missing = count - entry.count;
  MAAS_RETURN_IF_ERROR(Reserve(entry, at, values.name, missing, size, room));
  tensor->owned.resize(static_cast<size_t>(count) * size);
  std::byte* const out = tensor->owned.data();
  if (values.form != ValueForm::kVarint) {
    ReadFixedValues(entry, size, out);
  } else if (int64_t bad = 0; !ReadVarintValues(entry, tensor->datatype, out, &bad)) {
    return InvalidField(at, values.name,
                        "expected numbers of " + std::to_string(8 * size) + " bits " + Of(entry) + ", got " +
                            std::to_string(bad));
  }
  const size_t sent = static_cast<size_t>(entry.count) * size;
  Fill(entry.count > 0 ? out + sent - size : kZero, size, missing, out + sent);
  return {};
}

}  // namespace

Status TakeTensorFlowTensor(const TensorFlowEntry& entry, const FieldPath* at, size_t* room,
                            TensorView* tensor) {
  *tensor = {};
  tensor->name = entry.name;
  tensor->shape = entry.shape;
  MAAS_RETURN_IF_ERROR(CheckDatatype(entry, at, &tensor->datatype));
  MAAS_RETURN_IF_ERROR(CheckShape(entry, at));
  const TensorFlowValues& values = TensorFlowOf(tensor->datatype).values;
  MAAS_RETURN_IF_ERROR(CheckSource(entry, values, at));
  const bool texts = values.form == ValueForm::kText;
  if (!entry.content.empty() && !texts) {
    TakeContent(entry.content, tensor);
  } else if (!entry.content.empty()) {
    MAAS_RETURN_IF_ERROR(TakeStringContent(entry, at, tensor));
  } else if (texts) {
    MAAS_RETURN_IF_ERROR(TakeTexts(entry, at, room, tensor));
  } else {
    MAAS_RETURN_IF_ERROR(TakeNumbers(entry, values, at, room, tensor));
  }
  if (tensor->data.empty()) tensor->data = tensor->owned;
  return {};
}

}  // namespace maas
