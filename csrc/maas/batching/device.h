// What runs next on one device, a CPU with its cores, shared by the queues of many versions.
//
// A run takes as much of the device as it was measured to use: tokens = threads x the share of its time that
// they compute. While the device is full, queues that have a batch due stand in line here; when there is
// room, the one that comes next is called. Who comes next is a pure function, PickNext(): those within their
// fair share of the device's time first, by how little time they have to spare. Nobody overtakes it, even if
// there would be room for a smaller one: a run of many threads would never find all of them free.
//
// A run that takes kOverdueFactor times what was predicted is taken to hang, or to wait for something else:
// it no longer keeps others from running. Nor does one that was called and does not come within kCallNs.
//
// A member's instance, in short:
//   while nothing is due: Withdraw(), sleep until there is.
//   while !MayStart(): sleep on `wake`, until LookAgainAt() at most.
//   OnStart(), the run; then StandInLine() if more is due already, OnEnd().
// A member stands in line once, however many of its instances sleep. After OnStart() it wakes another of them
// itself if more is due.
//
// Threads: one mutex for the device and all its queues; every method but mu() is called with it held. Time is
// an argument; instants may come slightly out of order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "maas/base/clock.h"
#include "maas/base/mutex.h"
#include "maas/batching/busy_meter.h"
#include "maas/batching/concurrency_limit.h"

namespace maas {

// One that stands in line, as PickNext() sees it.
struct Contender {
  double virtual_ns = 0;      // Device time that it had, over its weight.
  int64_t last_start_ns = 0;  // When its batch must start to be in time; kNever: whenever.
  int64_t since_ns = 0;       // Since when it stands in line.
  int64_t run_ns = 0;         // What its batch would take; 0: nobody knows.
  bool full = true;           // Its batch gains nothing from waiting.
  bool passed = false;        // Another ran since it stands in line.
};
// How much further than the least served a contender may be and still count as within its share. Unit:
// nanoseconds of device time.
inline constexpr double kShareSlackNs = 20'000'000;
// Index of the contender that runs next: of those within their share the one that must start first, of
// several such the one that stands longest. But one whose batch is not full lets a full one go first, once,
// if it has the time: a model that is asked for little would otherwise take its share of the device in small
// batches, while another is overloaded. REQUIRES: !contenders.empty().
size_t PickNext(std::span<const Contender> contenders, int64_t now);

// The batch that a member would start.
struct DueBatch {
  int64_t last_start_ns = 0;  // As in Contender, as are the others.
  int64_t run_ns = 0;
  bool full = true;
};

class Device {
 public:
  static constexpr double kOverdueFactor = 4;
  static constexpr int64_t kOverdueSlackNs = 100'000'000;
  // Stands for kOverdueFactor x the prediction when nothing was predicted.
  static constexpr int64_t kUnpredictedNs = 1'000'000'000;
  // How long room is kept for a member that was called.
  static constexpr int64_t kCallNs = 20'000'000;
  // A member that had nothing to run for so long no longer counts in ShareOf().
  static constexpr int64_t kIdleNs = 1'000'000'000;
  // Runs that compute a smaller share of their time than this wait for something else, and are not counted
  // against how many run at a time. Low, because a run that others keep from a core also seems to wait.
  static constexpr double kComputingShare = 0.2;
  // Tokens beyond the cores that may be in use, so that a few runs that only wait find room beside one that
  // computes.
  static constexpr double kSpareTokens = 0.25;

  // `cores`: how many runs of one computing thread it runs well at a time.
  explicit Device(double cores);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  Mutex& mu() MAAS_RETURN_CAPABILITY(mu_) { return mu_; }

  // A queue of the device. `wake` is signalled when it is its turn; not owned, outlives the membership.
  // REQUIRES: weight > 0, threads >= 1.
  class Member;
  Member* Join(CondVar* wake, double weight, int threads) MAAS_REQUIRES(mu_);
  // Its runs that did not end no longer count, and must not be reported any more.
  void Leave(Member* member) MAAS_REQUIRES(mu_);

  // A batch of the member is due. True: the caller calls OnStart() before
  // it gives up the mutex, or Withdraw(). False: the member stands in line and is woken when it is its turn.
  bool MayStart(Member* member, const DueBatch& due, int64_t now) MAAS_REQUIRES(mu_);
  // The member has nothing due any more. If it was its turn, that passes on.
  void Withdraw(Member* member, int64_t now) MAAS_REQUIRES(mu_);
  // The member has a batch due while its instances are still busy: when a run ends, it counts among those who
  // may come next. Otherwise a member of one instance, never in line when its own run ends, would always let
  // another go first, whatever its weight and its deadlines. The next instance to be free calls MayStart() or
  // Withdraw(). For a member in line: what it waits for must start by another time now.
  void StandInLine(Member* member, const DueBatch& due, int64_t now) MAAS_REQUIRES(mu_);
  // Until when a member in line may sleep without a signal; later than `now`. kNever: nothing runs.
  int64_t LookAgainAt(int64_t now) const MAAS_REQUIRES(mu_);

  // A run begins, maybe without having asked, that is predicted to take `predicted_ns` (0: nobody knows).
  // Returns its number, never 0.
  uint64_t OnStart(Member* member, int64_t predicted_ns, int64_t now) MAAS_REQUIRES(mu_);
  // It is over, and its thread computed for `cpu_ns` of it (-1: not measured). Calls whoever is next.
  void OnEnd(Member* member, uint64_t run, int64_t cpu_ns, int64_t now) MAAS_REQUIRES(mu_);

  // When a run that the member starts can begin as far as predictions tell: `now` when there is room. Does
  // not count who stands in line.
  int64_t FreeAt(const Member* member, int64_t now) const MAAS_REQUIRES(mu_);
  // The member's weight among all that ran or stood in line within kIdleNs, itself included: (0, 1].
  double ShareOf(const Member* member, int64_t now) const MAAS_REQUIRES(mu_);
  // Share of the device's time in the last second or two that nothing ran: 0 to 1.
  double Idle(int64_t now) const MAAS_REQUIRES(mu_);
  int running() const MAAS_REQUIRES(mu_) { return static_cast<int>(runs_.size()); }
  // How many computing runs at a time it allows at present.
  int limit() const MAAS_REQUIRES(mu_) { return limit_.limit(); }

 private:
  struct Run {
    uint64_t number = 0;
    Member* member = nullptr;
    int64_t start_ns = 0;
    int64_t predicted_ns = 0;
    double tokens = 0;
    bool computing = false;
    // What tokens_ns_ and computing_ns_ were when it began.
    double tokens_ns = 0;
    double computing_ns = 0;
  };
  // What uses the device, or is about to.
  struct Use {
    int runs = 0;
    int computing = 0;
    double tokens = 0;
  };
  enum class Place : uint8_t;

  static int64_t OverdueAt(const Run& run);
  static int64_t ExpectedEnd(const Run& run, int64_t now);
  // Runs that are expected to be under way after `after`, and are not overdue at `now`.
  Use UseAfter(int64_t after, int64_t now) const MAAS_REQUIRES(mu_);
  double TokensOf(const Member& member) const;
  bool HasRoom(const Use& use, const Member& member) const MAAS_REQUIRES(mu_);
  // Whether there is room for the member now, beside those who are called.
  bool Fits(const Member& member, int64_t now) const MAAS_REQUIRES(mu_);

  void Move(Member* member, Place place) MAAS_REQUIRES(mu_);
  void EnterLine(Member* member, const DueBatch& due, int64_t now) MAAS_REQUIRES(mu_);
  // A member that had nothing to run gains nothing from it.
  void CatchUp(Member* member) MAAS_REQUIRES(mu_);
  Member* FirstInLine(int64_t now) MAAS_REQUIRES(mu_);
  // Calls those in line for whom there is room, in turn, up to `self`. True: it is the turn of `self`.
  bool CallUpTo(const Member* self, int64_t now) MAAS_REQUIRES(mu_);
  void GiveUpCalls(int64_t now) MAAS_REQUIRES(mu_);
  // Adds up what the runs under way used since the last time.
  void AddUp(int64_t now) MAAS_REQUIRES(mu_);
  void LearnFrom(const Run& run, int64_t took_ns, int64_t cpu_ns, int64_t now) MAAS_REQUIRES(mu_);

  const double cores_;

  Mutex mu_;
  std::vector<std::unique_ptr<Member>> members_ MAAS_GUARDED_BY(mu_);
  std::vector<Run> runs_ MAAS_GUARDED_BY(mu_);
  uint64_t last_run_ MAAS_GUARDED_BY(mu_) = 0;
  int in_line_ MAAS_GUARDED_BY(mu_) = 0;  // Members at Place::kInLine.
  int called_ MAAS_GUARDED_BY(mu_) = 0;   // Members at Place::kCalled.
  // FirstInLine()'s, kept for their memory.
  std::vector<Contender> contenders_ MAAS_GUARDED_BY(mu_);
  std::vector<Member*> contending_ MAAS_GUARDED_BY(mu_);
  ConcurrencyLimit limit_ MAAS_GUARDED_BY(mu_);
  BusyMeter meter_ MAAS_GUARDED_BY(mu_);
  // Integrals over time up to at_ns_, the latest instant seen, of the tokens and the computing runs in use.
  double tokens_ns_ MAAS_GUARDED_BY(mu_) = 0;
  double computing_ns_ MAAS_GUARDED_BY(mu_) = 0;
  int64_t at_ns_ MAAS_GUARDED_BY(mu_) = 0;
};

}  // namespace maas
