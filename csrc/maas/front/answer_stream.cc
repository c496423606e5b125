#include "maas/front/answer_stream.h"

#include <utility>

#include "maas/front/message.h"
#include "maas/http2/session.h"

namespace maas {

void AnswerStream::OnMessage(Chunk message) {
  if (reading_ == Reading::kOpen) OnRequests(std::move(message));
}

void AnswerStream::OnHalfClosed() {
  if (reading_ != Reading::kOpen) return;
  reading_ = Reading::kDone;
  Update();
}

void AnswerStream::OnRoom() {
  unsent_messages_ = 0;
  Update();
}

void AnswerStream::OnStopping() {
  StopReading(Status(Code::kUnavailable, "DRAINING", "the server stops"));
  Update();
}

void AnswerStream::OnCancelled() {
  reading_ = Reading::kEnded;
  CancelAll();
}

void AnswerStream::Send(Chunk message) {
  if (over()) return;
  call_->Send(std::move(message));
  // Small messages cost more than their bytes.
  unsent_messages_ = call_->unsent() <= Http2Session::kLowWater ? 0 : unsent_messages_ + 1;
}

void AnswerStream::Send(std::string_view message) {
  Chunk chunk;
  if (MakeMessage(message, &chunk)) {
    Send(std::move(chunk));
  } else {
    Break(NoMemory());
  }
}

void AnswerStream::StopReading(Status why) {
  if (reading_ != Reading::kOpen) return;
  reading_ = Reading::kStopped;
  failure_ = std::move(why);
  if (!std::exchange(paused_, true)) call_->PauseReading();
}

void AnswerStream::Break(Status why) {
  if (over()) return;
  reading_ = Reading::kBroken;
  failure_ = std::move(why);
  CancelAll();
}

void AnswerStream::Update() {
  if (reading_ == Reading::kEnded) return;
  if (reading_ == Reading::kOpen) {
    const bool full = pending() >= kMaxPending || pending_bytes_ >= kMaxPendingBytes ||
                      held_bytes() + call_->unsent() >= kMaxUnsentBytes ||
                      unsent_messages_ >= kMaxUnsentMessages;
    if (full == paused_) return;
    paused_ = full;
    full ? call_->PauseReading() : call_->ResumeReading();
  } else if (reading_ == Reading::kBroken || pending() == 0) {
    const bool done = reading_ == Reading::kDone;
    reading_ = Reading::kEnded;
    done ? call_->Finish() : call_->Fail(failure_);
  }
}

}  // namespace maas
