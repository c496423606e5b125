#include "bindings/serving_cpu.h"

#include <pthread.h>
#include <time.h>

#include <array>
#include <atomic>

namespace maas::bindings {
namespace {

// The clock of the process stands for none: it is no thread's.
constexpr clockid_t kFree = CLOCK_PROCESS_CPUTIME_ID;

int64_t Read(clockid_t clock) {
  timespec ts{};
  // A thread that has ended meanwhile has no clock.
  if (clock_gettime(clock, &ts) != 0) return 0;
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

struct Slot {
  std::atomic<clockid_t> clock{kFree};
};

std::array<Slot, 16> slots;
std::atomic<int64_t> ended_ns{0};  // Of threads that are no more.

// A thread's place among the slots, from its call until it ends.
class Place {
 public:
  Place() {
    clockid_t clock{};
    if (pthread_getcpuclockid(pthread_self(), &clock) != 0) return;
    for (Slot& slot : slots) {
      clockid_t free = kFree;
      if (slot.clock.compare_exchange_strong(free, clock)) {
        slot_ = &slot;
        return;
      }
    }
  }
  ~Place() {
    if (slot_ == nullptr) return;
    ended_ns.fetch_add(Read(CLOCK_THREAD_CPUTIME_ID));
    slot_->clock.store(kFree);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  Slot* slot_ = nullptr;
};

}  // namespace

void LeaveServingCpu() { thread_local const Place place; }

int64_t ServingCpuNs() {
  int64_t apart = ended_ns.load();
  for (const Slot& slot : slots) {
    const clockid_t clock = slot.clock.load();
    if (clock != kFree) apart += Read(clock);
  }
  return Read(CLOCK_PROCESS_CPUTIME_ID) - apart;
}

}  // namespace maas::bindings
