#include "maas/batching/device.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "maas/batching/window_quantile.h"

namespace maas {
namespace {

// A day: no prediction is longer, so that instants can be added without care.
constexpr int64_t kMostPredictedNs = int64_t{86'400} * 1'000'000'000;
// Of a member's runs, those that count for the share of their time that they compute; the quantile is high,
// because two runs on one core are worse than one run that leaves it idle a little.
constexpr size_t kShareRuns = 16;
constexpr double kShareQuantile = 0.9;
constexpr double kLeastShare = 0.05;
// A member that nothing is known of counts as if so many runs had computed all the time.
constexpr int kShareSeeds = 2;

int MostRuns(double cores) {
  constexpr double kMost = 1 << 20;
  return static_cast<int>(std::ceil(std::clamp(cores, 1.0, kMost)));
}

}  // namespace

// Valid transitions: kAway -> kInLine -> kCalled -> kMissed -> kInLine, and from each to kAway.
enum class Device::Place : uint8_t {
  kAway,    // Has nothing due that it asked for.
  kInLine,  // Waits for its turn.
  kCalled,  // Was woken; room is kept for it.
  kMissed,  // Did not come in time. Its instance was woken and will ask again.
};

class Device::Member {
 public:
  CondVar* wake = nullptr;
  double weight = 1;
  int threads = 1;

  Place place = Place::kAway;
  DueBatch due;
  bool passed = false;
  int64_t since_ns = 0;
  int64_t called_ns = 0;

  int runs = 0;
  double virtual_ns = 0;
  int64_t last_active_ns = -kNever;
  double share = 1;  // Of their time that its threads compute.
  WindowQuantile<kShareRuns> shares;

  bool active() const { return runs > 0 || place != Place::kAway; }
};

size_t PickNext(std::span<const Contender> contenders, int64_t now) {
  assert(!contenders.empty());
  double least = contenders.front().virtual_ns;
  for (const Contender& each : contenders) least = std::min(least, each.virtual_ns);
  size_t next = contenders.size();
  for (size_t i = 0; i < contenders.size(); ++i) {
    const Contender& each = contenders[i];
    if (each.virtual_ns > least + kShareSlackNs) continue;
    if (next == contenders.size() || std::pair(each.last_start_ns, each.since_ns) <
                                         std::pair(contenders[next].last_start_ns, contenders[next].since_ns))
      next = i;
  }
  const Contender& first = contenders[next];
  if (first.full || first.passed) return next;
  const int64_t spare_ns = first.last_start_ns == kNever ? kNever : first.last_start_ns - now;
  size_t other = next;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const Contender& each = contenders[i];
    if (!each.full || each.run_ns <= 0 || each.run_ns > spare_ns) continue;
    if (other == next || each.virtual_ns < contenders[other].virtual_ns) other = i;
  }
  return other;
}

Device::Device(double cores) : cores_(cores > 0 ? cores : 1), limit_(MostRuns(cores_)) {}
Device::~Device() = default;

Device::Member* Device::Join(CondVar* wake, double weight, int threads) {
  assert(weight > 0 && threads >= 1);
  auto member = std::make_unique<Member>();
  member->wake = wake;
  member->weight = weight;
  member->threads = threads;
  for (int i = 0; i < kShareSeeds; ++i) member->shares.Add(1);
  members_.push_back(std::move(member));
  return members_.back().get();
}

void Device::Leave(Member* member) {
  const int64_t now = at_ns_;
  std::erase_if(runs_, [member](const Run& run) { return run.member == member; });
  meter_.Set(!runs_.empty(), now);
  Move(member, Place::kAway);
  std::erase_if(members_, [member](const auto& each) { return each.get() == member; });
  CallUpTo(nullptr, now);
}

bool Device::MayStart(Member* member, const DueBatch& due, int64_t now) {
  AddUp(now);
  GiveUpCalls(now);
  CatchUp(member);
  if ((in_line_ == 0 || member->place == Place::kCalled) && Fits(*member, now)) return true;
  EnterLine(member, due, now);
  return CallUpTo(member, now);
}

void Device::Withdraw(Member* member, int64_t now) {
  if (member->place == Place::kAway) return;
  AddUp(now);
  Move(member, Place::kAway);
  member->last_active_ns = now;
  CallUpTo(nullptr, now);
}

void Device::StandInLine(Member* member, const DueBatch& due, int64_t now) {
  CatchUp(member);
  if (member->place != Place::kCalled) EnterLine(member, due, now);
}

int64_t Device::LookAgainAt(int64_t now) const {
  int64_t at = kNever;
  for (const Run& run : runs_) {
    if (OverdueAt(run) > now) at = std::min(at, OverdueAt(run));
  }
  if (called_ > 0) at = std::min(at, now + kCallNs);
  if (at == kNever) return at;
  // Whoever is called later may not come. One of those in line looks about every kCallNs, however many sleep.
  return std::max(now + 1, std::min(at, now + kCallNs * std::max(in_line_, 1)));
}

uint64_t Device::OnStart(Member* member, int64_t predicted_ns, int64_t now) {
  AddUp(now);
  CatchUp(member);
  Move(member, Place::kAway);
  for (const auto& each : members_) each->passed = each->place == Place::kInLine;
  Run run;
  run.number = ++last_run_;
  run.member = member;
  run.start_ns = now;
  run.predicted_ns = std::clamp<int64_t>(predicted_ns, 0, kMostPredictedNs);
  run.tokens = TokensOf(*member);
  run.computing = member->share >= kComputingShare;
  run.tokens_ns = tokens_ns_;
  run.computing_ns = computing_ns_;
  member->virtual_ns += static_cast<double>(run.predicted_ns) * run.tokens / member->weight;
  ++member->runs;
  runs_.push_back(run);
  meter_.Set(true, now);
  CallUpTo(nullptr, now);
  return run.number;
}

void Device::OnEnd(Member* member, uint64_t number, int64_t cpu_ns, int64_t now) {
  AddUp(now);
  const auto at =
      std::find_if(runs_.begin(), runs_.end(), [number](const Run& run) { return run.number == number; });
  assert(at != runs_.end() && at->member == member);
  const Run run = *at;
  runs_.erase(at);
  --member->runs;
  member->last_active_ns = now;
  meter_.Set(!runs_.empty(), now);
  const int64_t took_ns = std::max<int64_t>(now - run.start_ns, 0);
  // Nobody was kept waiting by what it took beyond being overdue.
  const int64_t charged_ns = std::min(took_ns, OverdueAt(run) - run.start_ns);
  member->virtual_ns += static_cast<double>(charged_ns - run.predicted_ns) * run.tokens / member->weight;
  LearnFrom(run, took_ns, cpu_ns, now);
  CallUpTo(nullptr, now);
}

void Device::LearnFrom(const Run& run, int64_t took_ns, int64_t cpu_ns, int64_t now) {
  if (took_ns <= 0) return;
  const auto took = static_cast<double>(took_ns);
  const double tokens = (tokens_ns_ - run.tokens_ns) / took;
  const double level = (computing_ns_ - run.computing_ns) / took;
  Member& member = *run.member;
  // Runs that share a core seem to wait: where there was no room, only a higher share is believed.
  const double share = std::clamp(static_cast<double>(cpu_ns) / took, kLeastShare, 1.0);
  if (cpu_ns >= 0 && (share >= member.share || tokens <= cores_ + kSpareTokens)) {
    member.shares.Add(share);
    member.share = member.shares.Quantile(kShareQuantile);
  }
  if (run.computing && run.predicted_ns > 0 && now < OverdueAt(run)) {
    limit_.Record(level, took / static_cast<double>(run.predicted_ns), now);
  }
}

int64_t Device::FreeAt(const Member* member, int64_t now) const {
  if (HasRoom(UseAfter(now, now), *member)) return now;
  int64_t free = kNever;
  for (const Run& run : runs_) {
    const int64_t end = ExpectedEnd(run, now);
    if (end < free && OverdueAt(run) > now && HasRoom(UseAfter(end, now), *member)) free = end;
  }
  return free;
}

double Device::ShareOf(const Member* member, int64_t now) const {
  double weights = 0;
  for (const auto& each : members_) {
    const bool counts = each->active() || now - kIdleNs < each->last_active_ns;
    if (counts || each.get() == member) weights += each->weight;
  }
  return member->weight / weights;
}

double Device::Idle(int64_t now) const { return meter_.Idle(now); }

int64_t Device::OverdueAt(const Run& run) {
  const int64_t most = run.predicted_ns > 0
                           ? static_cast<int64_t>(kOverdueFactor * static_cast<double>(run.predicted_ns))
                           : kUnpredictedNs;
  return run.start_ns + most + kOverdueSlackNs;
}

int64_t Device::ExpectedEnd(const Run& run, int64_t now) {
  const int64_t took_ns = now - run.start_ns;
  if (took_ns < run.predicted_ns) return run.start_ns + run.predicted_ns;
  // Past its prediction, or without one.
  const int64_t scale = run.predicted_ns > 0 ? run.predicted_ns : took_ns;
  return now + std::max<int64_t>(scale / 10, 1);
}

Device::Use Device::UseAfter(int64_t after, int64_t now) const {
  Use use;
  for (const Run& run : runs_) {
    if (OverdueAt(run) <= now || ExpectedEnd(run, now) <= after) continue;
    ++use.runs;
    use.computing += run.computing ? 1 : 0;
    use.tokens += run.tokens;
  }
  return use;
}

double Device::TokensOf(const Member& member) const {
  return std::min(member.threads * member.share, cores_);
}

bool Device::HasRoom(const Use& use, const Member& member) const {
  if (use.runs == 0) return true;
  const int computing = member.share >= kComputingShare ? 1 : 0;
  return use.tokens + TokensOf(member) <= cores_ + kSpareTokens && use.computing + computing <= limit();
}

bool Device::Fits(const Member& member, int64_t now) const {
  Use use = UseAfter(now, now);
  if (called_ > 0) {
    for (const auto& each : members_) {
      if (each->place != Place::kCalled || each.get() == &member) continue;
      ++use.runs;
      use.computing += each->share >= kComputingShare ? 1 : 0;
      use.tokens += TokensOf(*each);
    }
  }
  return HasRoom(use, member);
}

void Device::Move(Member* member, Place place) {
  in_line_ += (place == Place::kInLine ? 1 : 0) - (member->place == Place::kInLine ? 1 : 0);
  called_ += (place == Place::kCalled ? 1 : 0) - (member->place == Place::kCalled ? 1 : 0);
  member->place = place;
}

void Device::EnterLine(Member* member, const DueBatch& due, int64_t now) {
  if (member->place == Place::kAway) {
    member->since_ns = now;
    member->passed = false;
  }
  member->due = due;
  Move(member, Place::kInLine);
}

void Device::CatchUp(Member* member) {
  if (member->active()) return;
  double least = INFINITY;  // Of those that are active.
  double most = 0;          // Of all: when nobody is, the past is forgotten.
  for (const auto& each : members_) {
    most = std::max(most, each->virtual_ns);
    if (each->active()) least = std::min(least, each->virtual_ns);
  }
  member->virtual_ns = std::max(member->virtual_ns, std::min(least, most));
}

Device::Member* Device::FirstInLine(int64_t now) {
  if (in_line_ == 0) return nullptr;
  contenders_.clear();
  contending_.clear();
  for (const auto& each : members_) {
    if (each->place != Place::kInLine) continue;
    contenders_.push_back({each->virtual_ns, each->due.last_start_ns, each->since_ns, each->due.run_ns,
                           each->due.full, each->passed});
    contending_.push_back(each.get());
  }
  return contending_[PickNext(contenders_, now)];
}

bool Device::CallUpTo(const Member* self, int64_t now) {
  GiveUpCalls(now);
  while (Member* const next = FirstInLine(now)) {
    if (!Fits(*next, now)) return false;
    if (next == self) return true;
    Move(next, Place::kCalled);
    next->called_ns = now;
    next->wake->Signal();
  }
  return false;
}

void Device::GiveUpCalls(int64_t now) {
  if (called_ == 0) return;
  for (const auto& each : members_) {
    if (each->place == Place::kCalled && now - each->called_ns >= kCallNs) Move(each.get(), Place::kMissed);
  }
}

void Device::AddUp(int64_t now) {
  if (now <= at_ns_) return;
  const auto passed = static_cast<double>(now - at_ns_);
  for (const Run& run : runs_) {
    if (OverdueAt(run) <= now) continue;
    tokens_ns_ += run.tokens * passed;
    computing_ns_ += run.computing ? passed : 0;
  }
  at_ns_ = now;
}

}  // namespace maas
