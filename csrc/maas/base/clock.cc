#include "maas/base/clock.h"

#include <chrono>

namespace maas {

int64_t SteadyClock::Now() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

SteadyClock* SteadyClock::Get() {
  static SteadyClock clock;
  return &clock;
}

}  // namespace maas
