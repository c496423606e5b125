// The bounded queue of one model version: requests in, batches out.
//
// Requests wait in lanes, one per shape bucket; a batch is taken from one lane, by priority and in order of
// arrival. Next comes, of the lanes that are due, the one that holds the highest priority, and of these the
// one that was due first: a full one since its oldest item came, another max_queue_delay later; so no lane
// starves for others of its priority. An item with more rows than a batch holds is handed out in slices,
// maybe to several instances at once. Each slice is a batch of its own, so that the failure of one is nobody
// else's.
//
// Ownership: shares its items with whoever submitted them; never looks at payloads.
// Threads: every method may be called from any thread. Push() never blocks; Pop() does.
// Invariants: (1) waiting rows <= max_queue_rows, but for one item larger than that in an empty queue, and
// for items that Requeue() brought back. (2) After Close(), nothing new enters. (3) Of every pushed item each
// row is handed out at most once, or the item is reported dead exactly once with no slice of it out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/mutex.h"
#include "maas/batching/batch_policy.h"
#include "maas/batching/lane.h"
#include "maas/batching/load_meter.h"
#include "maas/batching/queue_policy.h"
#include "maas/batching/run_curve.h"

namespace maas {

// Why what was left of an item was dropped. kTimedOut: by its queue policy, before any of it ran.
enum class Death : uint8_t { kNone, kCancelled, kExpired, kTimedOut, kAborted };

// What the queue knows of a request; the request derives from it.
struct QueueItem {
  virtual ~QueueItem() = default;

  // Set before Push(), constant afterwards.
  std::string lane_key;
  int64_t rows = 1;
  bool solo = false;  // Runs alone and unsplit.
  int64_t accepted_ns = 0;
  int64_t deadline_ns = kNever;
  uint64_t priority = 0;   // As LevelOf() takes it.
  int64_t timeout_ns = 0;  // The request's own, as WaitsUntil() takes it.

 private:
  friend class BatchQueue;
  // Guarded by the queue's mutex.
  int64_t taken_ = 0;           // Rows handed out.
  int64_t finished_ = 0;        // Rows whose slices came back.
  int32_t slices_out_ = 0;      // Handed out and not back.
  bool waiting_ = false;        // In a lane.
  bool delays_ = false;         // At leaves_ns_ it is put behind the others of its level instead of leaving.
  uint64_t rank_ = 0;           // Its tier in the lane: twice its level, and one more once it was put behind.
  int64_t leaves_ns_ = kNever;  // Until when it may wait to begin.
  Death death_ = Death::kNone;
  bool retry_ = false;  // Came back from a failed batch; runs alone.
};

struct Slice {
  std::shared_ptr<QueueItem> item;
  int64_t begin = 0;
  int64_t rows = 0;
};

// kLevelFull: as many requests of its priority level wait as may.
enum class PushResult : uint8_t { kOk, kFull, kLevelFull, kClosed };

class BatchQueue {
 public:
  struct Options {
    BatchOptions batch;
    PriorityOptions priorities{};
    int64_t max_queue_rows = 4096;
    int cpus = 1;                               // That the process may use at once; for LoadMeter.
    std::function<int64_t()> process_cpu_ns{};  // CPU time of the process; empty: CPU counts as scarce.
  };

  // `clock` is not owned and outlives this.
  BatchQueue(Options options, const Clock* clock);

  // kOk: the queue shares *item from now on. Otherwise *item is as it was; kFull, kLevelFull: retry later;
  // kClosed: never. REQUIRES: accepted_ns set and not pushed before.
  PushResult Push(const std::shared_ptr<QueueItem>& item) MAAS_EXCLUDES(mu_);

  // Blocks until there is a batch or somebody died waiting; false once the queue is closed and empty.
  // *batch: slices of one lane, at most max_batch_rows rows in all (more only for a solo item). *dead: items
  // that expired or timed out, to be completed by the caller. Both are overwritten; not both are empty when
  // true is returned.
  bool Pop(std::vector<Slice>* batch, std::vector<std::shared_ptr<QueueItem>>* dead) MAAS_EXCLUDES(mu_);

  // One step of Pop() without the wait: what it would do at `now`.
  Decision Step(int64_t now, std::vector<Slice>* batch, std::vector<std::shared_ptr<QueueItem>>* dead)
      MAAS_EXCLUDES(mu_);

  // A slice came back. True for the one call that finds the item whole, or dead with nothing out: that caller
  // completes it.
  bool Return(const Slice& slice) MAAS_EXCLUDES(mu_);

  // Puts items that were handed out whole back at the front, each to run alone, because their batch failed
  // and one of them may be to blame for all. Works on a closed queue.
  void Requeue(const std::vector<std::shared_ptr<QueueItem>>& items) MAAS_EXCLUDES(mu_);
  // Whether the item came back once: the next failure is its own.
  bool IsRetry(const QueueItem& item) MAAS_EXCLUDES(mu_);

  // Why what was left of it was dropped; kNone: it was not.
  Death DeathOf(const QueueItem& item) MAAS_EXCLUDES(mu_);

  // The caller went away. True: the item left unrun and the caller of Cancel() completes it. False: it is
  // running or done, and is completed elsewhere.
  bool Cancel(QueueItem* item) MAAS_EXCLUDES(mu_);
  // Takes out what has expired or timed out by `now`; the caller completes it.
  void TakeExpired(int64_t now, std::vector<std::shared_ptr<QueueItem>>* dead) MAAS_EXCLUDES(mu_);

  // Nothing new enters; Pop() hands out the rest and then returns false.
  void Close() MAAS_EXCLUDES(mu_);
  // Takes out everything that waits; the caller completes it. What has slices out is completed by Return()'s
  // caller.
  void TakeAll(std::vector<std::shared_ptr<QueueItem>>* dead) MAAS_EXCLUDES(mu_);

  // A run of `rows` rows took `ns`.
  void RecordRun(int64_t rows, int64_t ns) MAAS_EXCLUDES(mu_);
  // How long a new request would wait, as far as T(n) tells. Unit: nanoseconds.
  int64_t EstimateWait() MAAS_EXCLUDES(mu_);
  // `n` accepted items were answered.
  void OnAnswered(int64_t n) MAAS_EXCLUDES(mu_);
  int64_t waiting_rows() MAAS_EXCLUDES(mu_);

 private:
  using Lanes = std::unordered_map<std::string, Lane>;

  Decision StepLocked(int64_t now, std::vector<Slice>* batch, std::vector<std::shared_ptr<QueueItem>>* dead)
      MAAS_REQUIRES(mu_);
  // The lane that runs next, with no dead item at its front, and *view of it; null when nothing waits.
  Lane* PickLane(int64_t now, LaneView* view, std::vector<std::shared_ptr<QueueItem>>* dead)
      MAAS_REQUIRES(mu_);
  // The lane's own part of a view. REQUIRES: its front is alive.
  LaneView ViewOf(const Lane& lane) const MAAS_REQUIRES(mu_);
  // Takes at most `room` rows.
  void TakeBatch(Lane* lane, int64_t room, int64_t now, std::vector<Slice>* batch,
                 std::vector<std::shared_ptr<QueueItem>>* dead) MAAS_REQUIRES(mu_);
  // Whether the item may run.
  static bool IsReady(const QueueItem& item, int64_t now) {
    return item.death_ == Death::kNone && item.deadline_ns > now && item.leaves_ns_ > now;
  }
  // Removes the lane's first item, which is not ready: it is dead, has expired, or waited so long that its
  // policy takes it out or puts it behind the others.
  void SkipFront(Lane* lane, int64_t now, std::vector<std::shared_ptr<QueueItem>>* dead) MAAS_REQUIRES(mu_);
  // `rows` rows of an item begin to wait, or end to.
  void Enter(Lane* lane, QueueItem* item, int64_t rows) MAAS_REQUIRES(mu_);
  void Leave(Lane* lane, QueueItem* item, int64_t rows) MAAS_REQUIRES(mu_);
  // Marks what is left of a waiting item as not to be run. True: nothing of it is out.
  bool Kill(Lane* lane, QueueItem* item, Death why) MAAS_REQUIRES(mu_);
  LoadView Load(int64_t now, int64_t rows) const MAAS_REQUIRES(mu_);
  // T(n) of the next batch when `rows` wait; 0 when nothing is known. Unit: nanoseconds.
  int64_t EstimateRun(int64_t rows) const MAAS_REQUIRES(mu_);
  // Forgets dead items, and the lanes that held only such, once most of what the lanes hold is dead.
  void Compact() MAAS_REQUIRES(mu_);

  // Constant after construction.
  const Options options_;
  const bool prioritized_;  // The priorities make a difference.
  const Clock* const clock_;

  Mutex mu_;
  CondVar wake_;
  Lanes lanes_ MAAS_GUARDED_BY(mu_);
  int64_t rows_ MAAS_GUARDED_BY(mu_) = 0;      // Waiting and alive, over all lanes.
  int64_t requests_ MAAS_GUARDED_BY(mu_) = 0;  // Waiting and alive, over all lanes.
  int64_t dead_in_lanes_ MAAS_GUARDED_BY(mu_) = 0;
  int64_t outstanding_ MAAS_GUARDED_BY(mu_) = 0;             // Accepted and not answered.
  int64_t earliest_deadline_ MAAS_GUARDED_BY(mu_) = kNever;  // Not later than that of anything that waits.
  int64_t earliest_leave_ MAAS_GUARDED_BY(mu_) = kNever;     // Not later than that of anything that waits.
  std::unordered_map<uint64_t, int64_t> requests_of_level_ MAAS_GUARDED_BY(mu_);  // None is 0.
  int waiters_ MAAS_GUARDED_BY(mu_) = 0;
  // How many must wait before a push wakes a waiter. More than 1 only while a waiter sleeps that wakes by
  // itself.
  int64_t wake_requests_ MAAS_GUARDED_BY(mu_) = 1;
  int64_t wake_until_ MAAS_GUARDED_BY(mu_) = kNever;    // When that waiter wakes by itself.
  int64_t gather_began_ MAAS_GUARDED_BY(mu_) = -1;      // When a gathering began; -1: none is under way.
  int64_t gather_from_ MAAS_GUARDED_BY(mu_) = 0;        // Requests that would have run then.
  int64_t signalled_ns_ MAAS_GUARDED_BY(mu_) = kNever;  // When a push last woke a sleeping instance.
  GatherMemory memory_ MAAS_GUARDED_BY(mu_);
  LoadMeter meter_ MAAS_GUARDED_BY(mu_);
  RunCurve curve_ MAAS_GUARDED_BY(mu_);
  bool closed_ MAAS_GUARDED_BY(mu_) = false;  // Goes false -> true once.
};

}  // namespace maas
