// The error half of predict_encoder.h. Errors are small and rare: they are composed from strings, inside out.

#include <cassert>
#include <string>
#include <string_view>

#include "maas/wire/predict_encoder.h"
#include "maas/wire/utf8.h"
#include "maas/wire/writer.h"

namespace maas {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

// A message under construction.
class Message {
 public:
  // Zeros and empty texts are left out, as proto3 does.
  Message& Number(uint32_t field, int64_t value) {
    if (value == 0) return *this;
    const auto varint = static_cast<uint64_t>(value);
    Writer(Grow(VarintFieldSize(field, varint))).VarintField(field, varint);
    return *this;
  }
  Message& Text(uint32_t field, std::string_view value) {
    return value.empty() ? *this : Bytes(field, IsUtf8(value) ? value : std::string_view(ToUtf8(value)));
  }
  Message& Sub(uint32_t field, const Message& value) { return Bytes(field, value.bytes_); }
  // google.protobuf.Any.
  Message& Any(uint32_t field, std::string_view type, const Message& value) {
    return Sub(field, Message().Text(1, "type.googleapis.com/" + std::string(type)).Bytes(2, value.bytes_));
  }

  std::string Take() { return std::move(bytes_); }

 private:
  Message& Bytes(uint32_t field, std::string_view value) {
    Writer(Grow(BytesFieldSize(field, value.size()))).BytesField(field, value);
    return *this;
  }
  std::byte* Grow(size_t n) {
    bytes_.resize(bytes_.size() + n);
    return reinterpret_cast<std::byte*>(bytes_.data() + bytes_.size() - n);
  }

  std::string bytes_;
};

Message ErrorInfo(const Status& status) { return Message().Text(1, status.reason()).Text(2, "maas"); }

Message BadRequest(const Status& status) {
  Message message;
  for (const Violation& violation : status.violations()) {
    message.Sub(1, Message().Text(1, violation.field).Text(2, violation.description));
  }
  return message;
}

Message RetryInfo(const Status& status) {
  const int64_t ns = status.retry_after_ns();
  return Message().Sub(1, Message().Number(1, ns / kNanosPerSecond).Number(2, ns % kNanosPerSecond));
}

Message RpcStatus(const Status& status) {
  assert(!status.ok());
  Message message;
  message.Number(1, static_cast<int64_t>(status.code())).Text(2, status.message());
  message.Any(3, "google.rpc.ErrorInfo", ErrorInfo(status));
  if (!status.violations().empty()) message.Any(3, "google.rpc.BadRequest", BadRequest(status));
  if (status.retry_after_ns() > 0) message.Any(3, "google.rpc.RetryInfo", RetryInfo(status));
  return message;
}

}  // namespace

std::string EncodeStreamError(std::string_view id, const Status& status) {
  return Message().Sub(1, Message().Text(1, id).Sub(3, RpcStatus(status))).Take();
}

std::string EncodeStatus(const Status& status) { return RpcStatus(status).Take(); }

}  // namespace maas
