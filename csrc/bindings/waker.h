// A thread that does nothing but wake, again and again, beside one of the lowest priority on the same
// processor.
//
// The kernel chooses who runs when a thread wakes or sleeps. Where two threads hand work to each other it now
// and then chooses the one of lowest priority in between (fair scheduling owes it a little), and does not
// look again until a thread wakes or its clock ticks, some milliseconds later. So something wakes. Threads:
// the owner's; runs from construction to destruction at the priority of the constructing thread.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace maas::bindings {

class Waker {
 public:
  explicit Waker(std::chrono::microseconds period);
  ~Waker() { Stop(); }
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // Waits for the thread, for a period at most. A second call has no effect.
  void Stop();

 private:
  void Run(std::chrono::microseconds period);

  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace maas::bindings
