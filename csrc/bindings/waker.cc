#include "bindings/waker.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <stdexcept>

namespace maas::bindings {
namespace {

// So exact are sleeps; by default they are a fifth of a usual period too long. Unit: nanoseconds.
constexpr unsigned long kTimerSlackNs = 10'000;
constexpr std::chrono::microseconds kShortest{100};
constexpr std::chrono::microseconds kLongest{100'000};

}  // namespace

Waker::Waker(std::chrono::microseconds period) {
  if (period < kShortest || period > kLongest)
    throw std::invalid_argument("period_us: expected 100 to 100000");
  thread_ = std::thread(&Waker::Run, this, period);
}

void Waker::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

void Waker::Run(std::chrono::microseconds period) {
  pthread_setname_np(pthread_self(), "maas-waker");
  prctl(PR_SET_TIMERSLACK, kTimerSlackNs);
  while (!stopping_.load(std::memory_order_relaxed)) std::this_thread::sleep_for(period);
}

}  // namespace maas::bindings
