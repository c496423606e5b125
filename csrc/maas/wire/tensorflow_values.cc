#include "maas/wire/tensorflow_values.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <type_traits>

#include "maas/wire/tensorflow_types.h"

namespace maas {
namespace {

using Bytes = std::span<const std::byte>;

// Calls `visit` for every occurrence of `field` in the entry's value, in order, with the reader behind its
// tag, and the tag. `visit` reads it. The entry was scanned, so nothing in it is malformed.
template <typename Visit>
void ForEachPiece(Reader entry, uint32_t field, const Visit& visit) {
  uint32_t tag;
  while (!entry.done() && entry.ReadTag(&tag)) {
    Reader value;
    if (tag != BytesTag(2)) {
      if (!entry.Skip(tag)) return;
      continue;
    }
    if (!entry.ReadMessage(&value)) return;
    while (!value.done() && value.ReadTag(&tag)) {
      if (tag >> 3 == field) {
        visit(&value, tag);
      } else if (!value.Skip(tag)) {
        return;
      }
    }
  }
}

template <typename Element>
std::byte* Put(Element element, std::byte* out) {
  std::memcpy(out, &element, sizeof(element));
  return out + sizeof(element);
}

// Varints as elements of the core. On error *bad is a value that the datatype cannot hold.
template <typename Element, typename Convert>
bool TakeVarints(const TensorFlowEntry& entry, const Convert& convert, std::byte* out, int64_t* bad) {
  bool fits = true;
  const auto take = [&](uint64_t varint) {
    Element element{};
    if (!convert(varint, &element)) {
      fits = false;
      *bad = AsInt32(varint);
    }
    out = Put(element, out);
  };
  ForEachPiece(entry.values, entry.field, [&](Reader* in, uint32_t tag) {
    uint64_t varint = 0;
    if (tag == VarintTag(entry.field)) {
      if (in->ReadVarint(&varint)) take(varint);
      return;
    }
    Bytes bytes;
    if (tag != BytesTag(entry.field)) {
      (void)in->Skip(tag);
    } else if (in->ReadBytes(&bytes)) {
      Reader packed(bytes);
      while (!packed.done() && packed.ReadVarint(&varint)) take(varint);
    }
  });
  return fits;
}

// Signed or unsigned: of clients that know no unsigned bytes some send 255 as -1.
template <typename Element>
bool Narrow(uint64_t varint, Element* element) {
  constexpr int32_t kBits = 8 * sizeof(Element);
  const int32_t value = AsInt32(varint);
  *element = static_cast<Element>(static_cast<uint32_t>(value));
  return value >= -(1 << (kBits - 1)) && value < 1 << kBits;
}

}  // namespace

bool ReadVarintValues(const TensorFlowEntry& entry, DataType datatype, std::byte* out, int64_t* bad) {
  const auto cut = [](uint64_t varint, auto* element) {
    *element = static_cast<std::remove_reference_t<decltype(*element)>>(varint);
    return true;
  };
  switch (datatype) {
    case DataType::kBool:
      return TakeVarints<uint8_t>(
          entry,
          [](uint64_t varint, uint8_t* element) {
            *element = varint != 0 ? 1 : 0;
            return true;
          },
          out, bad);
    case DataType::kUint8:
    case DataType::kInt8:
      return TakeVarints<uint8_t>(entry, Narrow<uint8_t>, out, bad);
    case DataType::kUint16:
    case DataType::kInt16:
    case DataType::kFp16:
    case DataType::kBf16:
      return TakeVarints<uint16_t>(entry, Narrow<uint16_t>, out, bad);
    case DataType::kUint32:
    case DataType::kInt32:
      return TakeVarints<uint32_t>(entry, cut, out, bad);
    default:
      assert(ElementSize(datatype) == sizeof(uint64_t));
      return TakeVarints<uint64_t>(entry, cut, out, bad);
  }
}

void ReadFixedValues(const TensorFlowEntry& entry, size_t size, std::byte* out) {
  ForEachPiece(entry.values, entry.field, [&](Reader* in, uint32_t tag) {
    uint32_t four = 0;
    uint64_t eight = 0;
    Bytes bytes;
    if (tag == BytesTag(entry.field)) {
      if (in->ReadBytes(&bytes)) out = std::copy(bytes.begin(), bytes.end(), out);
    } else if (size == sizeof(four) && tag == Fixed32Tag(entry.field)) {
      if (in->ReadFixed32(&four)) out = Put(four, out);
    } else if (size == sizeof(eight) && tag == Fixed64Tag(entry.field)) {
      if (in->ReadFixed64(&eight)) out = Put(eight, out);
    } else {
      (void)in->Skip(tag);
    }
  });
}

void VisitTexts(const TensorFlowEntry& entry, const std::function<void(Bytes)>& visit) {
  ForEachPiece(entry.values, kStringValues.field, [&](Reader* in, uint32_t tag) {
    Bytes text;
    if (tag != BytesTag(kStringValues.field)) {
      (void)in->Skip(tag);
    } else if (in->ReadBytes(&text)) {
      visit(text);
    }
  });
}

}  // namespace maas
