#include "maas/batching/batch_policy.h"

#include <algorithm>

namespace maas {
namespace {

// 0 up to `from`, 1 from `full` on, a line between.
double Ramp(double value, double from, double full) {
  return std::clamp((value - from) / (full - from), 0.0, 1.0);
}

bool IsFull(const BatchOptions& options, const LaneView& lane) {
  return lane.at_once || lane.preferred_rows > 0 || lane.rows >= options.max_batch_rows;
}

}  // namespace

bool PreferredPrefix::Add(int64_t rows) {
  const int64_t most = preferred_.back();
  if (sum_ > 0 && sum_ + rows > most) {
    if (best_ == 0) best_ = sum_;
    return false;
  }
  sum_ += rows;
  if (sum_ >= most || std::binary_search(preferred_.begin(), preferred_.end(), sum_)) best_ = sum_;
  return sum_ < most;
}

GatherMemory AfterGather(GatherMemory memory, int64_t caught) {
  if (caught > 0) return {};
  memory.backoff = std::clamp(memory.backoff * 2, 1, kMaxBackoff);
  memory.skip = memory.backoff;
  return memory;
}

GatherMemory AfterBatch(GatherMemory memory) {
  memory.skip = std::max(memory.skip - 1, 0);
  return memory;
}

int64_t LastStart(int64_t deadline_ns, int64_t run_ns, double wake_lag_ns) {
  return deadline_ns - run_ns - kDispatchNs - static_cast<int64_t>(wake_lag_ns);
}

int64_t LastBegin(int64_t leaves_ns, double wake_lag_ns) {
  return leaves_ns - kLeaveMarginNs - static_cast<int64_t>(wake_lag_ns);
}

int64_t DueAt(const BatchOptions& options, const LaneView& lane, double wake_lag_ns) {
  if (IsFull(options, lane)) return lane.oldest_ns;
  return std::min(lane.oldest_ns + options.max_queue_delay_ns, LastBegin(lane.leaves_ns, wake_lag_ns));
}

bool ComesBefore(const LaneView& a, int64_t a_due, const LaneView& b, int64_t b_due, int64_t now) {
  // An urgent request that waits for company does not keep back others that are due.
  const uint64_t a_rank = a_due <= now ? a.rank : UINT64_MAX;
  const uint64_t b_rank = b_due <= now ? b.rank : UINT64_MAX;
  if (a_rank != b_rank) return a_rank < b_rank;
  if (a_rank == UINT64_MAX) return a_due < b_due;
  if (a.virtual_time != b.virtual_time) return a.virtual_time < b.virtual_time;
  return a.last_start_ns != b.last_start_ns ? a.last_start_ns < b.last_start_ns : a_due < b_due;
}

int64_t GatherWindow(const LoadView& load, const GatherMemory& memory) {
  if (load.concurrency < 2 || memory.skip > 0) return 0;
  const double dispatch = static_cast<double>(kDispatchNs);
  // A run that takes long gathers the next batch by itself, and dispatch is small beside it.
  if (static_cast<double>(load.run_ns) * kDispatchShare > dispatch) return 0;
  // So few arrive that dispatching each alone takes no more than its share.
  if (load.arrivals_per_second * dispatch / 1e9 < kDispatchShare) return 0;
  const double scarce = std::max(Ramp(load.cpu_share, kGatherFromCpu, kGatherFullCpu),
                                 Ramp(load.wake_lag_ns, kGatherFromLagNs, kGatherFullLagNs));
  return static_cast<int64_t>(scarce * static_cast<double>(kGatherNs));
}

Decision DecideBatch(const BatchOptions& options, const LaneView& lane, const LoadView& load,
                     const GatherMemory& memory, int64_t gather_began_ns, int64_t now) {
  const int64_t window = GatherWindow(load, memory);
  const int64_t gather_until = (gather_began_ns >= 0 ? gather_began_ns : now) + window;
  if (lane.requests == 0) {
    // Under load the next request is sure to come: sleep through its arrival and take what is there by then,
    // instead of being woken by it only to wait for the others.
    if (gather_until > now) return {Action::kWait, gather_until, load.concurrency, true};
    return {};
  }
  if (IsFull(options, lane)) {
    Decision run{Action::kRun};
    const bool delayed = options.max_queue_delay_ns > 0 && lane.oldest_ns + options.max_queue_delay_ns <= now;
    if (lane.preferred_rows > 0 && !lane.at_once && !delayed) run.rows = lane.preferred_rows;
    return run;
  }
  // Waiting until a deadline has passed, or a request has left, helps nobody.
  const int64_t last_start = std::min(LastStart(lane.deadline_ns, load.run_ns, load.wake_lag_ns),
                                      LastBegin(lane.leaves_ns, load.wake_lag_ns));
  const int64_t delay_until = std::min(lane.oldest_ns + options.max_queue_delay_ns, last_start);
  if (delay_until > now) return {Action::kWait, delay_until, INT64_MAX, false};
  // Whoever was lately under way and is in another lane will not come to this one.
  if (std::min(gather_until, last_start) > now && lane.queued < load.concurrency) {
    return {Action::kWait, std::min(gather_until, last_start), load.concurrency, true};
  }
  return {Action::kRun};
}

}  // namespace maas
