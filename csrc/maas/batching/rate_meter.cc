#include "maas/batching/rate_meter.h"

#include <algorithm>

namespace maas {

void RateMeter::Add(int64_t rows, int64_t now) {
  const int64_t age = now - start_;
  if (age >= kWindowNs) {
    // After a silence of more than one window nothing of the past counts.
    const bool silent = age >= 2 * kWindowNs;
    previous_start_ = silent ? now - kWindowNs : start_;
    previous_rows_ = silent ? 0 : rows_;
    start_ = now;
    rows_ = 0;
  }
  rows_ += rows;
}

double RateMeter::Rate(int64_t now) const {
  if (now - start_ >= 2 * kWindowNs) return 0;
  const int64_t span = std::max(now - previous_start_, kWindowNs);
  return static_cast<double>(previous_rows_ + rows_) / static_cast<double>(span);
}

}  // namespace maas
