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

BatchQueue::BatchQueue(Options options, const Clock* clock) : options_(std::move(options)), clock_(clock) {}

PushResult BatchQueue::Push(const std::shared_ptr<QueueItem>& item) {
  MutexLock lock(&mu_);
  if (closed_) return PushResult::kClosed;
  if (rows_ > 0 && rows_ + item->rows > options_.max_queue_rows) return PushResult::kFull;
  Lane& lane = lanes_[item->lane_key];
  item->waiting_ = true;
  lane.rows += item->rows;
  ++lane.requests;
  rows_ += item->rows;
  ++requests_;
  ++outstanding_;
  earliest_deadline_ = std::min(earliest_deadline_, item->deadline_ns);
  lane.items.push_back(item);
  meter_.OnArrival(item->accepted_ns, outstanding_);
  if (meter_.WantsCpu(item->accepted_ns) && options_.process_cpu_ns) {
    meter_.OnCpu(item->accepted_ns, options_.process_cpu_ns(), options_.cpus);
  }
  // An instance that waits for company is left asleep until enough wait for it, a batch is full, or a
  // deadline presses.
  if (waiters_ == 0) return PushResult::kOk;
  const bool presses = LastStart(item->deadline_ns, EstimateRun(lane.rows), meter_.WakeLag()) < wake_until_;
  if (requests_ >= wake_requests_ || lane.rows >= options_.batch.max_batch_rows || item->solo || presses) {
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
  const auto lane = PickLane(now, dead);
  LaneView view;
  bool at_once = closed_;
  if (lane != lanes_.end()) {
    const QueueItem& front = *lane->second.items.front();
    view = {lane->second.rows, lane->second.requests, front.accepted_ns, requests_, earliest_deadline_};
    at_once = at_once || front.solo || front.retry_;
  }
  Decision decision{Action::kRun};
  if (view.requests == 0 || !at_once) {
    decision = closed_ ? Decision{}
                       : DecideBatch(options_.batch, view, Load(now, view.rows), memory_, gather_began_, now);
  }
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
  TakeBatch(lane, now, batch, dead);
  return decision;
}

BatchQueue::Lanes::iterator BatchQueue::PickLane(int64_t now, std::vector<std::shared_ptr<QueueItem>>* dead) {
  auto best = lanes_.end();
  int64_t best_due = 0;
  for (auto it = lanes_.begin(); it != lanes_.end();) {
    Lane& lane = it->second;
    while (!lane.items.empty()) {
      QueueItem* front = lane.items.front().get();
      const bool alive = front->death_ == Death::kNone;
      if (alive && front->deadline_ns > now) break;
      if (alive && Kill(&lane, front, Death::kExpired)) dead->push_back(lane.items.front());
      --dead_in_lanes_;
      lane.items.pop_front();
    }
    if (lane.items.empty()) {
      // The lane of a model with one shape is used again at once; others may never be.
      if (it->first.empty()) {
        ++it;
      } else {
        it = lanes_.erase(it);
      }
      continue;
    }
    const QueueItem& front = *lane.items.front();
    const bool at_once = lane.rows >= options_.batch.max_batch_rows || front.solo || front.retry_;
    const int64_t due = front.accepted_ns + (at_once ? 0 : options_.batch.max_queue_delay_ns);
    if (best == lanes_.end() || due < best_due) {
      best = it;
      best_due = due;
    }
    ++it;
  }
  return best;
}

void BatchQueue::TakeBatch(Lanes::iterator lane_it, int64_t now, std::vector<Slice>* batch,
                           std::vector<std::shared_ptr<QueueItem>>* dead) {
  Lane& lane = lane_it->second;
  int64_t room = options_.batch.max_batch_rows;
  while (!lane.items.empty()) {
    const std::shared_ptr<QueueItem>& front = lane.items.front();
    const bool expired = front->death_ == Death::kNone && front->deadline_ns <= now;
    if (expired && Kill(&lane, front.get(), Death::kExpired)) dead->push_back(front);
    if (front->death_ != Death::kNone) {
      --dead_in_lanes_;
      lane.items.pop_front();
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
    room -= take;
    lane.rows -= take;
    rows_ -= take;
    if (front->taken_ == front->rows) {
      front->waiting_ = false;
      --lane.requests;
      --requests_;
      lane.items.pop_front();
    }
    if (alone || room <= 0) break;
  }
  if (requests_ > 0 && waiters_ > 0) wake_.Signal();
}

bool BatchQueue::Kill(Lane* lane, QueueItem* item, Death why) {
  assert(item->waiting_ && item->death_ == Death::kNone);
  const int64_t left = item->rows - item->taken_;
  lane->rows -= left;
  --lane->requests;
  rows_ -= left;
  --requests_;
  ++dead_in_lanes_;
  item->death_ = why;
  item->waiting_ = false;
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
    item.waiting_ = true;
    lane.rows += item.rows;
    ++lane.requests;
    rows_ += item.rows;
    ++requests_;
    earliest_deadline_ = std::min(earliest_deadline_, item.deadline_ns);
    lane.items.push_front(*it);
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
  if (earliest_deadline_ > now) return;
  int64_t earliest = kNever;
  for (auto& [key, lane] : lanes_) {
    for (const auto& item : lane.items) {
      if (item->death_ != Death::kNone) continue;
      if (item->deadline_ns > now) {
        earliest = std::min(earliest, item->deadline_ns);
      } else if (Kill(&lane, item.get(), Death::kExpired)) {
        dead->push_back(item);
      }
    }
  }
  earliest_deadline_ = earliest;
  Compact();
}

void BatchQueue::Compact() {
  if (dead_in_lanes_ < kTolerableDead || dead_in_lanes_ < requests_) return;
  for (auto& [key, lane] : lanes_) {
    std::erase_if(lane.items, [](const auto& item) { return item->death_ != Death::kNone; });
  }
  std::erase_if(lanes_, [](const auto& lane) { return lane.second.items.empty(); });
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
    for (const auto& item : lane.items) {
      if (item->death_ == Death::kNone && Kill(&lane, item.get(), Death::kAborted)) dead->push_back(item);
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
