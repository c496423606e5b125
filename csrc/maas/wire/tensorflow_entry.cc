#include "maas/wire/tensorflow_entry.h"

#include <string>

#include "maas/wire/predict_decoder.h"
#include "maas/wire/tensorflow_types.h"

namespace maas {
namespace {

using Bytes = std::span<const std::byte>;

// How many varints lie side by side in `bytes`; false: one is cut off or longer than 10 bytes.
bool CountVarints(Bytes bytes, uint64_t* count) {
  uint64_t found = 0;
  int length = 0;
  for (std::byte byte : bytes) {
    if (++length > kMaxVarintBytes) return false;
    if (static_cast<uint8_t>(byte) < 0x80) {
      ++found;
      length = 0;
    }
  }
  *count = found;
  return length == 0;
}

bool IsVarintField(uint32_t field) {
  return field == kIntValues.field || field == kInt64Values.field || field == kBoolValues.field ||
         field == kHalfValues.field || field == kUint32Values.field || field == kUint64Values.field;
}
// The complex ones travel as pairs of such.
bool IsFixed32Field(uint32_t field) { return field == kFloatValues.field || field == 9; }
bool IsFixed64Field(uint32_t field) { return field == kDoubleValues.field || field == 12; }

void AddValues(TensorFlowEntry* entry, uint32_t field, uint64_t count, Bytes packed) {
  if (count == 0) return;
  if (entry->field == 0) {
    entry->field = field;
    entry->packed = packed;
  } else if (entry->field != field) {
    entry->second_field = field;
  } else {
    entry->packed = {};
  }
  entry->count += count;
}

Status ScanDim(Reader in, const FieldPath* at, int64_t* size) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    if (tag == VarintTag(1)) {
      uint64_t value;
      if (!in.ReadVarint(&value)) return Malformed(in, at);
      *size = static_cast<int64_t>(value);
    } else if (tag == BytesTag(2)) {
      std::string_view name;
      MAAS_RETURN_IF_ERROR(ReadText(&in, at, "name", kMaxNameBytes, &name));
    } else if (!in.Skip(tag)) {
      return Malformed(in, at);
    }
  }
  return {};
}

Status ScanShape(Reader in, const FieldPath* at, TensorFlowEntry* entry) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    if (tag == BytesTag(2)) {
      const FieldPath path{at, "dim", entry->shape.rank()};
      Reader dim;
      if (!in.ReadMessage(&dim)) return Malformed(in, &path);
      if (entry->shape.rank() == kMaxRank) return TooMany(at, "dim", kMaxRank, "dimensions");
      int64_t size = 0;
      MAAS_RETURN_IF_ERROR(ScanDim(dim, &path, &size));
      entry->shape.push_back(size);
    } else if (tag == VarintTag(3)) {
      uint64_t value;
      if (!in.ReadVarint(&value)) return Malformed(in, at);
      entry->unknown_rank = value != 0;
    } else if (!in.Skip(tag)) {
      return Malformed(in, at);
    }
  }
  return {};
}

// A field that may hold values, or one that nobody knows.
Status ScanValues(Reader* in, uint32_t tag, const FieldPath* at, TensorFlowEntry* entry) {
  const uint32_t field = tag >> 3;
  const auto type = static_cast<WireType>(tag & 7);
  if (TensorFlowValuesName(field).empty()) return in->Skip(tag) ? Status() : Malformed(*in, at);
  if (type != WireType::kBytes) {
    const bool known = (type == WireType::kVarint && IsVarintField(field)) ||
                       (type == WireType::kFixed32 && IsFixed32Field(field)) ||
                       (type == WireType::kFixed64 && IsFixed64Field(field));
    if (!in->Skip(tag)) return Malformed(*in, at);
    if (known) AddValues(entry, field, 1, {});
    return {};
  }
  Bytes bytes;
  if (!in->ReadBytes(&bytes)) return Malformed(*in, at);
  uint64_t count = 1;
  if (IsVarintField(field)) {
    if (!CountVarints(bytes, &count)) {
      return InvalidField(at, TensorFlowValuesName(field), "expected varints, got malformed bytes");
    }
  } else if (IsFixed32Field(field) || IsFixed64Field(field)) {
    const size_t size = IsFixed32Field(field) ? sizeof(uint32_t) : sizeof(uint64_t);
    if (bytes.size() % size != 0) {
      return InvalidField(at, TensorFlowValuesName(field),
                          "expected numbers of " + std::to_string(size) + " bytes, got " +
                              std::to_string(bytes.size()) + " bytes");
    }
    count = bytes.size() / size;
  }
  AddValues(entry, field, count, bytes);
  return {};
}

Status ScanTensor(Reader in, const FieldPath* at, TensorFlowEntry* entry) {
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    if (tag == VarintTag(1)) {
      uint64_t value;
      if (!in.ReadVarint(&value)) return Malformed(in, at);
      entry->dtype = AsInt32(value);
    } else if (tag == BytesTag(2)) {
      const FieldPath path{at, "tensor_shape"};
      Reader shape;
      if (!in.ReadMessage(&shape)) return Malformed(in, at);
      MAAS_RETURN_IF_ERROR(ScanShape(shape, &path, entry));
    } else if (tag == BytesTag(4)) {
      if (!in.ReadBytes(&entry->content)) return Malformed(in, at);
    } else {
      MAAS_RETURN_IF_ERROR(ScanValues(&in, tag, at, entry));
    }
  }
  return {};
}

}  // namespace

Status ScanTensorFlowEntry(Reader in, const FieldPath* at, TensorFlowEntry* entry) {
  *entry = {};
  entry->values = in;
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag)) return Malformed(in, at);
    if (tag == BytesTag(1)) {
      MAAS_RETURN_IF_ERROR(ReadText(&in, at, "key", kMaxNameBytes, &entry->name));
    } else if (tag == BytesTag(2)) {
      Reader tensor;
      if (!in.ReadMessage(&tensor)) return Malformed(in, at);
      MAAS_RETURN_IF_ERROR(ScanTensor(tensor, at, entry));
    } else if (!in.Skip(tag)) {
      return Malformed(in, at);
    }
  }
  return {};
}

}  // namespace maas
