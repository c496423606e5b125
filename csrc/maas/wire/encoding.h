// What the encoders of all protocols have in common: fields as proto3 writes them, zeros and empty texts left
// out, numbers packed; each has its size and its writing side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "maas/wire/writer.h"

namespace maas {

inline size_t TextSize(uint32_t field, std::string_view text) {
  return text.empty() ? 0 : BytesFieldSize(field, text.size());
}
inline void WriteText(Writer* out, uint32_t field, std::string_view text) {
  if (!text.empty()) out->BytesField(field, text);
}

inline size_t NumberSize(uint32_t field, uint64_t value) {
  return value == 0 ? 0 : VarintFieldSize(field, value);
}
inline void WriteNumber(Writer* out, uint32_t field, uint64_t value) {
  if (value != 0) out->VarintField(field, value);
}

inline uint64_t AsVarint(int64_t value) { return static_cast<uint64_t>(value); }
inline uint64_t AsVarint(int32_t value) { return SignExtend(value); }

// The bytes of packed varints, without tag and length.
template <typename Number>
size_t PackedSize(std::span<const Number> numbers) {
  size_t size = 0;
  for (Number number : numbers) size += VarintSize(AsVarint(number));
  return size;
}
template <typename Number>
size_t PackedFieldSize(uint32_t field, std::span<const Number> numbers) {
  return numbers.empty() ? 0 : BytesFieldSize(field, PackedSize(numbers));
}
template <typename Number>
void WritePacked(Writer* out, uint32_t field, std::span<const Number> numbers) {
  if (numbers.empty()) return;
  out->BytesHead(field, PackedSize(numbers));
  for (Number number : numbers) out->Varint(AsVarint(number));
}

}  // namespace maas
