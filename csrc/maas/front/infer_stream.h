// GRPCInferenceService.ModelStreamInfer: requests as they come, answers in their order.
//
// Clients of Triton count on the order, and on a stream that outlives the failure of a request: that is an
// answer with an error_message. Metadata triton_grpc_error: true asks for the other way: the first failure
// ends the stream.
//
// Ownership: goes with its call; borrows the sink. Threads: its loop's.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <span>

#include "maas/front/answer_stream.h"
#include "maas/front/loop_sink.h"
#include "maas/rpc/method.h"

namespace maas {

class InferStream final : public AnswerStream, private LoopSink::Waiter {
 public:
  InferStream(LoopSink* sink, ServerCall* call, bool fails_by_status);
  ~InferStream() override;

 private:
  // One request, until its answer is sent.
  struct Item {
    LoopSink::Ticket* ticket = nullptr;  // While it is under way.
    Chunk answer;                        // Empty until it is known.
    Status failure;                      // What `answer` says, if that is an error.
  };

  void OnRequests(Chunk message) override;
  void CancelAll() override;
  size_t pending() const override { return items_.size(); }
  size_t held_bytes() const override { return held_bytes_; }
  void OnAnswer(LoopSink::Ticket* ticket, const Status& status, Chunk answer, bool more) override;

  void Set(Item* item, Chunk answer);
  void Fail(Item* item, const Status& status, std::span<const std::byte> request);
  // Sends what nothing before it is waited for.
  void Advance();

  LoopSink* const sink_;
  const bool fails_by_status_;
  std::deque<Item> items_;  // Addresses stay.
  size_t held_bytes_ = 0;   // Of answers in items_.
};

class InferStreamMethod final : public StreamMethod {
 public:
  explicit InferStreamMethod(LoopSink* sink) : sink_(sink) {}
  std::unique_ptr<StreamHandler> Start(ServerCall* call, Headers metadata) override;

 private:
  LoopSink* const sink_;
};

}  // namespace maas
