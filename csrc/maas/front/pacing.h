// How often a thread of the front looks at its connections: at once, or at a pace, because more has come
// then.
//
// While requests are turned away. Under SCHED_BATCH a thread that wakes waits until the one that runs gives
// way, which a run does at a tick of the kernel (4 ms at 250 Hz) at best. That saves wake-ups, and so CPU;
// but who is told that there is no room wants to hear it now, to ask elsewhere. So meanwhile the thread is
// scheduled as others are, and interrupts the run; at a pace, because each time costs the run its place in
// the processor.
//
// While large messages come from several connections. They come in pieces, and each look at a piece costs a
// wake-up, a call, and an acknowledgement to the peer. A connection alone is read as it comes: nobody else
// needs the CPU, and its caller waits.
//
// Ownership: borrows the loop. Threads: that of the loop.
#pragma once

#include <cstddef>
#include <cstdint>

#include "maas/base/clock.h"
#include "maas/net/event_loop.h"

namespace maas {

class Pacing {
 public:
  // A connection that had so much to read has more to come.
  static constexpr size_t kLarge = 32 << 10;

  explicit Pacing(EventLoop* loop) : loop_(loop) {}

  // So many bytes of `connection`, an address that is only compared, were there in this round.
  void OnRead(const void* connection, size_t bytes);
  // `turned_away`: requests so far.
  void AfterRound(uint64_t turned_away);

 private:
  void LookAt(uint64_t turned_away);
  void BeginToInterrupt();
  void EndToInterrupt();

  EventLoop* const loop_;
  uint64_t turned_away_ = 0;
  int64_t urgent_until_ns_ = 0;
  bool interrupts_ = false;
  const void* last_large_ = nullptr;
  int64_t last_large_ns_ = -kNever;
  int64_t large_until_ns_ = 0;
};

}  // namespace maas
