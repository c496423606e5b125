// PredictService.PredictStream: messages of many requests each, answers as they come, many in a message.
//
// Ownership: goes with its call; borrows the sink. Threads: its loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "maas/front/answer_stream.h"
#include "maas/front/loop_sink.h"
#include "maas/rpc/method.h"

namespace maas {

class PredictStream final : public AnswerStream, private LoopSink::Waiter {
 public:
  using Requests = std::vector<std::span<const std::byte>>;

  // `scratch`: for the requests of one message; shared with the other streams of the thread.
  PredictStream(LoopSink* sink, ServerCall* call, Requests* scratch);
  ~PredictStream() override;

 private:
  void OnRequests(Chunk message) override;
  void CancelAll() override;
  size_t pending() const override { return pending_; }
  void OnAnswer(LoopSink::Ticket* ticket, const Status& status, Chunk answer, bool more) override;

  void Submit(const std::shared_ptr<const Chunk>& owner, std::span<const std::byte> request);
  void Unlink(LoopSink::Ticket* ticket);
  void AddError(std::span<const std::byte> request, const Status& status);
  void SendErrors();

  LoopSink* const sink_;
  Requests* const scratch_;
  const uint64_t group_;
  LoopSink::Ticket* first_ = nullptr;  // Of those under way, which are linked.
  size_t pending_ = 0;
  std::string errors_;  // Answers to requests that failed, which leave as one message.
};

class PredictStreamMethod final : public StreamMethod {
 public:
  explicit PredictStreamMethod(LoopSink* sink) : sink_(sink) {}
  std::unique_ptr<StreamHandler> Start(ServerCall* call, Headers metadata) override;

 private:
  LoopSink* const sink_;
  PredictStream::Requests scratch_;
};

}  // namespace maas
