#include "maas/batching/concurrency_limit.h"

#include <algorithm>
#include <cmath>

namespace maas {

void ConcurrencyLimit::Record(double level, double slowdown, int64_t now) {
  if (most_ == 1 || now < rest_until_ns_ || !(slowdown > 0) || !std::isfinite(slowdown)) return;
  if (began_ns_ != INT64_MIN && now - side_ns_ > kPatienceNs) Rest(now);
  if (now < rest_until_ns_ || std::abs(level - limit()) > kNear) return;
  if (began_ns_ == INT64_MIN) began_ns_ = side_ns_ = now;
  Slowdowns& side = trying_ ? at_other_ : at_limit_;
  side.Add(slowdown);
  if (side.count() < kRuns) return;
  if (trying_) {
    Conclude();
    Rest(now);
  } else {
    const bool up = limit_ == 1 || (upwards_ && limit_ < most_);
    other_ = up ? limit_ + 1 : limit_ - 1;
    upwards_ = !up;
    trying_ = true;
    side_ns_ = now;
  }
}

void ConcurrencyLimit::Conclude() {
  const bool up = other_ > limit_;
  const double few_slowdown = (up ? at_limit_ : at_other_).Quantile(0.5);
  const double many_slowdown = (up ? at_other_ : at_limit_).Quantile(0.5);
  const int few = std::min(limit_, other_);
  // Work per time, in runs as predicted.
  const bool pays = (few + 1) / many_slowdown > (few + kGain) / few_slowdown;
  limit_ = pays ? few + 1 : few;
}

void ConcurrencyLimit::Rest(int64_t now) {
  rest_until_ns_ = now + std::max(kRestNs, kRestFactor * (now - began_ns_));
  trying_ = false;
  began_ns_ = INT64_MIN;
  at_limit_.Clear();
  at_other_.Clear();
}

}  // namespace maas
