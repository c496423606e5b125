#include "maas/wire/reader.h"

#include <algorithm>
#include <array>

namespace maas {

bool Reader::ReadLongTag(uint32_t* tag) {
  uint64_t value = 0;
  const int limit = static_cast<int>(std::min<size_t>(remaining(), kMaxTagBytes));
  for (int i = 0; i < limit; ++i) {
    const uint64_t byte = static_cast<uint8_t>(p_[i]);
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (value > UINT32_MAX) return Fail("a tag is longer than 32 bits");
      *tag = static_cast<uint32_t>(value);
      p_ += i + 1;
      return true;
    }
  }
  return Fail(limit == kMaxTagBytes ? "a tag is longer than 5 bytes" : "truncated tag");
}

bool Reader::ReadLongVarint(uint64_t* value) {
  uint64_t result = 0;
  const int limit = static_cast<int>(std::min<size_t>(remaining(), kMaxVarintBytes));
  for (int i = 0; i < limit; ++i) {
    const uint64_t byte = static_cast<uint8_t>(p_[i]);
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *value = result;
      p_ += i + 1;
      return true;
    }
  }
  return Fail(limit == kMaxVarintBytes ? "a varint is longer than 10 bytes" : "truncated varint");
}

bool Reader::Advance(size_t n) {
  if (n > remaining()) return Fail("truncated value");
  p_ += n;
  return true;
}

bool Reader::Skip(uint32_t tag) {
  uint64_t number;
  std::span<const std::byte> bytes;
  switch (static_cast<WireType>(tag & 7)) {
    case WireType::kVarint:
      return ReadVarint(&number);
    case WireType::kFixed64:
      return Advance(8);
    case WireType::kBytes:
      return ReadBytes(&bytes);
    case WireType::kStartGroup:
      return SkipGroup(tag);
    case WireType::kFixed32:
      return Advance(4);
    case WireType::kEndGroup:
      break;
  }
  return Fail("an end-group tag without its start");
}

// Keeps the open groups in an array instead of recursing: the sender chooses the depth, not our stack.
bool Reader::SkipGroup(uint32_t start_tag) {
  if (depth_ == 0) return Fail("nested too deeply");
  std::array<uint32_t, kMaxDepth> open;
  size_t count = 0;
  open[count++] = start_tag;
  while (count > 0) {
    if (done()) return Fail("truncated group");
    uint32_t tag;
    if (!ReadTag(&tag)) return false;
    switch (static_cast<WireType>(tag & 7)) {
      case WireType::kStartGroup:
        if (count == static_cast<size_t>(depth_)) return Fail("nested too deeply");
        open[count++] = tag;
        break;
      case WireType::kEndGroup:
        if (tag >> 3 != open[--count] >> 3) return Fail("an end-group tag does not match its start");
        break;
      default:
        if (!Skip(tag)) return false;
    }
  }
  return true;
}

bool Reader::Fail(std::string_view error) {
  error_ = error;
  return false;
}

bool Reader::FailTag(uint32_t tag) { return Fail(tag <= 7 ? "field number 0" : "unknown wire type"); }

}  // namespace maas
