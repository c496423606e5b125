#include "maas/exec/run_statistics.h"

#include <algorithm>
#include <bit>

namespace maas {
namespace {

// Batches up to this many rows are counted by their exact size.
constexpr int64_t kExactRows = 128;
// Above, sizes that agree in so many leading bits are one class: eight of them to each doubling.
constexpr int kStepBits = 4;

void AddTo(BatchTimes* sum, const BatchTimes& times, uint64_t weight) {
  sum->pack_ns += times.pack_ns * weight;
  sum->run_ns += times.run_ns * weight;
  sum->answer_ns += times.answer_ns * weight;
}

}  // namespace

void LatencyHistogram::Add(int64_t ns) {
  ++counts_[static_cast<size_t>(std::lower_bound(kBoundsNs.begin(), kBoundsNs.end(), ns) -
                                kBoundsNs.begin())];
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kClasses; ++i) counts_[i] += other.counts_[i];
}

std::array<uint64_t, LatencyHistogram::kClasses> LatencyHistogram::Cumulative() const {
  std::array<uint64_t, kClasses> out = counts_;
  for (size_t i = 1; i < kClasses; ++i) out[i] += out[i - 1];
  return out;
}

int64_t BatchSizeClass(int64_t rows) {
  if (rows <= kExactRows) return rows;
  const auto shift = static_cast<int>(std::bit_width(static_cast<uint64_t>(rows - 1))) - kStepBits;
  return ((rows - 1) >> shift << shift) + (int64_t{1} << shift);
}

void RunStatistics::Record(const Sample& sample, const LatencyHistogram& latency) {
  const int64_t size = BatchSizeClass(sample.rows);
  MutexLock lock(&mu_);
  AddTo(&batches_, sample.times, 1);
  AddTo(&requests_, sample.times, sample.requests);
  BatchSizeTotals& totals = sizes_[size];
  totals.rows = size;
  ++totals.batches;
  AddTo(&totals.times, sample.times, 1);
  latency_.Merge(latency);
}

void RunStatistics::RecordAnswer(int64_t ns) {
  MutexLock lock(&mu_);
  latency_.Add(ns);
}

RunStatistics::Snapshot RunStatistics::Read() const {
  MutexLock lock(&mu_);
  Snapshot out{batches_, requests_, {}, latency_.Cumulative()};
  out.sizes.reserve(sizes_.size());
  for (const auto& [size, totals] : sizes_) out.sizes.push_back(totals);
  return out;
}

}  // namespace maas
