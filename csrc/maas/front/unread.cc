#include "maas/front/unread.h"

#include <algorithm>

namespace maas {

UnreadAnswers::~UnreadAnswers() {
  if (taken_ > 0) budget_->Give(taken_);
}

bool UnreadAnswers::SettleSome(size_t kept, bool all_written) {
  if (budget_ == nullptr) return true;
  const size_t steps = kept <= kStep ? 0 : (kept + kStep - 1) / kStep;
  const size_t wanted = steps * kStep;
  if (wanted > taken_) {
    if (!budget_->Take(wanted - taken_)) return false;
    taken_ = wanted;
  } else if (wanted < taken_ && all_written) {
    budget_->Give(taken_ - wanted);
    taken_ = wanted;
  }
  return true;
}

void StallWatch::Measure(int64_t now, const Sent& sent) {
  written_ += sent.written;
  if (cut_at_ != kNever) {
    // What is written may be answers to pings, which are no progress where a window is closed; what is queued
    // may never have been written.
    const uint64_t left = std::min(queued_ + (sent.bodies_sent - bodies_sent_), written_);
    if (left < demanded_) return;
  }
  cut_at_ = InstantAfter(now, timeout_ns_);
  demanded_ = std::min<uint64_t>(kLeast, sent.queued + sent.unsent);
  queued_ = sent.queued;
  bodies_sent_ = sent.bodies_sent;
  written_ = 0;
}

}  // namespace maas
