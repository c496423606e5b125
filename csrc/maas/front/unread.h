// Answers that wait for a peer: what they take of the memory budget, and whether they leave.
//
// Usage (a connection, after what could be written was):
//   if (!unread.Settle(session.kept(), session.out().empty())) ...  // The budget is spent.
//   stall.Look(now, {.queued = ..., .unsent = ..., .bodies_sent = ..., .written = ...});
//   // a timer at stall.cut_at(), which cuts the connection
// Ownership: borrows the budget. Threads: the connection's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "maas/base/clock.h"
#include "maas/net/memory_budget.h"

namespace maas {

// One connection's part of the budget. Taken and given in steps: answers that leave at once cost it nothing.
class UnreadAnswers {
 public:
  static constexpr size_t kStep = 64 << 10;  // Up to one is free.

  // Null: there is no limit.
  explicit UnreadAnswers(MemoryBudget* budget) : budget_(budget) {}
  // Gives back what was taken.
  ~UnreadAnswers();
  UnreadAnswers(const UnreadAnswers&) = delete;
  UnreadAnswers& operator=(const UnreadAnswers&) = delete;

  // `kept`: bytes that answers keep. `all_written`: none of them are on their way to the socket; until then
  // nothing is given back, since those keep memory as well. False: the budget has no more, and nothing
  // changed.
  [[nodiscard]] bool Settle(size_t kept, bool all_written) {
    return (kept <= kStep && taken_ == 0) || SettleSome(kept, all_written);
  }
  size_t taken() const { return taken_; }

 private:
  bool SettleSome(size_t kept, bool all_written);

  MemoryBudget* const budget_;
  size_t taken_ = 0;
};

// Demands a rate of a peer for whom bytes wait: within each timeout kLeast bytes have to leave, or all that
// waited at its beginning where that was less.
class StallWatch {
 public:
  static constexpr uint64_t kLeast = 4096;

  struct Sent {
    size_t queued = 0;         // On their way to the socket.
    size_t unsent = 0;         // Of bodies that wait for windows, or for what is queued.
    uint64_t bodies_sent = 0;  // Of bodies that were queued, since the connection began.
    size_t written = 0;        // To the socket, since the last Look().
  };

  explicit StallWatch(int64_t timeout_ns) : timeout_ns_(timeout_ns) {}
  void Look(int64_t now, const Sent& sent) {
    if (sent.queued + sent.unsent == 0) {
      cut_at_ = kNever;
    } else {
      Measure(now, sent);
    }
  }
  // kNever: nothing waits.
  int64_t cut_at() const { return cut_at_; }

 private:
  void Measure(int64_t now, const Sent& sent);

  const int64_t timeout_ns_;
  int64_t cut_at_ = kNever;
  // Of the period that ends then.
  uint64_t demanded_ = 0;
  uint64_t queued_ = 0;  // At its beginning, as the next.
  uint64_t bodies_sent_ = 0;
  uint64_t written_ = 0;
};

}  // namespace maas
