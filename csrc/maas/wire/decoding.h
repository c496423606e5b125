// What the decoders of all protocols have in common: tags by field number, and the errors about a field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maas/base/dims.h"
#include "maas/base/status.h"
#include "maas/wire/field_path.h"
#include "maas/wire/predict_view.h"
#include "maas/wire/reader.h"

namespace maas {

// Limits of every protocol.
inline constexpr size_t kMaxNameBytes = 256;
inline constexpr size_t kMaxLabelBytes = 128;
inline constexpr size_t kMaxTensors = 64;
inline constexpr size_t kMaxScales = 65536;
inline constexpr int64_t kMaxTimeoutUs = int64_t{86400} * 1000000;

constexpr uint32_t VarintTag(uint32_t field) { return MakeTag(field, WireType::kVarint); }
constexpr uint32_t BytesTag(uint32_t field) { return MakeTag(field, WireType::kBytes); }
constexpr uint32_t Fixed32Tag(uint32_t field) { return MakeTag(field, WireType::kFixed32); }
constexpr uint32_t Fixed64Tag(uint32_t field) { return MakeTag(field, WireType::kFixed64); }

// Varints are cut to 32 bits, as protobuf cuts them for int32 and enum fields.
constexpr int32_t AsInt32(uint64_t varint) { return static_cast<int32_t>(static_cast<uint32_t>(varint)); }

inline std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// REQUIRES: a method of `in` returned false. `at`: the message being read; null: the request itself.
Status Malformed(const Reader& in, const FieldPath* at);

// "expected at most `limit` `of`, got more".
Status TooMany(const FieldPath* parent, std::string_view name, size_t limit, std::string_view of);

// A string field of at most `limit` bytes of UTF-8. The limit holds for every occurrence, also one that a
// later overrides, so that UTF-8 is never looked for in a text without bound.
Status ReadText(Reader* in, const FieldPath* parent, std::string_view name, size_t limit,
                std::string_view* text);

// Reads one varint (`packed` false) or a packed field of them, and calls `add`, which returns an error or
// not, for each.
template <typename Add>
Status ReadVarints(Reader* in, const FieldPath* parent, bool packed, const Add& add) {
  uint64_t value;
  if (!packed) return in->ReadVarint(&value) ? add(value) : Malformed(*in, parent);
  std::span<const std::byte> bytes;
  if (!in->ReadBytes(&bytes)) return Malformed(*in, parent);
  Reader values(bytes);
  while (!values.done()) {
    if (!values.ReadVarint(&value)) return Malformed(values, parent);
    MAAS_RETURN_IF_ERROR(add(value));
  }
  return {};
}

// The field `shape` of a tensor, of which *shape holds what came before. Refuses more than kMaxRank.
Status ReadShape(Reader* in, const FieldPath* tensor, bool packed, Dims* shape);

// Appends an element to the repeated message field `name` of the request and decodes into it. Refuses more
// than kMaxTensors.
template <typename Element>
Status ReadElement(Reader* in, std::string_view name, Status (*decode)(Reader, const FieldPath*, Element*),
                   std::vector<Element>* list) {
  const FieldPath path{nullptr, name, std::ssize(*list)};
  Reader message;
  if (!in->ReadMessage(&message)) return Malformed(*in, &path);
  if (list->size() == kMaxTensors) return TooMany(nullptr, name, kMaxTensors, "entries");
  return decode(message, &path, &list->emplace_back());
}

// As new, but for the memory of its lists, which is kept for the next message.
void Clear(PredictRequestView* view);

}  // namespace maas
