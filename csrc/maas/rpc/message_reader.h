// gRPC's messages out of the bytes of a body: five bytes of prefix, then the message.
//
// Usage:
//   while (!bytes.empty()) {
//     Chunk message;
//     MAAS_RETURN_IF_ERROR(reader.Feed(&bytes, &message, &complete));
//     if (complete) ...
//   }
// A message is received where it stays: Room() is where its next bytes belong. Its memory grows with what
// came, not with what the prefix announces. Threads: one at a time.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "maas/base/status.h"
#include "maas/net/chunk.h"
#include "maas/net/memory_budget.h"
#include "maas/rpc/compression.h"

namespace maas {

// Bytes of gRPC's prefix: whether the message is compressed, and its length.
inline constexpr size_t kMessagePrefix = 5;

class MessageReader {
 public:
  struct Limits {
    size_t max_message_bytes = size_t{64} << 20;  // Also after decompression.
    MemoryBudget* budget = nullptr;  // Not owned. Null: no limit. What is given out is not counted any more.
  };

  MessageReader(const Limits& limits, Encoding encoding) : limits_(limits), encoding_(encoding) {}
  ~MessageReader() { GiveBack(); }
  MessageReader(const MessageReader&) = delete;
  MessageReader& operator=(const MessageReader&) = delete;

  // Memory for the rest of the message, or a part of it; empty between messages, and when little is left.
  // Valid until the next call.
  std::span<std::byte> Room();
  // Takes from the front of *bytes what belongs to the next message; when that is complete, *complete is true
  // and *message is it, decompressed. `bytes` may begin where Room() did. RESOURCE_EXHAUSTED: it is or
  // becomes larger than the limit, or there is no memory. INTERNAL: the prefix is none, compressed though no
  // encoding was named, or it does not decompress. After an error: no more calls.
  Status Feed(std::span<const std::byte>* bytes, Chunk* message, bool* complete);
  // Whether a message has begun and is not complete.
  bool inside() const { return prefix_bytes_ > 0; }

 private:
  Status Begin();
  Status Complete(Chunk* message);
  // Makes room for `bytes` more, and takes from the budget what that costs. False: there is no memory.
  bool Grow(size_t bytes);
  void GiveBack();

  const Limits limits_;
  const Encoding encoding_;
  std::array<std::byte, kMessagePrefix> prefix_{};
  size_t prefix_bytes_ = 0;
  size_t length_ = 0;
  Chunk message_;
  size_t taken_ = 0;  // From the budget.
};

}  // namespace maas
