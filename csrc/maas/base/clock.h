// The monotonic clock as an argument, so that tests own time.
//
// Instants are nanoseconds since an arbitrary origin. On Linux SteadyClock reads CLOCK_MONOTONIC, the same
// origin as Python's time.monotonic_ns(), so instants may cross the binding.
#pragma once

#include <atomic>
#include <cstdint>

namespace maas {

inline constexpr int64_t kNever = INT64_MAX;

// The instant `ns` after `now`; kNever where the clock ends before that. REQUIRES: neither is negative.
constexpr int64_t InstantAfter(int64_t now, int64_t ns) { return ns >= kNever - now ? kNever : now + ns; }

class Clock {
 public:
  virtual ~Clock() = default;
  // Thread-safe.
  virtual int64_t Now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  int64_t Now() const override;
  // Lives as long as the process.
  static SteadyClock* Get();
};

class FakeClock final : public Clock {
 public:
  explicit FakeClock(int64_t now = 0) : now_(now) {}
  int64_t Now() const override { return now_.load(std::memory_order_acquire); }
  void Advance(int64_t ns) { now_.fetch_add(ns, std::memory_order_acq_rel); }

 private:
  std::atomic<int64_t> now_;
};

}  // namespace maas
