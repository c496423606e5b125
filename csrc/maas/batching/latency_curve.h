// T(n) of one shape bucket on one device: how long a run of n rows takes. Measured at load, kept current by
// every run since.
//
// T(n) = pace x base(n). The base is the shape of the curve, one point per power of two, learned slowly: how
// runs of one size compare with those of others. The pace is how slow the machine is just now (a neighbour, a
// front that needs the same core), from the last kWindow runs whatever their size; so that runs of one size
// keep the estimates of all others fresh. Runs of one size alone say nothing about the shape, and leave it.
//
// Between points base is a line; below the first it is that of the first; beyond the last it grows in
// proportion to the rows. A run between two points counts for both, the nearer one more. More rows than the
// last possible point has (2^40) count as so many.
// Owned by LatencyCurves; the device's mutex guards it. Threads: none of its own. Time is an argument.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "maas/batching/window_quantile.h"

namespace maas {

class LatencyCurve {
 public:
  static constexpr size_t kWindow = 32;
  // Deaf to three slow runs among 32; an estimate that one run in ten exceeds.
  static constexpr double kHighQuantile = 0.9;
  static constexpr double kOutlier = 4;
  // The high quantile is taken for no more than so many times the median: if one run in ten takes longer,
  // more is lost by refusing for its sake than by being late with it.
  static constexpr double kMostHigh = 3;
  // What was measured at load counts as so many runs at pace 1.
  static constexpr int kSeedRuns = 8;
  // Of so many runs that follow a size's first, the fastest counts: first runs are often slow.
  static constexpr int kYoungRuns = 4;
  // Of the window only the runs that ended so long ago count, and the last kFewest: after a bad time in which
  // few ran, a few good runs put the pace right.
  static constexpr int64_t kRecentNs = 2'000'000'000;
  static constexpr size_t kFewest = 4;
  // A disturbance makes runs slower, never quicker: when so many in a row were quicker than the median, the
  // slowest of them counts instead.
  static constexpr size_t kQuick = 3;
  // An estimate is fresh for so many times what the last run took, and at least and at most so long. An older
  // one is no reason to refuse or drop anything: somebody has to go and see.
  static constexpr int64_t kFreshRuns = 4;
  static constexpr int64_t kLeastFreshNs = 100'000'000;
  static constexpr int64_t kMostFreshNs = int64_t{3'600} * 1'000'000'000;
  // A day: longer than anybody waits, short enough to be added and multiplied without care. Times are cut to
  // 1 ns and this.
  static constexpr int64_t kMostNs = int64_t{86'400} * 1'000'000'000;

  // As measured at load: a run of `rows` rows takes `ns`. Of one size the latest counts; once runs have been
  // recorded, they outweigh it, and only a size that has no measurement takes it. REQUIRES: rows >= 1.
  void Seed(int64_t rows, int64_t ns);
  // A run of `rows` rows took `ns` and ended at `now`. REQUIRES: rows >= 1.
  void Record(int64_t rows, int64_t ns, int64_t now);

  // Whether anything is known.
  bool known() const { return points_ > 0; }
  // Whether a run ended lately enough before `now`.
  bool Fresh(int64_t now) const;
  // The median, and the high quantile; Mean() likewise. Monotonic in `rows`. Unit: nanoseconds, 1 to kMostNs;
  // 0 when nothing is known. REQUIRES: rows >= 1.
  int64_t Typical(int64_t rows) const;
  // The mean, in which a run counts as no more than kOutlier times the median: what several runs take
  // together is so many times this.
  int64_t Mean(int64_t rows) const;
  int64_t High(int64_t rows) const;
  // Rows per nanosecond at the size up to `max_rows` that does most; 0 when nothing is known.
  // REQUIRES: max_rows >= 1.
  double BestRate(int64_t max_rows) const;

  struct Point {
    int64_t rows = 0;
    int64_t typical_ns = 0;
    int64_t high_ns = 0;
  };
  // The points that were measured, in ascending order.
  std::vector<Point> Points() const;

 private:
  static constexpr size_t kPoints = 41;

  // Where a size lies: (1 + upper) x 2^lower rows.
  struct Place {
    size_t lower = 0;
    double upper = 0;  // 0 to less than 1; 0: on the point itself.
  };
  struct Shape {
    double base_ns = 0;  // As learned; 0: never measured.
    double read_ns = 0;  // As read: without gaps, and monotonic. Up to last_.
    double share = 0;    // Of the runs in the window.
    int young = 0;       // Runs until the size is no longer young.
    int astray = 0;      // Runs in a row that were far off: above 0 too slow, below 0 too fast.
  };
  struct Run {
    double ns = 0;  // Of a run at load: its pace.
    Place place;
    bool at_load = false;
    int64_t at_ns = 0;  // When it ended.
  };

  static Place PlaceOf(int64_t rows);
  bool Measured(const Place& place) const;
  // By what was learned. REQUIRES: Measured(place).
  double Learned(const Place& place) const;
  // By what is read. REQUIRES: known().
  double Base(const Place& place) const;
  int64_t Estimate(int64_t rows, double pace) const;

  // Lets the base at `place` be `ns`, by setting the point or points next to it that were not measured, or
  // the upper one.
  void Define(const Place& place, double ns, int young);
  // A run in the first few of its size: the fastest counts.
  void LearnYoung(const Place& place, double ns);
  // A run with as many in the window before it as after it, so that the pace it had is known.
  void Learn(const Run& run);
  void Add(const Run& run);
  void ReadShares();
  void ReadShape();
  void ReadPace();

  std::array<Shape, kPoints> shape_{};
  size_t points_ = 0;  // Measured.
  size_t last_ = 0;    // The last of them.
  std::array<Run, kWindow> window_{};
  size_t next_ = 0;  // Where the next run goes.
  size_t size_ = 0;  // In the window, those at load included.
  size_t runs_ = 0;  // In the window, recorded.
  double typical_pace_ = 1;
  double mean_pace_ = 1;
  double high_pace_ = 1;
  int64_t last_run_ns_ = std::numeric_limits<int64_t>::min();  // When it ended.
  int64_t last_took_ns_ = 0;
};

}  // namespace maas
