// Builds protobuf messages for tests, field by field, also such as no library would write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "maas/wire/wire_format.h"

namespace maas {

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class MessageBuilder {
 public:
  MessageBuilder& Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
    return *this;
  }
  MessageBuilder& Tag(uint32_t field, WireType type) { return Varint(MakeTag(field, type)); }
  MessageBuilder& Raw(std::string_view bytes) {
    out_ += bytes;
    return *this;
  }
  MessageBuilder& Number(uint32_t field, int64_t value) {
    return Tag(field, WireType::kVarint).Varint(static_cast<uint64_t>(value));
  }
  MessageBuilder& Bytes(uint32_t field, std::string_view value) {
    return Tag(field, WireType::kBytes).Varint(value.size()).Raw(value);
  }
  MessageBuilder& Message(uint32_t field, const MessageBuilder& value) { return Bytes(field, value.out_); }
  MessageBuilder& Packed(uint32_t field, std::initializer_list<int64_t> values) {
    MessageBuilder packed;
    for (int64_t value : values) packed.Varint(static_cast<uint64_t>(value));
    return Message(field, packed);
  }
  MessageBuilder& Floats(uint32_t field, std::span<const float> values) {
    return Bytes(field, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  }

  const std::string& str() const { return out_; }
  std::span<const std::byte> bytes() const { return AsBytes(out_); }

 private:
  std::string out_;
};

// A maas.v1.Tensor.
inline MessageBuilder TensorMessage(std::string_view name, int datatype, std::initializer_list<int64_t> shape,
                                    std::string_view data) {
  return MessageBuilder().Bytes(1, name).Number(2, datatype).Packed(3, shape).Bytes(4, data);
}

}  // namespace maas
