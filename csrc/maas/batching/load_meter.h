// What a queue has seen lately: how fast requests arrive, how many are under way at once, how scarce CPU is.
//
// Feeds BatchPolicy. Windows of kWindowNs; every figure spans the present window and the one before, so it
// follows a change of load within two windows and forgets a burst after two.
// Threads: none of its own; the owner's lock guards it. Time and CPU time are arguments.
#pragma once

#include <cstdint>

namespace maas {

class LoadMeter {
 public:
  static constexpr int64_t kWindowNs = 50'000'000;
  // One stall says little: it counts as no more than this.
  static constexpr int64_t kMostLagNs = 2'000'000;
  static constexpr double kLagWeight = 0.1;

  // `outstanding`: requests accepted and not answered, the new one included.
  void OnArrival(int64_t now, int64_t outstanding);
  // True when a new window began and OnCpu() should be told the process's CPU time.
  bool WantsCpu(int64_t now) const { return now - cpu_at_ >= kWindowNs; }
  // `cpu_ns`: CPU time that the process has used, all threads. `cpus`: how many it may use at once.
  void OnCpu(int64_t now, int64_t cpu_ns, int cpus);

  // An instance that was to wake, by a signal or by the clock, did so `lag_ns` late.
  void OnWake(int64_t lag_ns);

  // Requests per second.
  double ArrivalRate(int64_t now) const;
  // The most requests that were under way at once. At least 1 once something arrived.
  int64_t Concurrency(int64_t now) const;
  // Share of the CPUs in use, 0 to 1.
  double CpuShare() const { return cpu_share_; }
  // How late instances wake, as an average over the last ten or so: a few tens of microseconds when a CPU is
  // free, more the longer others keep it. Unlike CpuShare() it also feels other processes. Unit: nanoseconds.
  double WakeLag() const { return wake_lag_ns_; }

 private:
  struct Window {
    int64_t start = 0;
    int64_t arrivals = 0;
    int64_t peak = 0;
  };
  void Roll(int64_t now);

  Window current_;
  Window previous_;
  int64_t cpu_at_ = 0;
  int64_t cpu_ns_ = -1;
  double cpu_share_ = 0;
  double wake_lag_ns_ = 0;
};

}  // namespace maas
