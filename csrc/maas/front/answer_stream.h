// What streams of requests and answers have in common: until when they read, what holds a caller back, and
// how they end.
//
// A stream is read until the caller is done, the server stops or a message ends it; then it answers what it
// accepted, and ends. Ownership: goes with its call. Threads: the call's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "maas/base/status.h"
#include "maas/net/chunk.h"
#include "maas/rpc/method.h"
#include "maas/rpc/server_call.h"

namespace maas {

class AnswerStream : public StreamHandler {
 public:
  // Beyond any of these a stream is read no further until there is room again: requests under way, their
  // bytes, bytes of answers that the caller has not read, and how many messages those are.
  static constexpr size_t kMaxPending = 4096;
  static constexpr size_t kMaxPendingBytes = size_t{64} << 20;
  static constexpr size_t kMaxUnsentBytes = size_t{8} << 20;
  static constexpr size_t kMaxUnsentMessages = 4096;

  AnswerStream(const AnswerStream&) = delete;
  AnswerStream& operator=(const AnswerStream&) = delete;

  void OnMessage(Chunk message) final;
  void OnHalfClosed() final;
  void OnRoom() final;
  void OnStopping() final;
  void OnCancelled() final;

 protected:
  explicit AnswerStream(ServerCall* call) : call_(call) {}
  ~AnswerStream() override = default;

  virtual void OnRequests(Chunk message) = 0;
  // Cancels all that is under way.
  virtual void CancelAll() = 0;
  // Requests accepted and not answered.
  virtual size_t pending() const = 0;
  // Bytes of answers that wait for others before them.
  virtual size_t held_bytes() const { return 0; }

  ServerCall* call() const { return call_; }
  // Whether nothing more is to be said.
  bool over() const { return reading_ == Reading::kBroken || reading_ == Reading::kEnded; }
  void Send(Chunk message);
  // The same for bytes; without memory for them the stream breaks.
  void Send(std::string_view message);
  // Reads no more, answers what was accepted and ends with `why`.
  void StopReading(Status why);
  // Cancels all that is under way; Update() ends the stream with `why`.
  void Break(Status why);
  // Reads on or not, or ends, as it now should. The last that is done before returning to the call or the
  // sink: the stream may be gone afterwards.
  void Update();

  size_t pending_bytes_ = 0;  // Of requests under way.

 private:
  enum class Reading : uint8_t {
    kOpen,
    kDone,     // The caller sends no more.
    kStopped,  // For `failure_`.
    kBroken,   // For `failure_`, without waiting for answers.
    kEnded,    // So has the call.
  };

  ServerCall* const call_;
  Reading reading_ = Reading::kOpen;
  bool paused_ = false;
  size_t unsent_messages_ = 0;  // At least so many; 0 while the caller reads about as fast as we write.
  Status failure_;
};

}  // namespace maas
