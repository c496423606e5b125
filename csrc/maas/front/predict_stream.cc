#include "maas/front/predict_stream.h"

#include <utility>

#include "maas/wire/predict_decoder.h"
#include "maas/wire/predict_encoder.h"

namespace maas {

PredictStream::PredictStream(LoopSink* sink, ServerCall* call, Requests* scratch)
    : AnswerStream(call), sink_(sink), scratch_(scratch), group_(sink->NewGroup()) {}

PredictStream::~PredictStream() { PredictStream::CancelAll(); }

void PredictStream::OnRequests(Chunk message) {
  const auto owner = std::make_shared<const Chunk>(std::move(message));
  if (const Status status = SplitPredictStreamRequest(owner->bytes(), scratch_); !status.ok()) {
    StopReading(status);
  } else {
    for (const auto& request : *scratch_) Submit(owner, request);
    SendErrors();
  }
  Update();
}

void PredictStream::Submit(const std::shared_ptr<const Chunk>& owner, std::span<const std::byte> request) {
  LoopSink::Ticket* ticket = nullptr;
  const Status status =
      sink_->Submit({&PredictStreamCodec(), call()->deadline_ns(), call()->tenant(), group_, this, nullptr},
                    owner, request, &ticket);
  if (!status.ok()) return AddError(request, status);
  ++pending_;
  pending_bytes_ += request.size();
  ticket->next = first_;
  if (first_ != nullptr) first_->previous = ticket;
  first_ = ticket;
}

void PredictStream::Unlink(LoopSink::Ticket* ticket) {
  (ticket->previous == nullptr ? first_ : ticket->previous->next) = ticket->next;
  if (ticket->next != nullptr) ticket->next->previous = ticket->previous;
  --pending_;
  pending_bytes_ -= ticket->request.size();
}

void PredictStream::CancelAll() {
  while (first_ != nullptr) {
    LoopSink::Ticket* ticket = first_;
    Unlink(ticket);
    sink_->Cancel(ticket);
  }
}

void PredictStream::OnAnswer(LoopSink::Ticket* ticket, const Status& status, Chunk answer, bool more) {
  Unlink(ticket);
  if (!answer.empty()) Send(std::move(answer));
  if (!status.ok()) AddError(ticket->request, status);
  // Broken, nothing more will come.
  if (more && !over()) return;
  SendErrors();
  Update();
}

void PredictStream::AddError(std::span<const std::byte> request, const Status& status) {
  errors_ += EncodeStreamError(PeekRequestId(request), status);
  if (errors_.size() >= kMaxSharedBytes) SendErrors();
}

void PredictStream::SendErrors() {
  if (errors_.empty()) return;
  Send(errors_);
  errors_.clear();
}

std::unique_ptr<StreamHandler> PredictStreamMethod::Start(ServerCall* call, Headers /*metadata*/) {
  return std::make_unique<PredictStream>(sink_, call, &scratch_);
}

}  // namespace maas
