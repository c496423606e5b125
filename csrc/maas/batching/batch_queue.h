// The bounded queue of one model version: requests in, batches out.
//
// Requests wait in lanes, one per shape bucket; a batch is taken from one lane, in the order of service that
// Lane gives: by priority level, tenants sharing, the earliest deadline first, and what has none last, but
// for a tenth of the rows that it is owed while it waits. Which lane is next: ComesBefore(). Which of its
// requests make the batch: ChooseBatch(). Which queue of the device runs next: Device. An item with more rows
// than a batch holds is handed out in slices, maybe to several instances at once. Each slice is a batch of
// its own, so that the failure of one is nobody else's.
//
// Deadlines. While T(n) is known and predictions come true, a new item that would not be answered in time, or
// would make an earlier one late, is refused (kLate), and one that becomes hopeless leaves unrun. Otherwise
// the queue runs whatever waits, and only what expired leaves.
//
// Ownership: shares its items with whoever submitted them; never looks at payloads.
// Threads: every method may be called from any thread. Push() never blocks; Pop() does. The mutex is that of
// the device.
// Invariants: (1) waiting rows with a deadline, and those without, are each <= max_queue_rows, but for one
// item larger than that when there is no other of its kind, and for items that Requeue() brought back. (2)
// After Close(), nothing new enters. (3) Of every pushed item each row is handed out at most once, or the
// item is reported dead exactly once with no slice of it out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/mutex.h"
#include "maas/batching/batch_choice.h"
#include "maas/batching/batch_policy.h"
#include "maas/batching/device.h"
#include "maas/batching/fair_share.h"
#include "maas/batching/lane.h"
#include "maas/batching/latency_curves.h"
#include "maas/batching/load_meter.h"
#include "maas/batching/queue_policy.h"
#include "maas/batching/rate_meter.h"

namespace maas {

// Why what was left of an item was dropped. kTimedOut: by its queue policy, before any of it ran. kHopeless:
// its deadline could not be met any more.
enum class Death : uint8_t { kNone, kCancelled, kExpired, kHopeless, kTimedOut, kAborted };

// What the queue knows of a request; the request derives from it.
struct QueueItem {
  virtual ~QueueItem() = default;

  // Set before Push(), constant afterwards.
  std::string lane_key;
  int64_t rows = 1;
  bool solo = false;     // Runs alone and unsplit.
  std::string size_key;  // The bucket of T(n) that tells its time.
  int64_t accepted_ns = 0;
  int64_t deadline_ns = kNever;  // When the caller stops waiting.
  int64_t due_ns = kNever;       // When the answer must be ready for that; at most deadline_ns.
  uint64_t priority = 0;         // As LevelOf() takes it.
  int64_t timeout_ns = 0;        // The request's own, as WaitsUntil() takes it.
  TenantId tenant = 0;
  double weight = 1;  // The tenant's.

  // The n of T(n) that it counts as.
  int64_t curve_rows() const { return solo ? 1 : rows; }

  // Set by Push(): from acceptance to the answer, as predicted; 0: nothing is known. With kLate: what was
  // predicted for it.
  int64_t predicted_ns = 0;

 private:
  friend class BatchQueue;
  // Guarded by the queue's mutex.
  Lane::Place place_;       // In its lane; the rank is twice its level, and one more once it was put behind.
  int64_t taken_ = 0;       // Rows handed out.
  int64_t finished_ = 0;    // Rows whose slices came back.
  int32_t slices_out_ = 0;  // Handed out and not back.
  bool waiting_ = false;    // In a lane.
  bool delays_ = false;     // At leaves_ns_ it is put behind the others of its level instead of leaving.
  bool gone_ = false;       // Its caller went away while it ran.
  int64_t leaves_ns_ = kNever;  // Until when it may wait to begin.
  Death death_ = Death::kNone;
};

struct Slice {
  std::shared_ptr<QueueItem> item;
  int64_t begin = 0;
  int64_t rows = 0;
};

// A run from Pop() to EndRun().
struct RunTicket {
  uint64_t instance = 0;  // Given to Pop(), comes back from Cancel().
  uint64_t number = 0;    // 0: none.
  int64_t rows = 0;
  int64_t predicted_ns = 0;  // Typically; 0: nothing was known.
  int64_t high_ns = 0;       // Seldom more.
  int64_t started_ns = 0;
  std::string size_key;  // Of its items.
  bool solo = false;
};

// A run whose callers have all gone.
struct Interrupt {
  uint64_t instance = 0;
  uint64_t number = 0;
};

// kLevelFull: as many requests of its priority level wait as may. kLate: it, or one before it, could not be
// answered in time.
enum class PushResult : uint8_t { kOk, kFull, kLevelFull, kLate, kClosed };

class BatchQueue {
 public:
  struct Options {
    BatchOptions batch;
    PriorityOptions priorities{};
    int64_t max_queue_rows = 4096;
    int cpus = 1;                               // That the process may use at once; for LoadMeter.
    std::function<int64_t()> process_cpu_ns{};  // CPU time of the process; empty: CPU counts as scarce.
    std::shared_ptr<Device> device{};           // Null: one of its own that runs whatever it is given.
    double weight = 1;                          // Among the queues of the device.
    int threads = 1;                            // That compute in a run.
  };
  // Of the rows that are taken while requests without a deadline wait, so many are theirs.
  static constexpr double kUntimedShare = 0.1;
  // Each item that was accepted with a deadline and expires or becomes hopeless in the queue makes
  // predictions of waits longer by kCautionStep; in kCautionNs without any, a third of that is left.
  static constexpr double kCautionStep = 0.01;
  static constexpr double kMostCaution = 3;
  static constexpr double kCautionNs = 3e9;
  // Rows without a deadline are owed at most so many batches.
  static constexpr int64_t kMostOwedBatches = 2;

  // `clock` is not owned and outlives this.
  BatchQueue(Options options, const Clock* clock);
  ~BatchQueue();
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;

  // kOk: the queue shares *item from now on. Otherwise *item is as it was but for predicted_ns; kFull,
  // kLevelFull, kLate: retry later; kClosed: never. REQUIRES: accepted_ns set and not pushed before.
  PushResult Push(const std::shared_ptr<QueueItem>& item) MAAS_EXCLUDES(device_->mu());

  // Blocks until there is a batch or somebody died waiting; false once the queue is closed and empty.
  // *batch: slices of one lane, at most max_batch_rows rows in all (more only for a solo item). *dead: items
  // that expired, timed out or became hopeless, to be completed by the caller. Both are overwritten; not both
  // are empty when true is returned. With a batch, *ticket is to be given to EndRun(), exactly once.
  bool Pop(std::vector<Slice>* batch, std::vector<std::shared_ptr<QueueItem>>* dead, RunTicket* ticket)
      MAAS_EXCLUDES(device_->mu());

  // One step of Pop() without the wait: what it would do at `now`.
  Decision Step(int64_t now, std::vector<Slice>* batch, std::vector<std::shared_ptr<QueueItem>>* dead,
                RunTicket* ticket) MAAS_EXCLUDES(device_->mu());

  // The run of a batch is over: it took `run_ns` (-1: it failed), of which the thread computed for `cpu_ns`
  // (-1: not measured). One that failed tells about T(n) only if it was ended because nobody waited for it
  // any more, and not before half of its predicted time had passed.
  void EndRun(const RunTicket& ticket, int64_t run_ns, int64_t cpu_ns) MAAS_EXCLUDES(device_->mu());

  // A slice came back. True for the one call that finds the item whole, or dead with nothing out: that caller
  // completes it.
  bool Return(const Slice& slice) MAAS_EXCLUDES(device_->mu());

  // Puts items that were handed out whole back at the front, each to run alone, because their batch failed
  // and one of them may be to blame for all. Works on a closed queue. *gone: those whose callers went away
  // meanwhile, which are not put back; the caller completes them.
  void Requeue(const std::vector<std::shared_ptr<QueueItem>>& items,
               std::vector<std::shared_ptr<QueueItem>>* gone) MAAS_EXCLUDES(device_->mu());
  // What still waits of an item, of which slices are out, is not to run.
  void Abandon(QueueItem* item) MAAS_EXCLUDES(device_->mu());
  // Whether the item came back once: the next failure is its own.
  bool IsRetry(const QueueItem& item) MAAS_EXCLUDES(device_->mu());
  // Whether its caller went away while it ran.
  bool IsGone(const QueueItem& item) MAAS_EXCLUDES(device_->mu());

  // Why what was left of it was dropped; kNone: it was not.
  Death DeathOf(const QueueItem& item) MAAS_EXCLUDES(device_->mu());

  // The caller went away. True: the item left unrun and the caller of Cancel() completes it. False: it is
  // running or done, and is completed elsewhere; runs that nobody waits for any more are added to
  // *interrupts, each once.
  bool Cancel(QueueItem* item, std::vector<Interrupt>* interrupts) MAAS_EXCLUDES(device_->mu());
  // Takes out what has expired, timed out or become hopeless by `now`; the caller completes it.
  void TakeExpired(int64_t now, std::vector<std::shared_ptr<QueueItem>>* dead) MAAS_EXCLUDES(device_->mu());

  // Nothing new enters; Pop() hands out the rest and then returns false.
  void Close() MAAS_EXCLUDES(device_->mu());
  // Takes out everything that waits; the caller completes it. What has slices out is completed by Return()'s
  // caller.
  void TakeAll(std::vector<std::shared_ptr<QueueItem>>* dead) MAAS_EXCLUDES(device_->mu());

  // A run of `rows` rows took `ns` when it was measured at load.
  void SeedRun(int64_t rows, int64_t ns) MAAS_EXCLUDES(device_->mu());
  // How long a new request would wait, as far as T(n) tells. Unit: nanoseconds.
  int64_t EstimateWait() MAAS_EXCLUDES(device_->mu());
  // `n` accepted items were answered.
  void OnAnswered(int64_t n) MAAS_EXCLUDES(device_->mu());
  int64_t waiting_rows() MAAS_EXCLUDES(device_->mu());

  // How requests are scheduled at `now`.
  struct Scheduling {
    bool predictive = true;    // Predictions are acted upon.
    uint64_t lapses = 0;       // How often they ceased to be.
    int64_t predicted_ns = 0;  // Until a request of one row that came now would be answered; 0: not known.
    double headroom = 1;       // Share of what can be served that nobody asks for.
    double device_idle = 1;    // Device::Idle().
  };
  Scheduling ReadScheduling(int64_t now) MAAS_EXCLUDES(device_->mu());
  struct BucketCurve {
    std::string size_key;
    std::vector<LatencyCurve::Point> points;
  };
  std::vector<BucketCurve> ReadCurves() MAAS_EXCLUDES(device_->mu());

 private:
  using Lanes = std::unordered_map<std::string, Lane>;
  using Items = std::vector<std::shared_ptr<QueueItem>>;
  // A run under way, and whose it is.
  struct ActiveRun {
    Interrupt id;
    std::vector<const QueueItem*> items;
  };

  Decision StepLocked(int64_t now, std::vector<Slice>* batch, Items* dead, RunTicket* ticket)
      MAAS_REQUIRES(device_->mu());
  // The lane that runs next, with nothing at its front that may not run, and *view of it; null when nothing
  // waits. order_ is that of the lane.
  Lane* PickLane(int64_t now, LaneView* view, Items* dead) MAAS_REQUIRES(device_->mu());
  // Writes order_, without whom may not run any more at its front: those go to *dead.
  void OrderLane(Lane* lane, int64_t now, Items* dead) MAAS_REQUIRES(device_->mu());
  // The lane's own part of a view. REQUIRES: order_ is that of the lane and not empty.
  LaneView ViewOf(const Lane& lane, int64_t now) MAAS_REQUIRES(device_->mu());
  // Chooses from order_ and hands out; at most `room` rows. Nothing, if all that it looked at is hopeless.
  void TakeBatch(Lane* lane, int64_t room, int64_t now, std::vector<Slice>* batch, Items* dead)
      MAAS_REQUIRES(device_->mu());
  // The most rows of a batch from the tier. While a tenant asks for more than there is, the largest batches
  // would serve only that one better, and all others later.
  int64_t MostRows(const Lane& lane, uint64_t rank, const LatencyCurve& curve) const
      MAAS_REQUIRES(device_->mu());
  // The part of order_ that makes the batch; hopeless items go to *dead.
  void Choose(Lane* lane, int64_t room, int64_t now, Items* dead,
              std::vector<std::shared_ptr<QueueItem>>* chosen) MAAS_REQUIRES(device_->mu());
  void HandOut(Lane* lane, const std::shared_ptr<QueueItem>& item, int64_t rows, std::vector<Slice>* batch)
      MAAS_REQUIRES(device_->mu());
  // What the device is to know of a batch of up to `rows` rows, whose first is lost unless it runs alone by
  // `last_moment_ns`.
  DueBatch DueOf(const LatencyCurve& curve, int64_t rows, int64_t last_moment_ns) const
      MAAS_REQUIRES(device_->mu());
  void StartRun(const std::vector<Slice>& batch, int64_t now, RunTicket* ticket) MAAS_REQUIRES(device_->mu());
  // Whether the item may run.
  static bool IsReady(const QueueItem& item, int64_t now) {
    return item.deadline_ns > now && item.leaves_ns_ > now;
  }
  // Until when the item can be answered in time if it runs alone, as far as T(n) is firm at `now`; else when
  // it expires.
  int64_t LastMoment(const QueueItem& item, int64_t now) const MAAS_REQUIRES(device_->mu());
  // It may not: it has expired, or waited so long that its policy takes it out or puts it behind the others.
  void Skip(Lane* lane, const std::shared_ptr<QueueItem>& item, int64_t now, Items* dead)
      MAAS_REQUIRES(device_->mu());
  // Whether the callers of all of them have gone.
  static bool NobodyWaits(const std::vector<const QueueItem*>& items);
  // `rows` rows of an item begin to wait, or end to.
  void Enter(Lane* lane, const std::shared_ptr<QueueItem>& item, int64_t rows) MAAS_REQUIRES(device_->mu());
  void Leave(Lane* lane, QueueItem* item, int64_t rows) MAAS_REQUIRES(device_->mu());
  // Takes what is left of a waiting item out of its lane, not to be run. True: nothing of it is out.
  bool Kill(Lane* lane, QueueItem* item, Death why) MAAS_REQUIRES(device_->mu());
  LoadView Load(int64_t now, int64_t rows, const LatencyCurve& curve) const MAAS_REQUIRES(device_->mu());
  // T(n) of the next batch when `rows` wait; 0 when nothing is known. Unit: nanoseconds.
  int64_t EstimateRun(int64_t rows, const LatencyCurve& curve) const MAAS_REQUIRES(device_->mu());
  // Whether the item, or one that it would go before, cannot be answered in time; sets predicted_ns.
  bool WouldBeLate(const Lane& lane, QueueItem* item) MAAS_REQUIRES(device_->mu());
  double Caution(int64_t now) const MAAS_REQUIRES(device_->mu());
  // What of its lane comes before the item.
  int64_t RowsAhead(const Lane& lane, const QueueItem& item) const MAAS_REQUIRES(device_->mu());
  // The bucket of its items.
  static const std::string& SizeKeyOf(const Lane& lane);
  // How long solo items take on average; those of `otherwise` if none ran.
  int64_t MeanSolo(const LatencyCurve& otherwise) const MAAS_REQUIRES(device_->mu());
  Ahead AheadOf(const Lane& lane, const QueueItem& item, const LatencyCurve& curve) const
      MAAS_REQUIRES(device_->mu());

  // Constant after construction.
  const Options options_;
  const bool prioritized_;  // The priorities make a difference.
  const Clock* const clock_;
  const std::shared_ptr<Device> device_;

  CondVar wake_;
  Device::Member* member_ MAAS_GUARDED_BY(device_->mu());
  Lanes lanes_ MAAS_GUARDED_BY(device_->mu());
  FairShare fair_ MAAS_GUARDED_BY(device_->mu());
  int64_t arrivals_ MAAS_GUARDED_BY(device_->mu()) = 0;      // Pushed so far: the order of arrival.
  int64_t rows_ MAAS_GUARDED_BY(device_->mu()) = 0;          // Waiting, over all lanes.
  int64_t requests_ MAAS_GUARDED_BY(device_->mu()) = 0;      // Waiting, over all lanes.
  int64_t untimed_rows_ MAAS_GUARDED_BY(device_->mu()) = 0;  // Those of them without a deadline.
  // Waits turn out so much longer than T(n) says: for what predictions do not see, such as requests that come
  // later and go first. At least 1.
  double caution_ MAAS_GUARDED_BY(device_->mu()) = 1;
  int64_t caution_at_ MAAS_GUARDED_BY(device_->mu()) = 0;   // When it was that.
  double owed_ MAAS_GUARDED_BY(device_->mu()) = 0;          // Rows without a deadline that may go first.
  int64_t outstanding_ MAAS_GUARDED_BY(device_->mu()) = 0;  // Accepted and not answered.
  // Not later than when anything that waits expires or becomes hopeless.
  int64_t earliest_due_ MAAS_GUARDED_BY(device_->mu()) = kNever;
  int64_t earliest_leave_ MAAS_GUARDED_BY(device_->mu()) =
      kNever;  // Not later than that of anything that waits.
  std::unordered_map<uint64_t, int64_t> requests_of_level_ MAAS_GUARDED_BY(device_->mu());  // None is 0.
  int64_t timed_requests_ MAAS_GUARDED_BY(device_->mu()) = 0;  // Waiting, with a deadline.
  // Of the runs of solo items, the later the more.
  double solo_mean_ns_ MAAS_GUARDED_BY(device_->mu()) = 0;
  std::vector<ActiveRun> active_ MAAS_GUARDED_BY(device_->mu());
  std::vector<Lane::Standing> order_ MAAS_GUARDED_BY(device_->mu());  // Scratch, as are the next two.
  std::vector<Waiting> waiting_ MAAS_GUARDED_BY(device_->mu());
  Items chosen_ MAAS_GUARDED_BY(device_->mu());
  int waiters_ MAAS_GUARDED_BY(device_->mu()) = 0;
  bool in_line_ MAAS_GUARDED_BY(device_->mu()) = false;  // A batch is due and the device is not free.
  // How many must wait before a push wakes a waiter. More than 1 only while a waiter sleeps that wakes by
  // itself.
  int64_t wake_requests_ MAAS_GUARDED_BY(device_->mu()) = 1;
  int64_t wake_until_ MAAS_GUARDED_BY(device_->mu()) = kNever;  // When that waiter wakes by itself.
  int64_t gather_began_ MAAS_GUARDED_BY(device_->mu()) =
      -1;                                                   // When a gathering began; -1: none is under way.
  int64_t gather_from_ MAAS_GUARDED_BY(device_->mu()) = 0;  // Requests that would have run then.
  int64_t signalled_ns_ MAAS_GUARDED_BY(device_->mu()) =
      kNever;  // When a push last woke a sleeping instance.
  GatherMemory memory_ MAAS_GUARDED_BY(device_->mu());
  LoadMeter meter_ MAAS_GUARDED_BY(device_->mu());
  RateMeter demand_ MAAS_GUARDED_BY(device_->mu());        // Rows asked for.
  RateMeter timed_demand_ MAAS_GUARDED_BY(device_->mu());  // Those of them with a deadline.
  LatencyCurves curves_ MAAS_GUARDED_BY(device_->mu());
  bool closed_ MAAS_GUARDED_BY(device_->mu()) = false;  // Goes false -> true once.
};

}  // namespace maas
