// How long answers take from the core's hands to where they leave: a high quantile of the last few dozen.
//
// Owned by a sink, whose DeliveryNs() it is. Threads: Ns() from any; Add() from one at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "maas/batching/window_quantile.h"

namespace maas {

class DeliveryMeter {
 public:
  // `beyond_ns` stands for what follows and is not measured. `every`: which of the values change Ns(), from
  // the first one on; taking a quantile costs as much as a cheap answer. REQUIRES: every > 0.
  DeliveryMeter(int64_t beyond_ns, int every) : beyond_ns_(beyond_ns), every_(every), ns_(beyond_ns) {}

  void Add(int64_t ns) {
    window_.Add(static_cast<double>(ns));
    if (--until_taken_ > 0) return;
    until_taken_ = every_;
    ns_.store(static_cast<int64_t>(window_.Quantile(kQuantile)) + beyond_ns_, std::memory_order_relaxed);
  }
  int64_t Ns() const { return ns_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kValues = 64;
  static constexpr double kQuantile = 0.95;

  const int64_t beyond_ns_;
  const int every_;
  WindowQuantile<kValues> window_;
  int until_taken_ = 1;
  std::atomic<int64_t> ns_;
};

}  // namespace maas
