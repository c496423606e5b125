// What a version's runs took, by the size of the batch, and how long its answers took.
//
// Usage, once per batch:
//   LatencyHistogram latency;
//   for (each answer) latency.Add(ns);
//   statistics.Record(sample, latency);
//
// Threads: LatencyHistogram has none of its own; RunStatistics is thread-safe, one short lock per batch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "maas/base/mutex.h"

namespace maas {

class LatencyHistogram {
 public:
  // Upper bounds, inclusive; whatever is longer falls into one more class.
  static constexpr std::array<int64_t, 16> kBoundsNs = {
      100'000,       250'000,       500'000,       1'000'000,     2'500'000,   5'000'000,
      10'000'000,    25'000'000,    50'000'000,    100'000'000,   250'000'000, 500'000'000,
      1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};
  static constexpr size_t kClasses = kBoundsNs.size() + 1;

  void Add(int64_t ns);
  void Merge(const LatencyHistogram& other);
  // Per bound how many took at most so long; the last is the count of all.
  std::array<uint64_t, kClasses> Cumulative() const;

 private:
  std::array<uint64_t, kClasses> counts_{};
};

// Times of one batch, or sums over several. Unit: nanoseconds.
struct BatchTimes {
  uint64_t pack_ns = 0;    // From when the batch was closed until the run began.
  uint64_t run_ns = 0;     // The run.
  uint64_t answer_ns = 0;  // From the end of the run until its answers were encoded.
};

struct BatchSizeTotals {
  int64_t rows = 0;
  uint64_t batches = 0;
  BatchTimes times;
};

// The class that batches of `rows` rows are counted under: `rows` itself up to 128, above that the next of
// eight steps to each doubling; so there are never more than a few hundred. REQUIRES: rows >= 1.
int64_t BatchSizeClass(int64_t rows);

class RunStatistics {
 public:
  struct Sample {
    int64_t rows = 0;
    uint64_t requests = 0;  // That had rows in it.
    BatchTimes times;
  };
  struct Snapshot {
    BatchTimes batches;                  // Sums over batches.
    BatchTimes requests;                 // Sums over requests, each with the times of its whole batch.
    std::vector<BatchSizeTotals> sizes;  // In ascending order.
    std::array<uint64_t, LatencyHistogram::kClasses> latency{};  // As LatencyHistogram::Cumulative().
  };

  // A run went well and its answers are encoded; `latency` is that of those that answer a whole request.
  void Record(const Sample& sample, const LatencyHistogram& latency) MAAS_EXCLUDES(mu_);
  // An answer that was put together from several runs took `ns`.
  void RecordAnswer(int64_t ns) MAAS_EXCLUDES(mu_);
  Snapshot Read() const MAAS_EXCLUDES(mu_);

 private:
  mutable Mutex mu_;
  BatchTimes batches_ MAAS_GUARDED_BY(mu_);
  BatchTimes requests_ MAAS_GUARDED_BY(mu_);
  std::map<int64_t, BatchSizeTotals> sizes_ MAAS_GUARDED_BY(mu_);
  LatencyHistogram latency_ MAAS_GUARDED_BY(mu_);
};

}  // namespace maas
