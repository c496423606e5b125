#include "maas/wire/typed_contents.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

#include "maas/base/dims.h"
#include "maas/wire/decoding.h"
#include "maas/wire/encoding.h"

namespace maas {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kMaxField = 8;
constexpr uint32_t kFp32Field = 6;
constexpr uint32_t kFp64Field = 7;
constexpr uint32_t kBytesField = 8;
constexpr std::string_view kFieldNames[kMaxField + 1] = {
    "",
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
};

// 0: the elements of the field are varints, or texts.
constexpr size_t FixedWidth(uint32_t field) {
  return field == kFp32Field ? sizeof(float) : field == kFp64Field ? sizeof(double) : 0;
}

// What one field was found to hold before anything is converted.
struct Found {
  int64_t elements = 0;
  uint64_t text_bytes = 0;  // Of BYTES.
  int pieces = 0;           // Packed fields that are not empty, and single elements.
  Bytes packed;             // The last packed one.
};

// Calls visit(tag, reader) for every field in every occurrence of the contents; it reads or skips the value.
template <typename Visit>
Status VisitContents(Reader message, uint32_t field, const FieldPath* at, const Visit& visit) {
  while (!message.done()) {
    uint32_t tag;
    if (!message.ReadTag(&tag)) return Malformed(message, at);
    if (tag != BytesTag(field)) {
      if (!message.Skip(tag)) return Malformed(message, at);
      continue;
    }
    Reader contents;
    if (!message.ReadMessage(&contents)) return Malformed(message, at);
    while (!contents.done()) {
      if (!contents.ReadTag(&tag)) return Malformed(contents, at);
      MAAS_RETURN_IF_ERROR(visit(tag, &contents));
    }
  }
  return {};
}

// The tag of a single element of the field.
uint32_t ElementTag(uint32_t field) {
  switch (field) {
    case kFp32Field:
      return Fixed32Tag(field);
    case kFp64Field:
      return Fixed64Tag(field);
    case kBytesField:
      return BytesTag(field);
    default:
      return VarintTag(field);
  }
}

Status CountPacked(Reader* in, uint32_t field, const FieldPath* at, Found* found) {
  Bytes packed;
  if (!in->ReadBytes(&packed)) return Malformed(*in, at);
  if (packed.empty()) return {};
  const size_t width = FixedWidth(field);
  if (width != 0 && packed.size() % width != 0) {
    return InvalidField(at, kFieldNames[field],
                        "expected numbers of " + std::to_string(width) + " bytes, got " +
                            std::to_string(packed.size()) + " bytes");
  }
  if (width == 0 && static_cast<uint8_t>(packed.back()) >= 0x80) {
    return InvalidField(at, kFieldNames[field],
                        "expected packed numbers, got malformed bytes: truncated varint");
  }
  // Every varint ends in the only byte of it that is below 0x80.
  found->elements += width != 0 ? static_cast<int64_t>(packed.size() / width)
                                : std::count_if(packed.begin(), packed.end(), [](std::byte byte) {
                                    return static_cast<uint8_t>(byte) < 0x80;
                                  });
  found->packed = packed;
  ++found->pieces;
  return {};
}

Status Count(Reader message, uint32_t contents_field, const FieldPath* at,
             std::array<Found, kMaxField + 1>* all) {
  return VisitContents(message, contents_field, at, [&](uint32_t tag, Reader* in) -> Status {
    const uint32_t field = tag >> 3;
    const bool known = field <= kMaxField;
    if (known && tag == ElementTag(field)) {
      Found* const found = &(*all)[field];
      ++found->elements;
      ++found->pieces;
      if (field != kBytesField) return in->Skip(tag) ? Status() : Malformed(*in, at);
      Bytes text;
      if (!in->ReadBytes(&text)) return Malformed(*in, at);
      found->text_bytes += text.size();
      return {};
    }
    if (known && tag == BytesTag(field)) return CountPacked(in, field, at, &(*all)[field]);
    return in->Skip(tag) ? Status() : Malformed(*in, at);
  });
}

// Converts varints to elements of type T, side by side at `out`, which has room for all.
template <typename T>
class Narrower {
 public:
  explicit Narrower(std::byte* out) : out_(out) {}

  // False: T cannot hold the value.
  bool Add(uint64_t varint) {
    T element;
    if constexpr (std::is_same_v<T, bool>) {
      element = varint != 0;
    } else {
      // The fields of 32 bits are cut to these before anything else.
      using Wire =
          std::conditional_t<sizeof(T) == 8, T, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>;
      const auto value = static_cast<Wire>(varint);
      element = static_cast<T>(value);
      if (Wire{element} != value) {
        refused_ = std::to_string(value);
        return false;
      }
    }
    std::memcpy(out_, &element, sizeof(element));
    out_ += sizeof(element);
    return true;
  }

  const std::byte* end() const { return out_; }
  Status Refusal(const FieldPath* at, uint32_t field, int64_t index) const {
    return InvalidField(at, kFieldNames[field],
                        "expected " + std::to_string(+std::numeric_limits<T>::min()) + " to " +
                            std::to_string(+std::numeric_limits<T>::max()) + ", got " + refused_,
                        index);
  }

 private:
  std::byte* out_;
  std::string refused_;
};

template <typename T>
Status ConvertVarints(Reader message, uint32_t contents_field, uint32_t field, const FieldPath* at,
                      std::vector<std::byte>* owned) {
  Narrower<T> narrower(owned->data());
  int64_t index = 0;
  const auto add = [&](Reader* in) -> Status {
    uint64_t varint;
    if (!in->ReadVarint(&varint)) return Malformed(*in, at);
    if (!narrower.Add(varint)) return narrower.Refusal(at, field, index);
    ++index;
    return {};
  };
  MAAS_RETURN_IF_ERROR(VisitContents(message, contents_field, at, [&](uint32_t tag, Reader* in) -> Status {
    if (tag == VarintTag(field)) return add(in);
    if (tag != BytesTag(field)) return in->Skip(tag) ? Status() : Malformed(*in, at);
    Bytes packed;
    if (!in->ReadBytes(&packed)) return Malformed(*in, at);
    Reader values(packed);
    while (!values.done()) {
      Status added = add(&values);
      if (!added.ok()) return added;
    }
    return {};
  }));
  assert(narrower.end() == owned->data() + owned->size());
  return {};
}

// Elements of fixed width in pieces: each is copied behind the one before it.
Status JoinFixed(Reader message, uint32_t contents_field, uint32_t field, const FieldPath* at,
                 std::vector<std::byte>* owned) {
  std::byte* out = owned->data();
  MAAS_RETURN_IF_ERROR(VisitContents(message, contents_field, at, [&](uint32_t tag, Reader* in) -> Status {
    const auto copy = [&](const void* from, size_t size) {
      std::memcpy(out, from, size);
      out += size;
    };
    uint32_t bits32 = 0;
    uint64_t bits64 = 0;
    Bytes packed;
    if (tag == BytesTag(field)) {
      if (!in->ReadBytes(&packed)) return Malformed(*in, at);
      if (!packed.empty()) copy(packed.data(), packed.size());
    } else if (tag == Fixed32Tag(field) && field == kFp32Field) {
      if (!in->ReadFixed32(&bits32)) return Malformed(*in, at);
      copy(&bits32, sizeof(bits32));
    } else if (tag == Fixed64Tag(field) && field == kFp64Field) {
      if (!in->ReadFixed64(&bits64)) return Malformed(*in, at);
      copy(&bits64, sizeof(bits64));
    } else if (!in->Skip(tag)) {
      return Malformed(*in, at);
    }
    return {};
  }));
  assert(out == owned->data() + owned->size());
  return {};
}

Status JoinTexts(Reader message, uint32_t contents_field, const FieldPath* at,
                 std::vector<std::byte>* owned) {
  Writer out(owned->data());
  MAAS_RETURN_IF_ERROR(VisitContents(message, contents_field, at, [&](uint32_t tag, Reader* in) -> Status {
    if (tag != BytesTag(kBytesField)) return in->Skip(tag) ? Status() : Malformed(*in, at);
    Bytes text;
    if (!in->ReadBytes(&text)) return Malformed(*in, at);
    const auto length = static_cast<uint32_t>(text.size());
    out.Raw(&length, sizeof(length));
    out.Raw(text.data(), text.size());
    return {};
  }));
  assert(out.position() == owned->data() + owned->size());
  return {};
}

Status Convert(Reader message, uint32_t contents_field, const FieldPath* at, TensorView* tensor) {
  const uint32_t field = TypedField(tensor->datatype);
  switch (tensor->datatype) {
    case DataType::kBool:
      return ConvertVarints<bool>(message, contents_field, field, at, &tensor->owned);
    case DataType::kInt8:
      return ConvertVarints<int8_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kInt16:
      return ConvertVarints<int16_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kInt32:
      return ConvertVarints<int32_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kInt64:
      return ConvertVarints<int64_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kUint8:
      return ConvertVarints<uint8_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kUint16:
      return ConvertVarints<uint16_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kUint32:
      return ConvertVarints<uint32_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kUint64:
      return ConvertVarints<uint64_t>(message, contents_field, field, at, &tensor->owned);
    case DataType::kBytes:
      return JoinTexts(message, contents_field, at, &tensor->owned);
    default:
      return JoinFixed(message, contents_field, field, at, &tensor->owned);
  }
}

// Whether the elements lie in one piece that is what the core wants.
bool LieAsWanted(const Found& found, DataType type) {
  if (found.pieces != 1 || found.packed.empty()) return false;
  if (type != DataType::kBool) return IsTypedAsRaw(type);
  std::byte all{};
  for (const std::byte byte : found.packed) all |= byte;
  return static_cast<uint8_t>(all) <= 1;
}

Status RefuseOtherField(const FieldPath* at, uint32_t field, DataType type) {
  const uint32_t right = TypedField(type);
  const std::string name(Name(type));
  if (right == 0)
    return InvalidField(at, kFieldNames[field],
                        "expected none, as " + name + " has no typed form and needs raw contents, got some");
  return InvalidField(at, kFieldNames[field],
                      "expected none, as the elements of " + name + " belong into " +
                          std::string(kFieldNames[right]) + ", got some");
}

template <typename T>
void AppendVarints(Bytes data, std::string* out) {
  const size_t count = data.size() / sizeof(T);
  const auto varint = [&](size_t i) {
    T element;
    std::memcpy(&element, data.data() + i * sizeof(T), sizeof(T));
    // Negative numbers of 32 bits and less travel as 64.
    return static_cast<uint64_t>(element);
  };
  size_t size = 0;
  for (size_t i = 0; i < count; ++i) size += VarintSize(varint(i));
  out->resize(out->size() + size);
  Writer writer(reinterpret_cast<std::byte*>(out->data() + out->size() - size));
  for (size_t i = 0; i < count; ++i) writer.Varint(varint(i));
}

void AppendBools(Bytes data, std::string* out) {
  out->reserve(out->size() + data.size());
  for (const std::byte byte : data) out->push_back(byte == std::byte{0} ? '\0' : '\1');
}

void AppendTexts(Bytes data, std::string* out) {
  while (!data.empty()) {
    uint32_t length;
    std::memcpy(&length, data.data(), sizeof(length));
    const size_t size = BytesFieldSize(kBytesField, length);
    out->resize(out->size() + size);
    Writer(reinterpret_cast<std::byte*>(out->data() + out->size() - size))
        .BytesField(kBytesField, AsText(data.subspan(sizeof(length), length)));
    data = data.subspan(sizeof(length) + length);
  }
}

}  // namespace

Status DecodeTypedContents(Reader message, uint32_t field, const FieldPath* at, TensorView* tensor) {
  const FieldPath contents{at, "contents"};
  std::array<Found, kMaxField + 1> all;
  MAAS_RETURN_IF_ERROR(Count(message, field, &contents, &all));
  const uint32_t right = TypedField(tensor->datatype);
  for (uint32_t f = 1; f <= kMaxField; ++f) {
    if (f != right && all[f].elements > 0) return RefuseOtherField(&contents, f, tensor->datatype);
  }
  const Found& found = all[right];
  const int64_t expected = ElementCount(tensor->shape);
  // A shape that is none is refused with the signature at hand.
  if (found.elements == 0 || expected < 0) return {};
  if (found.elements != expected) {
    return InvalidField(&contents, kFieldNames[right],
                        "expected " + std::to_string(expected) + " elements for '" +
                            std::string(tensor->name) + "' (" + std::string(Name(tensor->datatype)) + ' ' +
                            ToString(tensor->shape) + "), got " + std::to_string(found.elements));
  }
  if (LieAsWanted(found, tensor->datatype)) {
    tensor->data = found.packed;
    return {};
  }
  const auto count = static_cast<size_t>(expected);
  tensor->owned.resize(tensor->datatype == DataType::kBytes ? count * sizeof(uint32_t) + found.text_bytes
                                                            : count * ElementSize(tensor->datatype));
  tensor->data = tensor->owned;
  return Convert(message, field, &contents, tensor);
}

void AppendTyped(DataType type, Bytes data, std::string* out) {
  switch (type) {
    case DataType::kBool:
      return AppendBools(data, out);
    case DataType::kInt8:
      return AppendVarints<int8_t>(data, out);
    case DataType::kInt16:
      return AppendVarints<int16_t>(data, out);
    case DataType::kInt32:
      return AppendVarints<int32_t>(data, out);
    case DataType::kInt64:
      return AppendVarints<int64_t>(data, out);
    case DataType::kUint8:
      return AppendVarints<uint8_t>(data, out);
    case DataType::kUint16:
      return AppendVarints<uint16_t>(data, out);
    case DataType::kUint32:
      return AppendVarints<uint32_t>(data, out);
    case DataType::kUint64:
      return AppendVarints<uint64_t>(data, out);
    case DataType::kBytes:
      return AppendTexts(data, out);
    default:
      assert(false && "has no form of its own");
  }
}

}  // namespace maas
