// T(n): how long a run of n rows takes, measured at load and kept current by every run since.
//
// One point per power of two; a run of n rows counts for the next power of two. Estimates between points are
// those of the point above, and beyond the last grow in proportion to the rows.
// Threads: none of its own; the owner's lock guards it.
#pragma once

#include <array>
#include <cstdint>

namespace maas {

class RunCurve {
 public:
  // Follows a change within about ten runs and forgives a single slow one.
  static constexpr double kWeight = 0.1;
  // A day: longer than anybody waits, short enough to be added and multiplied without care.
  static constexpr int64_t kMostNs = int64_t{86'400} * 1'000'000'000;

  // REQUIRES: rows >= 1.
  void Record(int64_t rows, int64_t ns);
  // Unit: nanoseconds, at most kMostNs; 0 when nothing is known.
  int64_t Estimate(int64_t rows) const;

 private:
  static constexpr int kPoints = 41;
  std::array<double, kPoints> ns_{};  // 0: never measured.
};

}  // namespace maas
