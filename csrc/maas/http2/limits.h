// What a peer may do how often, as arithmetic: each limit is told what happened and says whether it is too
// much.
//
// Threads: one at a time. They read the clock only when an allowance is used up, so that well-behaved peers
// cost no clock.
#pragma once

#include <algorithm>
#include <cstdint>

#include "maas/base/clock.h"

namespace maas {

// So many at once, and so many more each second.
class TokenBucket {
 public:
  TokenBucket(uint32_t burst, uint32_t per_second, const Clock* clock)
      : burst_(burst), per_second_(per_second), clock_(clock), tokens_(burst), filled_ns_(clock->Now()) {}

  // False: there is none.
  [[nodiscard]] bool Take() {
    if (tokens_ == 0) Refill();
    if (tokens_ == 0) return false;
    --tokens_;
    return true;
  }
  void Give(uint32_t tokens) { tokens_ = std::min<uint64_t>(burst_, tokens_ + tokens); }

 private:
  void Refill();
  const uint64_t burst_;
  const uint64_t per_second_;
  const Clock* const clock_;
  uint64_t tokens_;
  int64_t filled_ns_;
};

// Pings of a peer, by gRPC's rule: one that comes within the interval after the one before is a strike, the
// third strike is one too many, and whatever is sent to the peer takes them back.
class PingStrikes {
 public:
  // `min_interval_ns` 0: pings are free.
  explicit PingStrikes(int64_t min_interval_ns) : min_interval_ns_(min_interval_ns) {}

  // False: too many.
  [[nodiscard]] bool OnPing(int64_t now_ns);
  void OnSent() {
    strikes_ = 0;
    has_last_ = false;
  }

 private:
  static constexpr int kMaxStrikes = 2;
  const int64_t min_interval_ns_;
  int64_t last_ns_ = 0;
  bool has_last_ = false;
  int strikes_ = 0;
};

// Frames that carry nothing: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, CONTINUATION, empty DATA, unknown ones.
// Frames that do work earn the right to a few of them.
class FrameFlood {
 public:
  explicit FrameFlood(const Clock* clock) : bucket_(kBurst, kPerSecond, clock) {}

  // A frame came. False: too many that carry nothing. `flags` and `length` are its header's.
  [[nodiscard]] bool OnFrame(uint8_t type, uint8_t flags, uint32_t length);
  // A frame with fields or a body went out: peers answer those with windows.
  void OnSent() { bucket_.Give(kPerSentFrame); }

 private:
  static constexpr uint32_t kBurst = 10000;
  static constexpr uint32_t kPerSecond = 1000;
  static constexpr uint32_t kPerUsefulFrame = 4;
  static constexpr uint32_t kPerSentFrame = 2;
  TokenBucket bucket_;
};

}  // namespace maas
