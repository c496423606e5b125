// Reads protobuf's wire format from borrowed bytes and never past their end.
//
// Usage:
//   Reader in(message);
//   while (!in.done()) {
//     uint32_t tag;
//     if (!in.ReadTag(&tag)) return Malformed(in.error());
//     switch (tag) {
//       case MakeTag(1, WireType::kVarint): ok = in.ReadVarint(&value); break;
//       default: ok = in.Skip(tag);
//     }
//   }
// A method that returns false found malformed bytes: error() says what, and the reader is of no further use.
// Ownership: borrows the bytes; so do the spans it hands out. Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "maas/wire/wire_format.h"

namespace maas {

class Reader {
 public:
  Reader() = default;
  // `depth`: how many levels of messages and groups may follow inside this one.
  explicit Reader(std::span<const std::byte> bytes, int depth = kMaxDepth)
      : p_(bytes.data()), end_(bytes.data() + bytes.size()), depth_(depth) {}

  bool done() const { return p_ == end_; }
  size_t remaining() const { return static_cast<size_t>(end_ - p_); }
  // Empty until a method returned false.
  std::string_view error() const { return error_; }

  // Refuses field 0, unknown wire types and tags beyond 32 bits.
  [[nodiscard]] bool ReadTag(uint32_t* tag) {
    if (p_ != end_ && static_cast<uint8_t>(*p_) < 0x80) {
      *tag = static_cast<uint8_t>(*p_++);
    } else if (!ReadLongTag(tag)) {
      return false;
    }
    // 0..7 is field 0; the wire types 6 and 7 do not exist.
    return (*tag > 7 && (*tag & 7) < 6) || FailTag(*tag);
  }

  // Up to 10 bytes; bits beyond the 64th are dropped, as protobuf drops them.
  [[nodiscard]] bool ReadVarint(uint64_t* value) {
    if (p_ != end_ && static_cast<uint8_t>(*p_) < 0x80) {
      *value = static_cast<uint8_t>(*p_++);
      return true;
    }
    return ReadLongVarint(value);
  }

  [[nodiscard]] bool ReadFixed32(uint32_t* value) {
    if (remaining() < sizeof(*value)) return Fail("truncated fixed32");
    std::memcpy(value, p_, sizeof(*value));
    p_ += sizeof(*value);
    return true;
  }

  [[nodiscard]] bool ReadFixed64(uint64_t* value) {
    if (remaining() < sizeof(*value)) return Fail("truncated fixed64");
    std::memcpy(value, p_, sizeof(*value));
    p_ += sizeof(*value);
    return true;
  }

  // The value of a field of type kBytes.
  [[nodiscard]] bool ReadBytes(std::span<const std::byte>* value) {
    uint64_t size;
    if (!ReadVarint(&size)) return false;
    if (size > remaining()) return Fail("a length goes past the end of the message");
    *value = {p_, static_cast<size_t>(size)};
    p_ += size;
    return true;
  }

  // The same for a sub-message, one level deeper.
  [[nodiscard]] bool ReadMessage(Reader* message) {
    std::span<const std::byte> bytes;
    if (!ReadBytes(&bytes)) return false;
    if (depth_ == 0) return Fail("nested too deeply");
    *message = Reader(bytes, depth_ - 1);
    return true;
  }

  // Steps over the value that follows `tag`; a group with all that is in it.
  [[nodiscard]] bool Skip(uint32_t tag);

 private:
  [[nodiscard]] bool ReadLongTag(uint32_t* tag);
  [[nodiscard]] bool ReadLongVarint(uint64_t* value);
  [[nodiscard]] bool Advance(size_t n);
  [[nodiscard]] bool SkipGroup(uint32_t start_tag);
  bool Fail(std::string_view error);
  bool FailTag(uint32_t tag);

  const std::byte* p_ = nullptr;
  const std::byte* end_ = nullptr;
  int depth_ = kMaxDepth;
  std::string_view error_;
};

}  // namespace maas
