// How many runs at a time one device runs well, found by trying.
//
// Two runs at a time that each take twice as long bring nothing, and make every answer later. While the
// device is used up to its limit, that limit is compared with the one beside it, now below, now above: kRuns
// runs at one, kRuns at the other, straight after each other, so that a machine that is slow just now is slow
// for both. The higher one stays if its last run brings at least kGain of what a run brings at the lower one.
// Then nothing is tried for a while, long enough that trials cost a twentieth of the time at most.
//
// Owned by a Device, whose mutex guards it. Threads: none of its own. Time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>

#include "maas/batching/window_quantile.h"

namespace maas {

class ConcurrencyLimit {
 public:
  static constexpr size_t kRuns = 8;
  static constexpr double kGain = 0.05;
  // A run counts for a limit that the runs under way were this close to, on the average over its time.
  static constexpr double kNear = 0.25;
  // A side that does not see kRuns runs within this is not used up; the trial is given up.
  static constexpr int64_t kPatienceNs = 10'000'000'000;
  // Between trials, at least; and so many times what the last one took.
  static constexpr int64_t kRestNs = 2'000'000'000;
  static constexpr int64_t kRestFactor = 20;

  // Starts with `most`, which is never exceeded. REQUIRES: most >= 1.
  explicit ConcurrencyLimit(int most) : most_(most), limit_(most) {}

  // 1 to `most`.
  int limit() const { return trying_ ? other_ : limit_; }

  // A run ended at `now`. It took `slowdown` times what was predicted, by predictions that do not follow
  // within kRuns runs how many run at a time; and `level` runs were under way on the average over its time,
  // itself included.
  void Record(double level, double slowdown, int64_t now);

 private:
  using Slowdowns = WindowQuantile<kRuns>;
  void Conclude();
  void Rest(int64_t now);

  const int most_;
  int limit_;             // The best known.
  int other_ = 0;         // The one that it is compared with.
  bool trying_ = false;   // `other_` holds just now.
  bool upwards_ = false;  // Where the next trial goes, if it can.
  Slowdowns at_limit_;
  Slowdowns at_other_;
  int64_t began_ns_ = INT64_MIN;  // The trial: its first run; INT64_MIN: none yet.
  int64_t side_ns_ = 0;           // The side that is measured now.
  int64_t rest_until_ns_ = INT64_MIN;
};

}  // namespace maas
