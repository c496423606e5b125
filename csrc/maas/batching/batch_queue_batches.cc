// How BatchQueue puts a batch together, and what it foresees for a new item.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "maas/batching/batch_queue.h"

namespace maas {
namespace {

// So many batches' worth of the order of service is looked at; what stands behind that changes no choice.
constexpr int64_t kBatchesAhead = 4;
constexpr size_t kMostAhead = 512;
// An estimate that no run has confirmed lately may be this much too high.
constexpr int64_t kStaleFactor = 2;
// Unless it comes before others, an item makes nobody late; this many of the others are looked at.
constexpr int kMostOvertaken = 256;
// And so many other lanes.
constexpr int kMostLanes = 16;

}  // namespace

LoadView BatchQueue::Load(int64_t now, int64_t rows, const LatencyCurve& curve) const {
  LoadView load;
  load.arrivals_per_second = meter_.ArrivalRate(now);
  load.concurrency = meter_.Concurrency(now);
  load.wake_lag_ns = meter_.WakeLag();
  load.cpu_share = options_.process_cpu_ns ? meter_.CpuShare() : 1.0;
  load.run_ns = EstimateRun(rows, curve);
  return load;
}

int64_t BatchQueue::EstimateRun(int64_t rows, const LatencyCurve& curve) const {
  if (!curve.known()) return 0;
  return curve.High(std::max<int64_t>(std::min(rows, options_.batch.max_batch_rows), 1));
}

Lane* BatchQueue::PickLane(int64_t now, LaneView* view, Items* dead) {
  Lane* best = nullptr;
  int64_t best_due = 0;
  const bool one_lane = lanes_.size() == 1;
  for (auto it = lanes_.begin(); it != lanes_.end();) {
    Lane& lane = it->second;
    OrderLane(&lane, now, dead);
    if (lane.empty()) {
      // The lane of a model with one shape is used again at once; others may never be.
      if (it->first.empty()) {
        ++it;
      } else {
        it = lanes_.erase(it);
      }
      continue;
    }
    const LaneView mine = ViewOf(lane, now);
    const int64_t due = DueAt(options_.batch, mine, meter_.WakeLag());
    if (best == nullptr || ComesBefore(mine, due, *view, best_due, now)) {
      best = &lane;
      best_due = due;
      *view = mine;
    }
    ++it;
  }
  if (best != nullptr && !one_lane) OrderLane(best, now, dead);
  return best;
}

void BatchQueue::OrderLane(Lane* lane, int64_t now, Items* dead) {
  const int64_t rows = kBatchesAhead * options_.batch.max_batch_rows;
  while (true) {
    lane->Order(fair_, static_cast<int64_t>(owed_), rows, kMostAhead, &order_);
    if (order_.empty()) return;
    // Copied: skipping changes the lane.
    Items skipped;
    for (const Lane::Standing& one : order_) {
      if (IsReady(**one.item, now)) break;
      skipped.push_back(*one.item);
    }
    if (skipped.empty()) return;
    for (const auto& item : skipped) Skip(lane, item, now, dead);
  }
}

LaneView BatchQueue::ViewOf(const Lane& lane, int64_t now) {
  const QueueItem& front = **order_.front().item;
  LaneView view{lane.rows, lane.requests, front.accepted_ns, requests_, earliest_due_};
  view.rank = front.place_.rank;
  view.at_once = closed_ || front.solo || front.place_.again;
  const bool owed = !front.place_.timed && static_cast<int64_t>(owed_) >= front.rows;
  view.last_start_ns = owed ? 0 : LastMoment(front, now);
  if (fair_.waiting() > 1) view.virtual_time = fair_.VirtualTime(front.place_.tenant);
  if (prioritized_ || options_.batch.max_queue_delay_ns > 0) {
    lane.ForEach([&view](const std::shared_ptr<QueueItem>& item) {
      view.oldest_ns = std::min(view.oldest_ns, item->accepted_ns);
      if (!item->delays_) view.leaves_ns = std::min(view.leaves_ns, item->leaves_ns_);
    });
  }
  if (!options_.batch.preferred_rows.empty() && !view.at_once) {
    PreferredPrefix prefix(options_.batch.preferred_rows);
    for (const Lane::Standing& one : order_) {
      const QueueItem& item = **one.item;
      const bool alone = item.solo || item.place_.again || item.rows > options_.batch.max_batch_rows;
      if (alone && &item != &front) break;
      if (!prefix.Add(one.rows) || alone) break;
    }
    view.preferred_rows = prefix.rows();
  }
  return view;
}

void BatchQueue::Skip(Lane* lane, const std::shared_ptr<QueueItem>& item, int64_t now, Items* dead) {
  const bool timed_out = item->leaves_ns_ <= now && item->leaves_ns_ <= item->deadline_ns;
  if (timed_out && item->delays_) {
    item->leaves_ns_ = kNever;
    lane->Remove(item->place_, item.get());
    ++item->place_.rank;
    lane->Add(item->place_, item->rows - item->taken_, item);
  } else if (Kill(lane, item.get(), timed_out ? Death::kTimedOut : Death::kExpired)) {
    dead->push_back(item);
  }
}

void BatchQueue::TakeBatch(Lane* lane, int64_t room, int64_t now, std::vector<Slice>* batch, Items* dead) {
  const std::shared_ptr<QueueItem> front = *order_.front().item;
  const bool whole = front->solo || front->rows <= options_.batch.max_batch_rows;
  const bool untimed_waits = untimed_rows_ > 0;
  const int64_t left = front->rows - front->taken_;
  if (front->solo || front->place_.again || !whole) {
    const LatencyCurve& curve = curves_.Find(front->size_key);
    if (curves_.Firm(curve, now) &&
        IsHopeless(curve, options_.batch.max_batch_rows, {front->solo ? 1 : left, front->due_ns}, now)) {
      if (Kill(lane, front.get(), Death::kHopeless)) dead->push_back(front);
      return;
    }
    HandOut(lane, front, whole ? left : std::min(left, room), batch);
  } else {
    Choose(lane, room, now, dead, &chosen_);
    for (const auto& item : chosen_) HandOut(lane, item, item->rows, batch);
    chosen_.clear();
  }
  if (!untimed_waits) {
    owed_ = 0;
    return;
  }
  for (const Slice& slice : *batch) {
    const auto rows = static_cast<double>(slice.rows);
    owed_ += slice.item->place_.timed ? rows * kUntimedShare / (1 - kUntimedShare) : -rows;
  }
  // Below 0 when more than their share went in one piece.
  const auto most = static_cast<double>(kMostOwedBatches * std::max(options_.batch.max_batch_rows, rows_));
  owed_ = std::clamp(owed_, -most, most);
}

int64_t BatchQueue::MostRows(const Lane& lane, uint64_t rank, const LatencyCurve& curve) const {
  const int64_t most = options_.batch.max_batch_rows;
  return curve.known() && lane.IsCrowded(rank, most) ? ThriftyRows(curve, most) : most;
}

void BatchQueue::Choose(Lane* lane, int64_t room, int64_t now, Items* dead, Items* chosen) {
  const int64_t max_rows = options_.batch.max_batch_rows;
  const LatencyCurve& curve = curves_.Find((*order_.front().item)->size_key);
  const bool firm = curves_.Firm(curve, now);
  Items hopeless;
  Items alive;
  // Those of the highest priority, if they have deadlines; otherwise nobody is more than the others.
  const uint64_t rank = (*order_.front().item)->place_.rank;
  const bool rank_counts = (*order_.front().item)->place_.timed;
  waiting_.clear();
  for (const Lane::Standing& one : order_) {
    const std::shared_ptr<QueueItem>& item = *one.item;
    // What runs alone waits for a batch of its own.
    if (item->solo || item->place_.again || item->rows > max_rows) break;
    const bool counts = item->place_.timed && item->place_.rank == rank;
    const Waiting waiting{one.rows, item->due_ns, counts || !rank_counts};
    if (!IsReady(*item, now) || (firm && IsHopeless(curve, max_rows, waiting, now))) {
      hopeless.push_back(item);
      continue;
    }
    alive.push_back(item);
    waiting_.push_back(waiting);
  }
  chosen->clear();
  if (!alive.empty()) {
    Choice choice{INT64_MIN, room};
    if (firm) {
      room = std::min(room, MostRows(*lane, rank, curve));
      const double price =
          TimePrice(timed_demand_.Rate(now), curve.BestRate(max_rows) * device_->ShareOf(member_, now));
      choice = ChooseBatch(curve, waiting_, room, price, now);
    }
    int64_t rows = 0;
    for (size_t i = 0; i < alive.size(); ++i) {
      if (waiting_[i].due_ns < choice.due_from_ns) continue;
      if (rows + waiting_[i].rows > choice.max_rows) break;
      rows += waiting_[i].rows;
      chosen->push_back(alive[i]);
    }
    // A preferred size may be smaller than the first.
    if (chosen->empty()) chosen->push_back(alive.front());
  }
  for (const auto& item : hopeless) {
    if (!IsReady(*item, now)) {
      Skip(lane, item, now, dead);
    } else if (Kill(lane, item.get(), Death::kHopeless)) {
      dead->push_back(item);
    }
  }
}

void BatchQueue::HandOut(Lane* lane, const std::shared_ptr<QueueItem>& item, int64_t rows,
                         std::vector<Slice>* batch) {
  batch->push_back({item, item->taken_, rows});
  if (fair_.waiting() > 1) fair_.Charge(item->place_.tenant, rows);
  if (item->taken_ + rows < item->rows) lane->ReduceFirst(item->place_, rows);
  item->taken_ += rows;
  ++item->slices_out_;
  item->leaves_ns_ = kNever;
  Leave(lane, item.get(), rows);
}

void BatchQueue::Enter(Lane* lane, const std::shared_ptr<QueueItem>& item, int64_t rows) {
  item->waiting_ = true;
  // A solo item counts as one run.
  lane->Add(item->place_, item->solo ? 1 : rows, item);
  lane->rows += rows;
  ++lane->requests;
  rows_ += rows;
  ++requests_;
  if (!item->place_.timed) untimed_rows_ += rows;
  fair_.Enter(item->place_.tenant, item->place_.weight);
  if (prioritized_) ++requests_of_level_[item->place_.rank / 2];
  if (item->place_.timed) {
    ++timed_requests_;
    earliest_due_ = std::min(earliest_due_, LastMoment(*item, item->accepted_ns));
  }
}

void BatchQueue::Leave(Lane* lane, QueueItem* item, int64_t rows) {
  lane->rows -= rows;
  rows_ -= rows;
  if (!item->place_.timed) untimed_rows_ -= rows;
  if (item->death_ == Death::kNone && item->taken_ < item->rows) return;
  item->waiting_ = false;
  lane->Remove(item->place_, item);
  --lane->requests;
  --requests_;
  if (item->place_.timed && --timed_requests_ == 0) earliest_due_ = kNever;
  fair_.Leave(item->place_.tenant);
  if (!prioritized_) return;
  const auto of_level = requests_of_level_.find(item->place_.rank / 2);
  if (--of_level->second == 0) requests_of_level_.erase(of_level);
}

bool BatchQueue::Kill(Lane* lane, QueueItem* item, Death why) {
  assert(item->waiting_ && item->death_ == Death::kNone);
  item->death_ = why;
  if (why == Death::kExpired || why == Death::kHopeless) {
    const int64_t now = clock_->Now();
    caution_ = std::min(Caution(now) + kCautionStep, kMostCaution);
    caution_at_ = now;
  }
  Leave(lane, item, item->rows - item->taken_);
  return item->slices_out_ == 0;
}

int64_t BatchQueue::LastMoment(const QueueItem& item, int64_t now) const {
  if (item.deadline_ns == kNever) return kNever;
  const LatencyCurve& curve = curves_.Find(item.size_key);
  if (!curves_.Firm(curve, now)) return item.deadline_ns;
  return item.due_ns - curve.Typical(std::min(item.curve_rows(), options_.batch.max_batch_rows));
}

double BatchQueue::Caution(int64_t now) const {
  if (caution_ <= 1) return 1;
  return 1 + (caution_ - 1) *
                 std::exp(-static_cast<double>(std::max<int64_t>(now - caution_at_, 0)) / kCautionNs);
}

int64_t BatchQueue::RowsAhead(const Lane& lane, const QueueItem& item) const {
  const Lane::Place& place = item.place_;
  const int64_t mine = lane.RowsBefore(place);
  int64_t ahead = lane.RowsOfHigherTiers(place.rank) + mine;
  if (const int64_t others = lane.TimedRowsOfOthers(place); others > 0) {
    const double share = fair_.ShareOf(place.tenant, place.weight);
    const double theirs = static_cast<double>(mine + item.rows) * (1 - share) / share;
    ahead += static_cast<int64_t>(std::min(static_cast<double>(others), theirs));
  }
  if (place.timed && lane.HasUntimed(place.rank)) {
    ahead += static_cast<int64_t>(std::max(owed_, 0.0) +
                                  static_cast<double>(mine) * kUntimedShare / (1 - kUntimedShare));
  }
  return ahead;
}

const std::string& BatchQueue::SizeKeyOf(const Lane& lane) {
  static const std::string kNone;
  const QueueItem* const any = lane.Any();
  return any == nullptr ? kNone : any->size_key;
}

int64_t BatchQueue::MeanSolo(const LatencyCurve& otherwise) const {
  return solo_mean_ns_ > 0 ? static_cast<int64_t>(solo_mean_ns_) : otherwise.Mean(1);
}

Ahead BatchQueue::AheadOf(const Lane& lane, const QueueItem& item, const LatencyCurve& curve) const {
  const int64_t now = item.accepted_ns;
  const int64_t max_rows = options_.batch.max_batch_rows;
  Ahead ahead;
  ahead.free_ns = device_->FreeAt(member_, now);
  ahead.rows = RowsAhead(lane, item);
  ahead.share = device_->ShareOf(member_, now) / Caution(now);
  // What is due earlier in other lanes comes first. A lane's curve is that of its items; where lanes are
  // many, a few stand for all.
  if (lanes_.size() > 1) {
    double others_ns = 0;
    int looked_at = 0;
    for (const auto& [key, other] : lanes_) {
      if (&other == &lane || other.empty()) continue;
      if (++looked_at > kMostLanes) break;
      const int64_t rows = other.TimedRowsDueBy(item.place_.rank, item.due_ns);
      if (rows == 0) continue;
      const LatencyCurve& theirs = curves_.Find(SizeKeyOf(other));
      const LatencyCurve& known = theirs.known() ? theirs : curve;
      const double batches = std::ceil(static_cast<double>(rows) / static_cast<double>(max_rows));
      others_ns += batches * static_cast<double>(known.Mean(std::min(rows, max_rows)));
    }
    const auto lanes = static_cast<double>(lanes_.size());
    if (looked_at > kMostLanes) others_ns *= lanes / kMostLanes;
    ahead.other_ns = static_cast<int64_t>(std::min(others_ns, static_cast<double>(LatencyCurve::kMostNs)));
  }
  if (item.solo && ahead.rows > 0) {
    // Each is a run of its own, of whatever size.
    ahead.other_ns += ahead.rows * MeanSolo(curve);
    ahead.rows = 0;
  }
  if (item.due_ns != kNever) {
    ahead.target_rows = TargetRows(curve, max_rows, demand_.Rate(now), item.due_ns - now);
  }
  return ahead;
}

bool BatchQueue::WouldBeLate(const Lane& lane, QueueItem* item) {
  const LatencyCurve& curve = curves_.Find(item->size_key);
  if (!curve.known()) return false;
  const int64_t now = item->accepted_ns;
  const int64_t max_rows = std::min(std::max(MostRows(lane, item->place_.rank, curve), item->curve_rows()),
                                    options_.batch.max_batch_rows);
  const Ahead ahead = AheadOf(lane, *item, curve);
  item->predicted_ns = std::max<int64_t>(PredictAnswer(curve, max_rows, ahead, item->curve_rows()) - now, 1);
  if (!item->place_.timed || !curves_.Trusted(curve)) return false;
  // Nothing is refused on the word of a stale estimate unless it is far off, and never when nothing is under
  // way: somebody has to go and see.
  const bool fresh = curve.Fresh(now);
  if (!fresh && active_.empty() && requests_ == 0) return false;
  if (now + item->predicted_ns / (fresh ? 1 : kStaleFactor) > item->due_ns) return true;
  // Those that it overtakes.
  const EdfQueue* const mine = lane.Timed(item->place_);
  if (!fresh || mine == nullptr) return false;
  const int64_t before = ahead.rows - lane.RowsBefore(item->place_);
  int looked_at = 0;
  return !mine->ForEachLater(item->place_.key, [&](int64_t due_ns, int64_t rows, int64_t rows_before) {
    Ahead theirs = ahead;
    theirs.target_rows = 1;
    theirs.rows = before + rows_before;
    const bool in_time = PredictAnswer(curve, max_rows, theirs, rows) <= due_ns;
    theirs.rows += item->rows;
    const bool still_in_time = PredictAnswer(curve, max_rows, theirs, rows) <= due_ns;
    return (still_in_time || !in_time) && ++looked_at < kMostOvertaken;
  }) && looked_at < kMostOvertaken;
}

int64_t BatchQueue::EstimateWait() {
  MutexLock lock(&device_->mu());
  const int64_t max = std::max<int64_t>(options_.batch.max_batch_rows, 1);
  const LatencyCurve& curve = curves_.Find(std::string());
  if (!curve.known()) return 0;
  const int64_t batches = (rows_ + max - 1) / max;
  const double wait = static_cast<double>(batches) * static_cast<double>(curve.Mean(max));
  return static_cast<int64_t>(std::min(wait, static_cast<double>(LatencyCurve::kMostNs)));
}

BatchQueue::Scheduling BatchQueue::ReadScheduling(int64_t now) {
  MutexLock lock(&device_->mu());
  Scheduling read;
  read.predictive = curves_.check().trusted();
  read.lapses = curves_.check().lapses();
  read.device_idle = device_->Idle(now);
  double best_rate = 0;
  std::vector<std::string> keys;
  curves_.ForEach([&](const std::string& key, const LatencyCurve& curve) {
    keys.push_back(key);
    best_rate = std::max(best_rate, curve.BestRate(options_.batch.max_batch_rows));
  });
  // The bucket that is asked for most is not known here; the first stands for all.
  if (!keys.empty()) {
    QueueItem one;
    one.accepted_ns = now;
    one.place_ = {2 * options_.priorities.default_level, 0, 1, false, false, INT64_MAX};
    one.size_key = keys.front();
    const LatencyCurve& curve = curves_.Find(keys.front());
    // Where rows share no values, the lane has the key of the bucket.
    const auto lane = lanes_.find(keys.front());
    const Ahead ahead = AheadOf(lane == lanes_.end() ? Lane() : lane->second, one, curve);
    read.predicted_ns = PredictAnswer(curve, options_.batch.max_batch_rows, ahead, 1) - now;
  }
  if (best_rate > 0) read.headroom = std::clamp(1 - demand_.Rate(now) / best_rate, 0.0, 1.0);
  return read;
}

std::vector<BatchQueue::BucketCurve> BatchQueue::ReadCurves() {
  MutexLock lock(&device_->mu());
  std::vector<BucketCurve> curves;
  curves_.ForEach([&curves](const std::string& key, const LatencyCurve& curve) {
    curves.push_back({key, curve.Points()});
  });
  return curves;
}

}  // namespace maas
