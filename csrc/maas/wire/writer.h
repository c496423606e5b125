// Writes protobuf's wire format into memory whose size was computed before, and the sizes to compute it with.
//
// Ownership: borrows the memory. REQUIRES, for every method: room for what is written; nothing is checked.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "maas/wire/wire_format.h"

namespace maas {

constexpr size_t VarintSize(uint64_t value) {
  // Ceiling of bits / 7, at least 1, without a division.
  return static_cast<size_t>((std::bit_width(value | 1) * 9 + 64) / 64);
}
// How int32 and enum values travel: negative ones take 10 bytes.
constexpr uint64_t SignExtend(int32_t value) { return static_cast<uint64_t>(int64_t{value}); }

constexpr size_t TagSize(uint32_t field) { return VarintSize(uint64_t{field} << 3); }
// With tag and length.
constexpr size_t BytesFieldSize(uint32_t field, size_t size) {
  return TagSize(field) + VarintSize(size) + size;
}
constexpr size_t VarintFieldSize(uint32_t field, uint64_t value) {
  return TagSize(field) + VarintSize(value);
}

class Writer {
 public:
  explicit Writer(std::byte* out) : p_(out) {}

  std::byte* position() const { return p_; }

  void Varint(uint64_t value) {
    while (value >= 0x80) {
      *p_++ = static_cast<std::byte>(value | 0x80);
      value >>= 7;
    }
    *p_++ = static_cast<std::byte>(value);
  }
  void Tag(uint32_t field, WireType type) { Varint(MakeTag(field, type)); }
  void VarintField(uint32_t field, uint64_t value) {
    Tag(field, WireType::kVarint);
    Varint(value);
  }
  // Tag and length of a kBytes field; its `size` bytes follow.
  void BytesHead(uint32_t field, size_t size) {
    Tag(field, WireType::kBytes);
    Varint(size);
  }
  void BytesField(uint32_t field, std::string_view value) {
    BytesHead(field, value.size());
    Raw(value.data(), value.size());
  }
  void Raw(const void* bytes, size_t size) {
    if (size > 0) std::memcpy(p_, bytes, size);
    p_ += size;
  }
  // Leaves `size` bytes for somebody else to fill and returns where they start.
  std::byte* Hole(size_t size) {
    std::byte* hole = p_;
    p_ += size;
    return hole;
  }

 private:
  std::byte* p_;
};

}  // namespace maas
