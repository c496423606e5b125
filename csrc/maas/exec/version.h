// One version of a model as the core serves it: its spec, its queue and its counters.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "maas/batching/batch_queue.h"
#include "maas/exec/run_statistics.h"
#include "maas/model/spec.h"

namespace maas {

// How an accepted request ended.
enum class Outcome : uint8_t { kSucceeded, kFailed, kCancelled, kExpired };

// Relaxed: each is a count of its own, and readers want no more than that.
struct VersionCounters {
  std::atomic<uint64_t> accepted{0};
  std::atomic<uint64_t> succeeded{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> cancelled{0};
  std::atomic<uint64_t> expired{0};
  std::atomic<uint64_t> timed_out{0};  // Those of `expired` that the queue policy took out.
  std::atomic<uint64_t> hopeless{0};   // Those of `expired` that were dropped before their deadline passed.
  std::atomic<uint64_t> rejected{0};
  std::atomic<uint64_t> refused_late{0};    // Those of `rejected` that could not have been answered in time.
  std::atomic<uint64_t> refused_tenant{0};  // Those of `rejected` that were more than their tenant may have.
  std::atomic<uint64_t> late{0};            // Those of `succeeded` that were ready after their deadline.
  std::atomic<uint64_t> interrupted{0};     // Runs that were ended because nobody waited for them any more.
  std::atomic<uint64_t> batches{0};
  std::atomic<uint64_t> rows{0};
  std::atomic<uint64_t> run_ns{0};
  std::atomic<uint64_t> queue_ns{0};  // Of those that succeeded.
  // From acceptance to the end, by outcome.
  std::atomic<uint64_t> succeeded_ns{0};
  std::atomic<uint64_t> failed_ns{0};
  std::atomic<uint64_t> cancelled_ns{0};
  std::atomic<uint64_t> expired_ns{0};
  std::atomic<int64_t> margin_ns{
      0};  // Kept free before deadlines for answers to leave, as of the last request that had one.
  std::atomic<int64_t> last_run_ns{-1};  // When the last run ended, on the version's clock; -1: none did.

  // `n` accepted requests ended so, `ns` after their acceptance in sum.
  void OnEnded(Outcome outcome, uint64_t n, uint64_t ns) {
    switch (outcome) {
      case Outcome::kSucceeded:
        Add(&succeeded, n);
        Add(&succeeded_ns, ns);
        break;
      case Outcome::kFailed:
        Add(&failed, n);
        Add(&failed_ns, ns);
        break;
      case Outcome::kCancelled:
        Add(&cancelled, n);
        Add(&cancelled_ns, ns);
        break;
      case Outcome::kExpired:
        Add(&expired, n);
        Add(&expired_ns, ns);
        break;
    }
  }

  static void Add(std::atomic<uint64_t>* counter, uint64_t n) {
    counter->fetch_add(n, std::memory_order_relaxed);
  }
};

// Shared by the routing table, its instances and every request under way, so that it lives as long as anyone
// needs it. Threads: `spec` is constant, the rest is thread-safe itself.
struct Version {
  // REQUIRES: options.batch.max_batch_rows == spec.max_batch_size.
  Version(ModelSpec s, BatchQueue::Options options, const Clock* c, int64_t deadline_ns = 0)
      : spec(std::move(s)), default_deadline_ns(deadline_ns), clock(c), queue(std::move(options), c) {}

  const ModelSpec spec;
  const int64_t default_deadline_ns;  // Of requests that bring none, from acceptance; 0: none.
  const Clock* const clock;
  BatchQueue queue;
  VersionCounters counters;
  RunStatistics statistics;
};

}  // namespace maas
