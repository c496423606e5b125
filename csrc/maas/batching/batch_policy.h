// When an idle instance takes its next batch: a pure function of the queue, the clock and the load.
//
// Work-conserving: what is queued runs at once, with two exceptions.
//   1. The model's configuration sets max_queue_delay: a batch that is not full waits until its oldest
//      request has waited that long.
//   2. Gathering. Waking a runner thread, running and waking the front again costs about kDispatchNs of CPU
//      per batch, as much as half an RPC. When CPU is scarce, a model is so quick that dispatch dominates,
//      and other requests are known to be under way, a batch waits up to kGatherNs for them; it ends as soon
//      as as many are queued as were lately under way at once. A lone client is never made to wait, nor
//      anyone while there is CPU to spare; and a gathering that catches nobody is not tried again for a
//      while.
// Neither waits past LastStart() of the earliest deadline, nor past LastBegin() of the first request that a
// queue policy takes out.
//
// Preferred sizes: what waits is cut to the largest of them that it holds, and runs then without a delay;
// once max_queue_delay is over, a batch is as large as can be.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace maas {

// Measured, with a runner thread beside a busy event loop on one core: 65 µs a batch.
inline constexpr int64_t kDispatchNs = 60'000;
// The share of a core that dispatching may take: a batch per kGatherNs costs this much.
inline constexpr double kDispatchShare = 0.03;
inline constexpr int64_t kGatherNs = static_cast<int64_t>(static_cast<double>(kDispatchNs) / kDispatchShare);
// Gathering grows from nothing at the first share of CPU in use to kGatherNs at the second.
inline constexpr double kGatherFromCpu = 0.5;
inline constexpr double kGatherFullCpu = 0.8;
// The same for how late a woken thread runs: other processes keep the CPU that we want.
inline constexpr double kGatherFromLagNs = 60'000;
inline constexpr double kGatherFullLagNs = 200'000;

// A request that an idle instance sleeps beside must not leave because the instance woke late.
inline constexpr int64_t kLeaveMarginNs = 2'000'000;

struct BatchOptions {
  int64_t max_batch_rows = 1;
  int64_t max_queue_delay_ns = 0;
  std::vector<int64_t> preferred_rows{};  // Ascending, each 1 to max_batch_rows.
};

// How many rows at the front of a lane make a batch of a preferred size. Whole requests make it up, so it may
// be that none fits exactly: then all that stay within the largest preferred size, once more than that wait.
class PreferredPrefix {
 public:
  // `preferred` as in BatchOptions; not owned, outlives this.
  explicit PreferredPrefix(std::span<const int64_t> preferred) : preferred_(preferred) {}
  // The next request in order has `rows` rows. False: those after it do not matter.
  bool Add(int64_t rows);
  // 0: no preferred size is reached.
  int64_t rows() const { return best_; }

 private:
  const std::span<const int64_t> preferred_;
  int64_t sum_ = 0;
  int64_t best_ = 0;
};

// One lane and the load around it, as the policy sees them.
struct LaneView {
  int64_t rows = 0;                   // Waiting in the lane that would run next.
  int64_t requests = 0;               // Waiting in it.
  int64_t oldest_ns = 0;              // When the oldest of them was accepted. Meaningless when requests is 0.
  int64_t queued = 0;                 // Requests waiting in all lanes, this one's included.
  int64_t deadline_ns = INT64_MAX;    // Not later than any deadline in any lane.
  int64_t leaves_ns = INT64_MAX;      // When the queue policy takes the first of them out, unless it runs.
  int64_t preferred_rows = 0;         // PreferredPrefix::rows() of the lane.
  uint64_t rank = 0;                  // Of its first request; lower is more urgent.
  double virtual_time = 0;            // Of its first request's tenant; the least served comes next.
  int64_t last_start_ns = INT64_MAX;  // When a run must start, at the latest, for its first request.
  bool at_once = false;               // Its first request waits for nobody.
};
struct LoadView {
  double arrivals_per_second = 0;
  int64_t concurrency = 0;  // LoadMeter::Concurrency.
  double cpu_share = 0;
  int64_t run_ns = 0;  // T(rows waiting), or T(1) when none waits; 0: not known.
  double wake_lag_ns = 0;
};

// Remembers whether gathering paid. Plain data, so that the policy stays a function.
struct GatherMemory {
  int32_t backoff = 0;  // After a failure: how many batches to let pass; doubles up to kMaxBackoff.
  int32_t skip = 0;     // Batches still to let pass.
};
inline constexpr int32_t kMaxBackoff = 64;
// A gathering ended with `caught` requests beyond those that would have run anyway.
GatherMemory AfterGather(GatherMemory memory, int64_t caught);
// A batch was taken without gathering.
GatherMemory AfterBatch(GatherMemory memory);

enum class Action : uint8_t { kRun, kWait };

struct Decision {
  Action action = Action::kWait;
  int64_t until_ns = INT64_MAX;  // kWait: look again by then; INT64_MAX: only when woken.
  int64_t wake_requests = 1;     // kWait: a push that makes this many requests wait wakes the instance before
                                 // that; so does one that fills a batch, and one that must start earlier.
  bool gathering = false;        // kWait: because of exception 2.
  int64_t rows = INT64_MAX;      // kRun: so many at most, besides max_batch_rows.
};

// When a batch must start, at the latest, to be answered by `deadline_ns`: a run and a dispatch before, and
// as much earlier as instances wake late.
int64_t LastStart(int64_t deadline_ns, int64_t run_ns, double wake_lag_ns);

// When the lane's batch must run, if it may be held for nothing but max_queue_delay.
// REQUIRES: lane.requests > 0.
int64_t DueAt(const BatchOptions& options, const LaneView& lane, double wake_lag_ns);

// Whether lane `a` is next rather than `b`: of two that are due the one of the higher level, then the one of
// the tenant that had less, then the one that must start earlier; else the one due first.
// `a_due`, `b_due`: DueAt() of each.
bool ComesBefore(const LaneView& a, int64_t a_due, const LaneView& b, int64_t b_due, int64_t now);

// By when a batch must begin, at the latest, of which a queue policy takes a request out at `leaves_ns`.
int64_t LastBegin(int64_t leaves_ns, double wake_lag_ns);

// How long a batch may be held to gather company. 0: not at all.
int64_t GatherWindow(const LoadView& load, const GatherMemory& memory);

// `gather_began_ns`: when the present gathering began; -1: none is under way.
// REQUIRES: lane.queued >= lane.requests.
Decision DecideBatch(const BatchOptions& options, const LaneView& lane, const LoadView& load,
                     const GatherMemory& memory, int64_t gather_began_ns, int64_t now);

}  // namespace maas
