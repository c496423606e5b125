#include "maas/batching/busy_meter.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

constexpr int64_t kWindow = BusyMeter::kWindowNs;
constexpr int64_t kStart = 1'000 * kWindow;  // Clocks do not begin at 0.

TEST(BusyMeter, IsIdleBeforeAnythingRan) {
  const BusyMeter meter;
  EXPECT_EQ(meter.Idle(0), 1);
  EXPECT_EQ(meter.Idle(kStart), 1);
}

TEST(BusyMeter, MeasuresASteadyShare) {
  BusyMeter meter;
  int64_t now = kStart;
  for (int i = 0; i < 1'000; ++i) {
    meter.Set(true, now);
    meter.Set(false, now + 3'000'000);
    now += 10'000'000;
  }
  EXPECT_NEAR(meter.Idle(now), 0.7, 0.005);
}

TEST(BusyMeter, CountsWhatRunsAtThisMoment) {
  BusyMeter meter;
  meter.Set(true, kStart);
  EXPECT_EQ(meter.Idle(kStart), 1);
  EXPECT_NEAR(meter.Idle(kStart + kWindow / 2), 1 - 0.5 / 1.5, 1e-9);
  EXPECT_NEAR(meter.Idle(kStart + kWindow), 0, 1e-9);
  EXPECT_NEAR(meter.Idle(kStart + 100 * kWindow + 5), 0, 1e-9);
}

TEST(BusyMeter, ForgetsAfterTwoWindows) {
  BusyMeter meter;
  meter.Set(true, kStart);
  meter.Set(false, kStart + kWindow / 2);
  EXPECT_NEAR(meter.Idle(kStart + kWindow), 0.5, 1e-9);
  EXPECT_NEAR(meter.Idle(kStart + 3 * kWindow / 2), 1 - 0.5 / 1.5, 1e-9);
  EXPECT_EQ(meter.Idle(kStart + 2 * kWindow), 1);
}

TEST(BusyMeter, SplitsARunAtTheEdgeOfAWindow) {
  BusyMeter meter;
  meter.Set(true, kStart + kWindow / 4 * 3);
  meter.Set(false, kStart + kWindow / 4 * 5);
  // A quarter in each of the two.
  EXPECT_NEAR(meter.Idle(kStart + 2 * kWindow - 1), 1 - 0.5 / 2, 1e-6);
  EXPECT_NEAR(meter.Idle(kStart + 2 * kWindow), 1 - 0.25, 1e-9);
}

TEST(BusyMeter, TakesInstantsThatComeOutOfOrder) {
  BusyMeter meter;
  meter.Set(true, kStart + 10);
  meter.Set(false, kStart);
  EXPECT_EQ(meter.Idle(kStart + 20), 1);
  EXPECT_EQ(meter.Idle(kStart - kWindow), 1);
}

}  // namespace
}  // namespace maas
