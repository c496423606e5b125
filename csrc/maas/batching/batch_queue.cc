#include "maas/batching/batch_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace maas {
namespace {

// Dead items are forgotten lazily; this many are not worth a pass over the lanes.
constexpr int64_t kTolerableDead = 64;
// Sleeping is cut to this, far from where clocks overflow.
constexpr int64_t kLongestSleepNs = int64_t{3'600} * 1'000'000'000;

}  // namespace

BatchQueue::BatchQueue(Options options, const Clock* clock)
    : options_(std::move(options)), prioritized_(!options_.priorities.trivial()), clock_(clock) {}

PushResult BatchQueue::Push(const std::shared_ptr<QueueItem>& item) {
  MutexLock lock(&mu_);
  if (closed_) return PushResult::kClosed;
  if (rows_ > 0 && rows_ + item->rows > options_.max_queue_rows) return PushResult::kFull;
  if (prioritized_) {
    const uint64_t level = LevelOf(options_.priorities, item->priority);
    const QueuePolicy& policy = PolicyOf(options_.priorities, level);
    const auto of_level = requests_of_level_.find(level);
    const int64_t waiting = of_level == requests_of_level_.end() ? 0 : of_level->second;
    if (policy.max_queue_size > 0 && waiting >= policy.max_queue_size) return PushResult::kLevelFull;
    item->rank_ = 2 * level;
    item->delays_ = policy.timeout_action == TimeoutAction::kDelay;
    item->leaves_ns_ = WaitsUntil(policy, item->accepted_ns, item->timeout_ns);
    if (!item->delays_) earliest_leave_ = std::min(earliest_leave_, item->leaves_ns_);
  }
  Lane& lane = lanes_[item->lane_key];
  Enter(&lane, item.get(), item->rows);
  ++outstanding_;
  lane.PushBack(item->rank_, item);
  meter_.OnArrival(item->accepted_ns, outstanding_);
  if (meter_.WantsCpu(item->accepted_ns) && options_.process_cpu_ns) {
    meter_.OnCpu(item->accepted_ns, options_.process_cpu_ns(), options_.cpus);
  }
  // An instance that waits for company is left asleep until enough wait for it, a batch is full, or a
  // deadline presses.
  if (waiters_ == 0) return PushResult::kOk;
  int64_t last_start = LastStart(item->deadline_ns, EstimateRun(lane.rows), meter_.WakeLag());
  if (!item->delays_) last_start = std::min(last_start, LastBegin(item->leaves_ns_, meter_.WakeLag()));
  const auto& preferred = options_.batch.preferred_rows;
  const int64_t enough = preferred.empty() ? options_.batch.max_batch_rows : preferred.front();
  if (requests_ >= wake_requests_ || lane.rows >= enough || item->solo || last_start < wake_until_) {
    wake_.Signal();
    signalled_ns_ = item->accepted_ns;
  }
  return PushResult::kOk;
}

bool BatchQueue::Pop(std::vector<Slice>* batch, std::vector<std::shared_ptr<QueueItem>>* dead) {
  MutexLock lock(&mu_);
  while (true) {
    const int64_t now = clock_->Now();
    const Decision decision = StepLocked(now, batch, dead);
    if (!batch->empty() || !dead->empty()) return true;
    if (closed_ && requests_ == 0) return false;
    wake_requests_ = decision.wake_requests;
    wake_until_ = decision.until_ns;
    signalled_ns_ = kNever;
    ++waiters_;
    if (decision.until_ns == kNever) {
      wake_.Wait(&mu_);
    } else {
      wake_.WaitFor(&mu_, std::min(decision.until_ns - now, kLongestSleepNs));
    }
    --waiters_;
    if (const int64_t due = std::min(signalled_ns_, decision.until_ns); due != kNever) {
      meter_.OnWake(clock_->Now() - due);
    }
    // The others may sleep without an end, relying on this one to look again: while it is away, every push
    // wakes.
    wake_requests_ = 1;
  }
}

Decision BatchQueue::Step(int64_t now, std::vector<Slice>* batch,
                          std::vector<std::shared_ptr<QueueItem>>* dead) {
  MutexLock lock(&mu_);
  return StepLocked(now, batch, dead);
}

LoadView BatchQueue::Load(int64_t now, int64_t rows) const {
  LoadView load;
  load.arrivals_per_second = meter_.ArrivalRate(now);
  load.concurrency = meter_.Concurrency(now);
  load.wake_lag_ns = meter_.WakeLag();
  load.cpu_share = options_.process_cpu_ns ? meter_.CpuShare() : 1.0;
  load.run_ns = EstimateRun(rows);
  return load;
}

int64_t BatchQueue::EstimateRun(int64_t rows) const {
  return curve_.Estimate(std::max<int64_t>(std::min(rows, options_.batch.max_batch_rows), 1));
}

Decision BatchQueue::StepLocked(int64_t now, std::vector<Slice>* batch,
                                std::vector<std::shared_ptr<QueueItem>>* dead) {
  batch->clear();
  dead->clear();
  LaneView view;
  Lane* const lane = PickLane(now, &view, dead);
  const Decision decision =
      closed_ && lane == nullptr
          ? Decision{}
          : DecideBatch(options_.batch, view, Load(now, view.rows), memory_, gather_began_, now);
  if (decision.action == Action::kWait) {
    if (decision.gathering && gather_began_ < 0) {
      gather_began_ = now;
      gather_from_ = std::max<int64_t>(view.requests, 1);
    } else if (!decision.gathering && gather_began_ >= 0) {
      memory_ = AfterGather(memory_, view.requests - gather_from_);
      gather_began_ = -1;
    }
    return decision;
  }
  memory_ = gather_began_ >= 0 ? AfterGather(memory_, view.requests - gather_from_) : AfterBatch(memory_);
  gather_began_ = -1;
  TakeBatch(lane, std::min(decision.rows, options_.batch.max_batch_rows), now, batch, dead);
  return decision;
}

Lane* BatchQueue::PickLane(int64_t now, LaneView* view, std::vector<std::shared_ptr<QueueItem>>* dead) {
  Lane* best = nullptr;
  int64_t best_due = 0;
  for (auto it = lanes_.begin(); it != lanes_.end();) {
    Lane& lane = it->second;
    while (!lane.empty() && !IsReady(*lane.Front(), now)) SkipFront(&lane, now, dead);
    if (lane.empty()) {
      // The lane of a model with one shape is used again at once; others may never be.
      if (it->first.empty()) {
        ++it;
      } else {
        it = lanes_.erase(it);
      }
      continue;
    }
    const LaneView mine = ViewOf(lane);
    const int64_t due = DueAt(options_.batch, mine, meter_.WakeLag());
    if (best == nullptr || ComesBefore(mine, due, *view, best_due, now)) {
      best = &lane;
      best_due = due;
      *view = mine;
    }
    ++it;
  }
  return best;
}

LaneView BatchQueue::ViewOf(const Lane& lane) const {
  const QueueItem& front = *lane.Front();
  LaneView view{lane.rows, lane.requests, front.accepted_ns, requests_, earliest_deadline_};
  view.rank = lane.FrontRank();
  view.at_once = closed_ || front.solo || front.retry_;
  if (prioritized_) {
    // The first of each tier has waited longest in it, and leaves first but for those whose own timeout is
    // shorter; these have it as their deadline.
    for (const Lane::Tier& tier : lane.tiers()) {
      const auto first = std::find_if(tier.items.begin(), tier.items.end(),
                                      [](const auto& item) { return item->death_ == Death::kNone; });
      if (first == tier.items.end()) continue;
      view.oldest_ns = std::min(view.oldest_ns, (*first)->accepted_ns);
      if (!(*first)->delays_) view.leaves_ns = std::min(view.leaves_ns, (*first)->leaves_ns_);
    }
  }
  if (!options_.batch.preferred_rows.empty() && !view.at_once) {
    PreferredPrefix prefix(options_.batch.preferred_rows);
    bool more = true;
    for (size_t t = 0; t < lane.tiers().size() && more; ++t) {
      const auto& items = lane.tiers()[t].items;
      for (auto it = items.begin(); it != items.end() && more; ++it) {
        const QueueItem& item = **it;
        if (item.death_ != Death::kNone) continue;
        const bool alone = item.solo || item.retry_ || item.rows > options_.batch.max_batch_rows;
        more = !(alone && &item != &front) && prefix.Add(item.rows - item.taken_) && !alone;
      }
    }
    view.preferred_rows = prefix.rows();
  }
  return view;
}

void BatchQueue::SkipFront(Lane* lane, int64_t now, std::vector<std::shared_ptr<QueueItem>>* dead) {
  const std::shared_ptr<QueueItem> front = lane->Front();
  const bool timed_out = front->leaves_ns_ <= now && front->leaves_ns_ <= front->deadline_ns;
  lane->PopFront();
  if (front->death_ != Death::kNone) {
    --dead_in_lanes_;
  } else if (timed_out && front->delays_) {
    front->leaves_ns_ = kNever;
    lane->PushBack(++front->rank_, front);
  } else {
    if (Kill(lane, front.get(), timed_out ? Death::kTimedOut : Death::kExpired)) dead->push_back(front);
    --dead_in_lanes_;
  }
}

void BatchQueue::TakeBatch(Lane* lane, int64_t room, int64_t now, std::vector<Slice>* batch,
                           std::vector<std::shared_ptr<QueueItem>>* dead) {
  while (!lane->empty()) {
    const std::shared_ptr<QueueItem>& front = lane->Front();
    if (!IsReady(*front, now)) {
      SkipFront(lane, now, dead);
      continue;
    }
    const bool whole = front->solo || front->rows <= options_.batch.max_batch_rows;
    const bool alone = front->solo || front->retry_ || !whole;
    const int64_t left = front->rows - front->taken_;
    // What is not split waits for a batch that has room for all of it.
    if (!batch->empty() && (alone || left > room)) break;
    const int64_t take = whole ? left : std::min(left, room);
    batch->push_back({front, front->taken_, take});
    front->taken_ += take;
    ++front->slices_out_;
    front->leaves_ns_ = kNever;
    room -= take;
    Leave(lane, front.get(), take);
    if (!front->waiting_) lane->PopFront();
    if (alone || room <= 0) break;
  }
  if (requests_ > 0 && waiters_ > 0) wake_.Signal();
}

void BatchQueue::Enter(Lane* lane, QueueItem* item, int64_t rows) {
  item->waiting_ = true;
  lane->rows += rows;
  ++lane->requests;
  rows_ += rows;
  ++requests_;
  if (prioritized_) ++requests_of_level_[item->rank_ / 2];
  earliest_deadline_ = std::min(earliest_deadline_, item->deadline_ns);
}

void BatchQueue::Leave(Lane* lane, QueueItem* item, int64_t rows) {
  lane->rows -= rows;
  rows_ -= rows;
  if (item->death_ == Death::kNone && item->taken_ < item->rows) return;
  item->waiting_ = false;
  --lane->requests;
  --requests_;
  if (!prioritized_) return;
  const auto of_level = requests_of_level_.find(item->rank_ / 2);
  if (--of_level->second == 0) requests_of_level_.erase(of_level);
}

bool BatchQueue::Kill(Lane* lane, QueueItem* item, Death why) {
  assert(item->waiting_ && item->death_ == Death::kNone);
  item->death_ = why;
  Leave(lane, item, item->rows - item->taken_);
  ++dead_in_lanes_;
  return item->slices_out_ == 0;
}

bool BatchQueue::Return(const Slice& slice) {
  MutexLock lock(&mu_);
  QueueItem& item = *slice.item;
  --item.slices_out_;
  item.finished_ += slice.rows;
  return item.slices_out_ == 0 && (item.death_ != Death::kNone || item.finished_ == item.rows);
}

void BatchQueue::Requeue(const std::vector<std::shared_ptr<QueueItem>>& items) {
  MutexLock lock(&mu_);
  for (auto it = items.rbegin(); it != items.rend(); ++it) {
    QueueItem& item = **it;
    Lane& lane = lanes_[item.lane_key];
    item.taken_ = 0;
    item.slices_out_ = 0;
    item.retry_ = true;
    Enter(&lane, &item, item.rows);
    lane.PushFront(item.rank_, *it);
  }
  wake_.SignalAll();
}

bool BatchQueue::IsRetry(const QueueItem& item) {
  MutexLock lock(&mu_);
  return item.retry_;
}

Death BatchQueue::DeathOf(const QueueItem& item) {
  MutexLock lock(&mu_);
  return item.death_;
}

bool BatchQueue::Cancel(QueueItem* item) {
  MutexLock lock(&mu_);
  if (!item->waiting_) return false;
  const bool unrun = Kill(&lanes_[item->lane_key], item, Death::kCancelled);
  Compact();
  return unrun;
}

void BatchQueue::TakeExpired(int64_t now, std::vector<std::shared_ptr<QueueItem>>* dead) {
  dead->clear();
  MutexLock lock(&mu_);
  if (earliest_deadline_ > now && earliest_leave_ > now) return;
  int64_t earliest_deadline = kNever;
  int64_t earliest_leave = kNever;
  for (auto& [key, lane] : lanes_) {
    for (const Lane::Tier& tier : lane.tiers()) {
      for (const auto& item : tier.items) {
        if (item->death_ != Death::kNone) continue;
        const int64_t leaves = item->delays_ ? kNever : item->leaves_ns_;
        if (std::min(item->deadline_ns, leaves) > now) {
          earliest_deadline = std::min(earliest_deadline, item->deadline_ns);
          earliest_leave = std::min(earliest_leave, leaves);
          continue;
        }
        const Death why = leaves <= item->deadline_ns ? Death::kTimedOut : Death::kExpired;
        if (Kill(&lane, item.get(), why)) dead->push_back(item);
      }
    }
  }
  earliest_deadline_ = earliest_deadline;
  earliest_leave_ = earliest_leave;
  Compact();
}

void BatchQueue::Compact() {
  if (dead_in_lanes_ < kTolerableDead || dead_in_lanes_ < requests_) return;
  for (auto& [key, lane] : lanes_) {
    lane.EraseIf([](const auto& item) { return item->death_ != Death::kNone; });
  }
  std::erase_if(lanes_, [](const auto& lane) { return lane.second.empty(); });
  dead_in_lanes_ = 0;
}

void BatchQueue::Close() {
  MutexLock lock(&mu_);
  closed_ = true;
  wake_.SignalAll();
}

void BatchQueue::TakeAll(std::vector<std::shared_ptr<QueueItem>>* dead) {
  dead->clear();
  MutexLock lock(&mu_);
  for (auto& [key, lane] : lanes_) {
    for (const Lane::Tier& tier : lane.tiers()) {
      for (const auto& item : tier.items) {
        if (item->death_ == Death::kNone && Kill(&lane, item.get(), Death::kAborted)) dead->push_back(item);
      }
    }
  }
  lanes_.clear();
  dead_in_lanes_ = 0;
  wake_.SignalAll();
}

void BatchQueue::RecordRun(int64_t rows, int64_t ns) {
  MutexLock lock(&mu_);
  curve_.Record(rows, ns);
}

int64_t BatchQueue::EstimateWait() {
  MutexLock lock(&mu_);
  const int64_t max = std::max<int64_t>(options_.batch.max_batch_rows, 1);
  const int64_t batches = (rows_ + max - 1) / max;
  const double wait = static_cast<double>(batches) * static_cast<double>(curve_.Estimate(max));
  return static_cast<int64_t>(std::min(wait, static_cast<double>(RunCurve::kMostNs)));
}

void BatchQueue::OnAnswered(int64_t n) {
  MutexLock lock(&mu_);
  outstanding_ -= n;
}

int64_t BatchQueue::waiting_rows() {
  MutexLock lock(&mu_);
  return rows_;
}

}  // namespace maas
