#include "maas/batching/rate_meter.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;

TEST(RateMeterTest, NothingIsAskedForBeforeTheFirstRow) { EXPECT_EQ(RateMeter().Rate(0), 0); }

TEST(RateMeterTest, AnEvenLoadIsItsRate) {
  RateMeter meter;
  int64_t now = 0;
  for (; now < 1'000 * kMs; now += kMs) meter.Add(3, now);
  EXPECT_NEAR(meter.Rate(now) * 1e9, 3'000, 30);
}

TEST(RateMeterTest, FollowsAChangeWithinTwoWindows) {
  RateMeter meter;
  int64_t now = 0;
  for (; now < 1'000 * kMs; now += kMs) meter.Add(1, now);
  for (; now < 1'200 * kMs; now += kMs) meter.Add(10, now);
  EXPECT_NEAR(meter.Rate(now) * 1e9, 10'000, 200);
}

TEST(RateMeterTest, ABurstIsForgottenAfterTwoWindows) {
  RateMeter meter;
  meter.Add(1'000, 0);
  EXPECT_NEAR(meter.Rate(0) * 1e9, 10'000, 1);
  EXPECT_EQ(meter.Rate(2 * RateMeter::kWindowNs), 0);
  meter.Add(1, 2 * RateMeter::kWindowNs);
  EXPECT_NEAR(meter.Rate(2 * RateMeter::kWindowNs) * 1e9, 10, 0.1);
}

}  // namespace
}  // namespace maas
