#include "maas/batching/load_meter.h"

#include <algorithm>

namespace maas {

void LoadMeter::Roll(int64_t now) {
  const int64_t age = now - current_.start;
  if (age < kWindowNs) return;
  // After a silence of more than one window nothing of the past counts.
  previous_ = age < 2 * kWindowNs ? current_ : Window{now - kWindowNs, 0, 0};
  current_ = Window{now, 0, 0};
}

void LoadMeter::OnArrival(int64_t now, int64_t outstanding) {
  Roll(now);
  ++current_.arrivals;
  current_.peak = std::max(current_.peak, outstanding);
}

void LoadMeter::OnCpu(int64_t now, int64_t cpu_ns, int cpus) {
  const int64_t wall = now - cpu_at_;
  if (cpu_ns_ >= 0 && wall > 0) {
    const double share =
        static_cast<double>(cpu_ns - cpu_ns_) / static_cast<double>(wall) / std::max(cpus, 1);
    cpu_share_ = std::clamp(share, 0.0, 1.0);
  }
  cpu_at_ = now;
  cpu_ns_ = cpu_ns;
}

void LoadMeter::OnWake(int64_t lag_ns) {
  const auto lag = static_cast<double>(std::clamp<int64_t>(lag_ns, 0, kMostLagNs));
  wake_lag_ns_ += kLagWeight * (lag - wake_lag_ns_);
}

double LoadMeter::ArrivalRate(int64_t now) const {
  if (now - current_.start >= 2 * kWindowNs) return 0;
  const int64_t span = now - previous_.start;
  if (span <= 0) return 0;
  return static_cast<double>(previous_.arrivals + current_.arrivals) * 1e9 / static_cast<double>(span);
}

int64_t LoadMeter::Concurrency(int64_t now) const {
  if (now - current_.start >= 2 * kWindowNs) return 0;
  return std::max(previous_.peak, current_.peak);
}

}  // namespace maas
