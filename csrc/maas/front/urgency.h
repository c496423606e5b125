// Lets the thread of a loop interrupt the runs of models while requests are being turned away.
//
// Under SCHED_BATCH a thread that wakes waits until the one that runs gives way, which a run does at a tick
// of the kernel (4 ms at 250 Hz) at best. That saves wake-ups, and so CPU; but who is told that there is no
// room wants to hear it now, to ask elsewhere. While there are such, the thread is scheduled as others are
// and interrupts the run; at a pace, because each time costs the run its place in the processor.
//
// Ownership: borrows the loop. Threads: that of the loop.
#pragma once

#include <cstdint>

#include "maas/base/clock.h"
#include "maas/net/event_loop.h"

namespace maas {

class Urgency {
 public:
  explicit Urgency(EventLoop* loop) : loop_(loop) {}

  // After each round that began at `now_ns`. `turned_away`: requests so far.
  void AfterRound(int64_t now_ns, uint64_t turned_away);

 private:
  void Begin();
  void End();

  EventLoop* const loop_;
  uint64_t seen_ = 0;
  int64_t until_ns_ = kNever;  // While it is urgent.
  bool urgent_ = false;
};

}  // namespace maas
