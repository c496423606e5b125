// How answers leave the core: a front gives a sink with each request, and gets exactly one Completion back.
//
// A front in Python, one in C++ and a test differ only in their sink.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "maas/base/status.h"
#include "maas/wire/codec.h"

namespace maas {

// Memory that a sink provided. `handle` is the sink's own; a null `data` means that there was none to be had.
struct Buffer {
  std::byte* data = nullptr;
  size_t size = 0;
  void* handle = nullptr;
};

struct Completion {
  void* tag = nullptr;  // As given to Submit.
  Status status;  // Ok: the answer is in `buffer`, or in that of the same group's last one that has any.
  Buffer buffer;  // Filled. Owned by the sink again from here on.
};

// What a request fails with whose sink has no memory for the answer.
inline Status NoMemoryForAnswer() {
  return Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the answer");
}

// Threads: all methods may be called from any thread, never under a lock of the core. A sink outlives every
// request that was submitted with it.
class CompletionSink {
 public:
  virtual ~CompletionSink() = default;
  // Sets `data` and `handle` of each buffer to memory of `size` bytes. Called once per batch.
  virtual void Reserve(std::span<Buffer> buffers) = 0;
  // How long answers take from Complete() until they are on their way: what a high share of them took lately.
  // Unit: nanoseconds.
  virtual int64_t DeliveryNs() const { return 0; }
  // Takes the completions' buffers. Called once per batch; must not block. After it the core holds nothing
  // that borrows from the requests' bytes.
  virtual void Complete(std::span<Completion> done) = 0;
};

// A shared buffer grows no further than this, unless a single answer does: it is sent as one message, which
// has limits at both ends.
inline constexpr size_t kMaxSharedBytes = size_t{1} << 20;

// Where the answer to a request goes.
struct ReplyTo {
  CompletionSink* sink = nullptr;  // Not owned.
  void* tag = nullptr;             // Opaque.
  // Not 0: the request came over a stream whose answers may be joined. Answers of one batch with equal
  // `group` and sink share buffers, one answer after the other, each buffer carried by the first answer in
  // it. 0: the answer has a buffer of its own.
  uint64_t group = 0;
  const Codec* codec = &PredictCodec();  // The protocol that the request came in and is answered in.
  // The largest answer that the front can send; a larger one fails before it is written.
  size_t max_bytes = SIZE_MAX;
};

}  // namespace maas
