// The vocabulary of protobuf's wire format that reader and writer share.
//
//   message := { tag value }      tag := varint(field << 3 | wire type)
//   value   := varint | 8 bytes | varint(n) n bytes | { tag value } end-group tag | 4 bytes
#pragma once

#include <bit>
#include <cstdint>

namespace maas {

static_assert(std::endian::native == std::endian::little, "fixed-width values are copied as they are");

enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,  // Length-delimited: strings, bytes, sub-messages, packed numbers.
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

constexpr uint32_t MakeTag(uint32_t field, WireType type) { return field << 3 | static_cast<uint32_t>(type); }

inline constexpr int kMaxVarintBytes = 10;
inline constexpr int kMaxTagBytes = 5;
// Messages and groups inside the outermost message; protobuf's own default.
inline constexpr int kMaxDepth = 100;

}  // namespace maas
