// What share of the last second or two something ran. Two windows, as in LoadMeter.
//
// Owned by a Device, whose mutex guards it. Threads: none of its own. Time is an argument; instants that come
// out of order count as the latest seen.
#pragma once

#include <cstdint>

namespace maas {

class BusyMeter {
 public:
  static constexpr int64_t kWindowNs = 1'000'000'000;

  // From `now` on something runs, or nothing.
  void Set(bool busy, int64_t now);
  // Share of the present window and the one before that nothing ran: 0 to 1.
  double Idle(int64_t now) const;

 private:
  void Advance(int64_t now);

  bool busy_ = false;
  int64_t start_ns_ = 0;     // Of the present window.
  int64_t at_ns_ = 0;        // Until when busy time is added up.
  int64_t current_ns_ = 0;   // Busy in the present window.
  int64_t previous_ns_ = 0;  // Busy in the one before.
};

}  // namespace maas
