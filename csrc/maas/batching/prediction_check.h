// Whether predictions of runs come true, and so may be acted upon.
//
// A prediction is wrong when the run took less than half of the typical time or more than double of the high
// one. Once kDistrustAt of the last kWindow are wrong, predictions are not trusted: the queue serves whatever
// waits and refuses nothing because of an estimate. Once kTrustRuns of them in a row held but for kTrustAt,
// they are trusted again. Each time what came before is forgotten.
// Owned by LatencyCurves; the device's mutex guards it. Threads: none of its own.
#pragma once

#include <cstdint>

namespace maas {

class PredictionCheck {
 public:
  static constexpr int kWindow = 32;
  static constexpr double kFactor = 2.0;
  // Shorter runs than this are dispatch more than arithmetic: off by up to this much is no error.
  static constexpr int64_t kToleranceNs = 500'000;
  // Of kWindow runs: so many wrong ones end trust.
  static constexpr int kDistrustAt = 8;
  // Of the last kTrustRuns: so few restore it. Fewer runs than that, because without trust an overloaded
  // model answers nearly nobody.
  static constexpr int kTrustRuns = 12;
  static constexpr int kTrustAt = 1;

  // A run was predicted to take `typical_ns` (0: no prediction, does not count), at most `high_ns`, and took
  // `actual_ns`. True: trust began or ended.
  bool Record(int64_t typical_ns, int64_t high_ns, int64_t actual_ns);
  bool trusted() const { return trusted_; }
  // How often trust ended.
  uint64_t lapses() const { return lapses_; }

 private:
  uint32_t wrong_ = 0;  // One bit per run of the window, the latest lowest.
  int runs_ = 0;        // In the window, since trust last changed.
  bool trusted_ = true;
  uint64_t lapses_ = 0;
};

}  // namespace maas
