#include "maas/rpc/message_reader.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "maas/rpc/errors.h"

namespace maas {
namespace {

// A message gets so much at once, whatever its prefix announces, or, up to what the usual ones need, so many
// times what came of it; larger ones grow by doubling.
constexpr size_t kFirstCapacity = size_t{64} << 10;
constexpr size_t kUsualCapacity = size_t{1} << 20;
constexpr size_t kAhead = 64;
// Fewer bytes are copied faster than they are received apart.
constexpr size_t kLeastRoom = 4096;

constexpr std::byte kCompressed{1};

}  // namespace

std::span<std::byte> MessageReader::Room() {
  if (prefix_bytes_ < kMessagePrefix || length_ - message_.size() < kLeastRoom) return {};
  // Without memory Feed() says so.
  if (message_.size() == message_.capacity() && !Grow(1)) return {};
  return message_.room();
}

Status MessageReader::Feed(std::span<const std::byte>* bytes, Chunk* message, bool* complete) {
  *complete = false;
  if (prefix_bytes_ < kMessagePrefix) {
    const size_t n = std::min(kMessagePrefix - prefix_bytes_, bytes->size());
    std::copy_n(bytes->begin(), n, prefix_.begin() + static_cast<std::ptrdiff_t>(prefix_bytes_));
    prefix_bytes_ += n;
    *bytes = bytes->subspan(n);
    if (prefix_bytes_ < kMessagePrefix) return {};
    MAAS_RETURN_IF_ERROR(Begin());
  }
  const size_t n = std::min(length_ - message_.size(), bytes->size());
  if (n > 0) {
    const bool in_place = message_.data() != nullptr && bytes->data() == message_.data() + message_.size();
    if (!in_place) {
      if (message_.room().size() < n && !Grow(n)) return OutOfMemory();
      std::memcpy(message_.data() + message_.size(), bytes->data(), n);
    }
    message_.set_size(message_.size() + n);
    *bytes = bytes->subspan(n);
  }
  if (message_.size() < length_) return {};
  *complete = true;
  return Complete(message);
}

Status MessageReader::Begin() {
  const bool compressed = prefix_[0] == kCompressed;
  if (!compressed && prefix_[0] != std::byte{0}) {
    return Status(Code::kInternal, "", "Bad GRPC frame type");
  }
  if (compressed && encoding_ == Encoding::kIdentity) {
    return Status(Code::kInternal, "", "Compressed message without grpc-encoding");
  }
  length_ = 0;
  for (size_t i = 1; i < kMessagePrefix; ++i) length_ = length_ << 8 | std::to_integer<size_t>(prefix_[i]);
  if (length_ > limits_.max_message_bytes) {
    return Status(Code::kResourceExhausted, "",
                  "SERVER: Received message larger than max (" + std::to_string(length_) + " vs. " +
                      std::to_string(limits_.max_message_bytes) + ")");
  }
  return {};
}

Status MessageReader::Complete(Chunk* message) {
  prefix_bytes_ = 0;
  const bool compressed = prefix_[0] == kCompressed && length_ > 0;  // C-core takes nothing for nothing.
  Status status;
  if (compressed) {
    status = Decompress(encoding_, message_.bytes(), limits_.max_message_bytes, message);
  } else {
    *message = std::move(message_);
  }
  message_ = Chunk();
  GiveBack();
  return status;
}

bool MessageReader::Grow(size_t bytes) {
  const size_t needed = message_.size() + bytes;
  // Received whole: nobody is waited for while it lies here.
  const bool whole = message_.empty() && needed == length_;
  const size_t step = message_.capacity() < kUsualCapacity
                          ? std::clamp(kAhead * needed, kFirstCapacity, kUsualCapacity)
                          : message_.capacity() * 2;
  const size_t capacity = std::min(length_, std::max(step, needed));
  if (!whole && limits_.budget != nullptr) {
    if (!limits_.budget->Take(capacity - taken_)) return false;
    taken_ = capacity;
  }
  return message_.Reserve(capacity);
}

void MessageReader::GiveBack() {
  if (taken_ > 0) limits_.budget->Give(taken_);
  taken_ = 0;
}

}  // namespace maas
