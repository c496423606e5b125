#include "maas/batching/busy_meter.h"

#include <algorithm>

namespace maas {

void BusyMeter::Advance(int64_t now) {
  if (now <= at_ns_) return;
  if (const int64_t windows = (now - start_ns_) / kWindowNs; windows > 0) {
    // Of two windows or more only the last whole one counts, and in that nothing changed.
    const int64_t since = windows == 1 ? at_ns_ : start_ns_ + (windows - 1) * kWindowNs;
    previous_ns_ = windows == 1 ? current_ns_ : 0;
    start_ns_ += windows * kWindowNs;
    if (busy_) previous_ns_ += start_ns_ - since;
    current_ns_ = 0;
    at_ns_ = start_ns_;
  }
  if (busy_) current_ns_ += now - at_ns_;
  at_ns_ = now;
}

void BusyMeter::Set(bool busy, int64_t now) {
  Advance(now);
  busy_ = busy;
}

double BusyMeter::Idle(int64_t now) const {
  BusyMeter present = *this;
  present.Advance(now);
  const auto span = static_cast<double>(kWindowNs + present.at_ns_ - present.start_ns_);
  const auto busy = static_cast<double>(present.previous_ns_ + present.current_ns_);
  return std::clamp(1 - busy / span, 0.0, 1.0);
}

}  // namespace maas
