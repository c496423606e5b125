#include "maas/batching/batch_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace maas {
namespace {

// Sleeping is cut to this, far from where clocks overflow.
constexpr int64_t kLongestSleepNs = int64_t{3'600} * 1'000'000'000;
// A device without a limit.
constexpr double kAnyNumberOfCores = 1e9;
// Of one run in the mean over solo items of all sizes.
constexpr double kSoloWeight = 0.1;

}  // namespace

BatchQueue::BatchQueue(Options options, const Clock* clock)
    : options_(std::move(options)),
      prioritized_(!options_.priorities.trivial()),
      clock_(clock),
      device_(options_.device ? options_.device : std::make_shared<Device>(kAnyNumberOfCores)) {
  MutexLock lock(&device_->mu());
  member_ = device_->Join(&wake_, options_.weight, options_.threads);
}

BatchQueue::~BatchQueue() {
  MutexLock lock(&device_->mu());
  device_->Leave(member_);
}

PushResult BatchQueue::Push(const std::shared_ptr<QueueItem>& item) {
  MutexLock lock(&device_->mu());
  if (closed_) return PushResult::kClosed;
  const int64_t now = item->accepted_ns;
  item->due_ns = std::min(item->due_ns, item->deadline_ns);
  const bool timed = item->deadline_ns != kNever;
  demand_.Add(item->curve_rows(), now);
  if (timed) timed_demand_.Add(item->curve_rows(), now);
  // Each kind for itself: those without a deadline wait behind the others, and must not keep them out.
  const int64_t of_kind = timed ? rows_ - untimed_rows_ : untimed_rows_;
  if (of_kind > 0 && of_kind + item->rows > options_.max_queue_rows) return PushResult::kFull;
  uint64_t level = 1;
  if (prioritized_) {
    level = LevelOf(options_.priorities, item->priority);
    const QueuePolicy& policy = PolicyOf(options_.priorities, level);
    const auto of_level = requests_of_level_.find(level);
    const int64_t waiting = of_level == requests_of_level_.end() ? 0 : of_level->second;
    if (policy.max_queue_size > 0 && waiting >= policy.max_queue_size) return PushResult::kLevelFull;
    item->delays_ = policy.timeout_action == TimeoutAction::kDelay;
    item->leaves_ns_ = WaitsUntil(policy, now, item->timeout_ns);
  }
  item->place_ = {2 * level, item->tenant, item->weight, timed, false, timed ? item->due_ns : ++arrivals_};
  static const Lane kEmpty;
  const auto known = lanes_.find(item->lane_key);
  if (WouldBeLate(known == lanes_.end() ? kEmpty : known->second, item.get())) return PushResult::kLate;
  // Only what is accepted makes a lane.
  Lane& lane = known == lanes_.end() ? lanes_[item->lane_key] : known->second;
  if (prioritized_ && !item->delays_) earliest_leave_ = std::min(earliest_leave_, item->leaves_ns_);
  Enter(&lane, item, item->rows);
  ++outstanding_;
  meter_.OnArrival(now, outstanding_);
  if (meter_.WantsCpu(now) && options_.process_cpu_ns) {
    meter_.OnCpu(now, options_.process_cpu_ns(), options_.cpus);
  }
  // An instance that waits for company is left asleep until enough wait for it, a batch is full, or a
  // deadline presses; one that waits for the device, until it is its turn.
  const LatencyCurve& curve = curves_.Find(item->size_key);
  if (in_line_) device_->StandInLine(member_, DueOf(curve, lane.rows, earliest_due_), now);
  if (waiters_ == 0 || in_line_) return PushResult::kOk;
  int64_t last_start = LastStart(item->due_ns, EstimateRun(lane.rows, curve), meter_.WakeLag());
  if (!item->delays_) last_start = std::min(last_start, LastBegin(item->leaves_ns_, meter_.WakeLag()));
  const auto& preferred = options_.batch.preferred_rows;
  const int64_t enough = preferred.empty() ? options_.batch.max_batch_rows : preferred.front();
  if (requests_ >= wake_requests_ || lane.rows >= enough || item->solo || last_start < wake_until_) {
    wake_.Signal();
    signalled_ns_ = now;
  }
  return PushResult::kOk;
}

bool BatchQueue::Pop(std::vector<Slice>* batch, Items* dead, RunTicket* ticket) {
  MutexLock lock(&device_->mu());
  while (true) {
    const int64_t now = clock_->Now();
    const Decision decision = StepLocked(now, batch, dead, ticket);
    if (!batch->empty() || !dead->empty()) {
      // Another instance may sleep in line; this one does not see to it that it is woken.
      if (!in_line_) wake_requests_ = 1;
      return true;
    }
    if (closed_ && requests_ == 0) {
      // Others may sleep in line for a batch that is gone.
      wake_.SignalAll();
      return false;
    }
    // What there was to run was lost, and is completed when its other slices are back.
    if (decision.action == Action::kRun) continue;
    wake_requests_ = decision.wake_requests;
    wake_until_ = decision.until_ns;
    signalled_ns_ = kNever;
    ++waiters_;
    if (decision.until_ns == kNever) {
      wake_.Wait(&device_->mu());
    } else {
      wake_.WaitFor(&device_->mu(), std::clamp<int64_t>(decision.until_ns - now, 0, kLongestSleepNs));
    }
    --waiters_;
    if (const int64_t due = std::min(signalled_ns_, in_line_ ? kNever : decision.until_ns); due != kNever) {
      meter_.OnWake(clock_->Now() - due);
    }
    // The others may sleep without an end, relying on this one to look again: while it is away, every push
    // wakes.
    wake_requests_ = 1;
    in_line_ = false;
  }
}

Decision BatchQueue::Step(int64_t now, std::vector<Slice>* batch, Items* dead, RunTicket* ticket) {
  MutexLock lock(&device_->mu());
  return StepLocked(now, batch, dead, ticket);
}

Decision BatchQueue::StepLocked(int64_t now, std::vector<Slice>* batch, Items* dead, RunTicket* ticket) {
  batch->clear();
  dead->clear();
  ticket->number = 0;
  in_line_ = false;
  LaneView view;
  Lane* const lane = PickLane(now, &view, dead);
  const LatencyCurve& curve =
      curves_.Find(lane == nullptr ? std::string() : (*order_.front().item)->size_key);
  Decision decision =
      closed_ && lane == nullptr
          ? Decision{}
          : DecideBatch(options_.batch, view, Load(now, view.rows, curve), memory_, gather_began_, now);
  if (decision.action == Action::kWait) {
    if (decision.gathering && gather_began_ < 0) {
      gather_began_ = now;
      gather_from_ = std::max<int64_t>(view.requests, 1);
    } else if (!decision.gathering && gather_began_ >= 0) {
      memory_ = AfterGather(memory_, view.requests - gather_from_);
      gather_began_ = -1;
    }
    device_->Withdraw(member_, now);
    return decision;
  }
  if (!device_->MayStart(member_, DueOf(curve, view.rows, view.last_start_ns), now)) {
    in_line_ = true;
    return {Action::kWait, device_->LookAgainAt(now), INT64_MAX, false};
  }
  memory_ = gather_began_ >= 0 ? AfterGather(memory_, view.requests - gather_from_) : AfterBatch(memory_);
  gather_began_ = -1;
  TakeBatch(lane, std::min(decision.rows, options_.batch.max_batch_rows), now, batch, dead);
  if (batch->empty()) {
    device_->Withdraw(member_, now);
  } else {
    StartRun(*batch, now, ticket);
  }
  if (requests_ > 0 && waiters_ > 0) wake_.Signal();
  return decision;
}

DueBatch BatchQueue::DueOf(const LatencyCurve& curve, int64_t rows, int64_t last_moment_ns) const {
  DueBatch due{last_moment_ns, 0, rows >= options_.batch.max_batch_rows};
  if (!curve.known()) return due;
  due.run_ns = curve.High(std::clamp<int64_t>(rows, 1, options_.batch.max_batch_rows));
  if (last_moment_ns != kNever) due.last_start_ns -= due.run_ns - curve.Typical(1);
  return due;
}

void BatchQueue::StartRun(const std::vector<Slice>& batch, int64_t now, RunTicket* ticket) {
  ticket->rows = 0;
  ActiveRun run;
  run.items.reserve(batch.size());
  for (const Slice& slice : batch) {
    ticket->rows += slice.item->solo ? 1 : slice.rows;
    run.items.push_back(slice.item.get());
  }
  ticket->started_ns = now;
  ticket->size_key = batch.front().item->size_key;
  ticket->solo = batch.front().item->solo;
  const LatencyCurve& curve = curves_.Find(ticket->size_key);
  ticket->predicted_ns = curve.known() ? curve.Typical(ticket->rows) : 0;
  ticket->high_ns = curve.known() ? curve.High(ticket->rows) : 0;
  ticket->number = device_->OnStart(member_, ticket->predicted_ns, now);
  run.id = {ticket->instance, ticket->number};
  active_.push_back(std::move(run));
}

void BatchQueue::EndRun(const RunTicket& ticket, int64_t run_ns, int64_t cpu_ns) {
  MutexLock lock(&device_->mu());
  const int64_t now = clock_->Now();
  // This instance has answers to send before it asks for the next batch.
  if (requests_ > 0)
    device_->StandInLine(member_, DueOf(curves_.Find(ticket.size_key), rows_, earliest_due_), now);
  device_->OnEnd(member_, ticket.number, cpu_ns, now);
  const auto run = std::find_if(active_.begin(), active_.end(),
                                [&ticket](const ActiveRun& each) { return each.id.number == ticket.number; });
  if (run == active_.end()) return;
  if (run_ns < 0 && NobodyWaits(run->items)) {
    // It would have taken longer than that. What was ended early says nothing.
    const int64_t took_ns = now - ticket.started_ns;
    if (took_ns > ticket.predicted_ns / 2) run_ns = std::max(took_ns, ticket.predicted_ns);
  }
  active_.erase(run);
  if (run_ns < 0) return;
  if (ticket.solo) {
    const auto ns = static_cast<double>(run_ns);
    solo_mean_ns_ = solo_mean_ns_ == 0 ? ns : solo_mean_ns_ + kSoloWeight * (ns - solo_mean_ns_);
  }
  curves_.Record(ticket.size_key, ticket.rows, ticket.predicted_ns, ticket.high_ns, run_ns, now);
}

bool BatchQueue::NobodyWaits(const std::vector<const QueueItem*>& items) {
  return std::all_of(items.begin(), items.end(), [](const QueueItem* each) { return each->gone_; });
}

bool BatchQueue::Return(const Slice& slice) {
  MutexLock lock(&device_->mu());
  QueueItem& item = *slice.item;
  --item.slices_out_;
  item.finished_ += slice.rows;
  return item.slices_out_ == 0 && (item.death_ != Death::kNone || item.finished_ == item.rows);
}

void BatchQueue::Requeue(const Items& items, Items* gone) {
  gone->clear();
  MutexLock lock(&device_->mu());
  for (const auto& item : items) {
    if (item->gone_) {
      gone->push_back(item);
      continue;
    }
    item->taken_ = 0;
    item->slices_out_ = 0;
    item->place_.again = true;
    Enter(&lanes_[item->lane_key], item, item->rows);
  }
  wake_.SignalAll();
}

void BatchQueue::Abandon(QueueItem* item) {
  MutexLock lock(&device_->mu());
  if (item->waiting_) Kill(&lanes_[item->lane_key], item, Death::kCancelled);
}

bool BatchQueue::IsRetry(const QueueItem& item) {
  MutexLock lock(&device_->mu());
  return item.place_.again;
}

bool BatchQueue::IsGone(const QueueItem& item) {
  MutexLock lock(&device_->mu());
  return item.gone_;
}

Death BatchQueue::DeathOf(const QueueItem& item) {
  MutexLock lock(&device_->mu());
  return item.death_;
}

bool BatchQueue::Cancel(QueueItem* item, std::vector<Interrupt>* interrupts) {
  MutexLock lock(&device_->mu());
  const bool unrun = item->waiting_ && Kill(&lanes_[item->lane_key], item, Death::kCancelled);
  if (item->slices_out_ == 0 || item->gone_) return unrun;
  item->gone_ = true;
  for (const ActiveRun& run : active_) {
    const auto& items = run.items;
    if (std::find(items.begin(), items.end(), item) == items.end()) continue;
    if (NobodyWaits(items)) interrupts->push_back(run.id);
  }
  return unrun;
}

void BatchQueue::TakeExpired(int64_t now, Items* dead) {
  dead->clear();
  MutexLock lock(&device_->mu());
  // earliest_due_ is when the first of those that wait becomes hopeless, or earlier.
  if (earliest_due_ > now && earliest_leave_ > now) return;
  int64_t earliest_due = kNever;
  int64_t earliest_leave = kNever;
  std::vector<std::pair<std::shared_ptr<QueueItem>, Death>> deaths;
  Items waiting;
  for (const auto& [key, lane] : lanes_) {
    lane.ForEach([&waiting](const std::shared_ptr<QueueItem>& item) { waiting.push_back(item); });
  }
  for (const auto& item : waiting) {
    const int64_t leaves = item->delays_ ? kNever : item->leaves_ns_;
    const int64_t last = LastMoment(*item, now);
    if (std::min(last, leaves) > now) {
      earliest_due = std::min(earliest_due, last);
      earliest_leave = std::min(earliest_leave, leaves);
    } else if (leaves <= now && leaves <= item->deadline_ns) {
      deaths.emplace_back(item, Death::kTimedOut);
    } else {
      deaths.emplace_back(item, item->deadline_ns <= now ? Death::kExpired : Death::kHopeless);
    }
  }
  earliest_due_ = earliest_due;
  earliest_leave_ = earliest_leave;
  for (const auto& [item, why] : deaths) {
    if (Kill(&lanes_[item->lane_key], item.get(), why)) dead->push_back(item);
  }
}

void BatchQueue::Close() {
  MutexLock lock(&device_->mu());
  closed_ = true;
  wake_.SignalAll();
}

void BatchQueue::TakeAll(Items* dead) {
  dead->clear();
  MutexLock lock(&device_->mu());
  Items waiting;
  for (auto& [key, lane] : lanes_) {
    lane.ForEach([&waiting](const auto& item) { waiting.push_back(item); });
  }
  for (const auto& item : waiting) {
    if (Kill(&lanes_[item->lane_key], item.get(), Death::kAborted)) dead->push_back(item);
  }
  lanes_.clear();
  device_->Withdraw(member_, clock_->Now());
  wake_.SignalAll();
}

void BatchQueue::SeedRun(int64_t rows, int64_t ns) {
  MutexLock lock(&device_->mu());
  curves_.Seed(rows, ns);
}

void BatchQueue::OnAnswered(int64_t n) {
  MutexLock lock(&device_->mu());
  outstanding_ -= n;
}

int64_t BatchQueue::waiting_rows() {
  MutexLock lock(&device_->mu());
  return rows_;
}

}  // namespace maas
