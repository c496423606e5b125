#include "maas/base/clock.h"

#include <gtest/gtest.h>
#include <time.h>

#include <cstdint>

namespace maas {
namespace {

TEST(SteadyClock, NeverGoesBack) {
  int64_t last = SteadyClock::Get()->Now();
  for (int i = 0; i < 1000; ++i) {
    const int64_t now = SteadyClock::Get()->Now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(SteadyClock, IsOneForTheProcess) { EXPECT_EQ(SteadyClock::Get(), SteadyClock::Get()); }

#ifdef __linux__
TEST(SteadyClock, CountsFromTheOriginOfTheMonotonicClock) {
  const auto monotonic = [] {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  };
  const int64_t before = monotonic();
  const int64_t now = SteadyClock::Get()->Now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, monotonic());
}
#endif

TEST(SteadyClock, IsBeforeNever) { EXPECT_LT(SteadyClock::Get()->Now(), kNever); }

TEST(FakeClock, MovesOnlyWhenItIsMoved) {
  FakeClock clock(100);
  const Clock& seen = clock;
  EXPECT_EQ(seen.Now(), 100);
  EXPECT_EQ(seen.Now(), 100);
  clock.Advance(25);
  EXPECT_EQ(seen.Now(), 125);
}

}  // namespace
}  // namespace maas
