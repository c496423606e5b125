// A quantile of the last few values: a ring and a selection. Unlike a running average it is deaf to a few
// outliers, and unlike a running quantile it follows a change within one window.
//
// Owned by those who measure: LatencyCurve, ConcurrencyLimit, Device and DeliveryMeter. Threads: none of its
// own; their locks guard it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace maas {

template <size_t kSize>
class WindowQuantile {
 public:
  void Add(double value) {
    values_[next_] = value;
    next_ = (next_ + 1) % kSize;
    count_ = std::min(count_ + 1, kSize);
  }
  void Clear() { count_ = next_ = 0; }
  size_t count() const { return count_; }

  // The value with about a share `q` (0 to 1) of the others below it, rounded down in rank, so that one
  // outlier among ten does not speak for q = 0.9. REQUIRES: count() > 0.
  double Quantile(double q) const {
    std::array<double, kSize> sorted = values_;
    const auto rank = static_cast<std::ptrdiff_t>(q * static_cast<double>(count_ - 1));
    std::nth_element(sorted.begin(), sorted.begin() + rank,
                     sorted.begin() + static_cast<std::ptrdiff_t>(count_));
    return sorted[static_cast<size_t>(rank)];
  }

  // The mean, where what is above `most` counts as `most`. REQUIRES: count() > 0.
  double MeanUpTo(double most) const {
    double sum = 0;
    for (size_t i = 0; i < count_; ++i) sum += std::min(values_[i], most);
    return sum / static_cast<double>(count_);
  }

 private:
  std::array<double, kSize> values_{};
  size_t count_ = 0;
  size_t next_ = 0;
};

}  // namespace maas
