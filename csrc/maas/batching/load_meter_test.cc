#include "maas/batching/load_meter.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

constexpr int64_t kWindow = LoadMeter::kWindowNs;
constexpr int64_t kStart = 1'000 * kWindow;  // Clocks do not begin at 0.

TEST(LoadMeter, KnowsNothingBeforeTheFirstArrival) {
  const LoadMeter meter;
  EXPECT_EQ(meter.ArrivalRate(kStart), 0);
  EXPECT_EQ(meter.Concurrency(kStart), 0);
  EXPECT_EQ(meter.CpuShare(), 0);
}

TEST(LoadMeter, MeasuresASteadyRate) {
  LoadMeter meter;
  int64_t now = kStart;
  for (int i = 0; i < 400; ++i) meter.OnArrival(now += 1'000'000, 1);  // One per millisecond for 8 windows.
  EXPECT_NEAR(meter.ArrivalRate(now), 1000, 30);
}

TEST(LoadMeter, ForgetsARateAfterTwoWindowsOfSilence) {
  LoadMeter meter;
  int64_t now = kStart;
  for (int i = 0; i < 400; ++i) meter.OnArrival(now += 1'000'000, 8);
  EXPECT_GT(meter.ArrivalRate(now + kWindow), 0);
  EXPECT_EQ(meter.ArrivalRate(now + 2 * kWindow), 0);
  EXPECT_EQ(meter.Concurrency(now + 2 * kWindow), 0);
  meter.OnArrival(now + 3 * kWindow, 1);
  EXPECT_EQ(meter.Concurrency(now + 3 * kWindow), 1);
  EXPECT_LE(meter.ArrivalRate(now + 3 * kWindow), 2e9 / static_cast<double>(kWindow));
}

TEST(LoadMeter, ReportsThePeakOfThisWindowAndTheLast) {
  LoadMeter meter;
  meter.OnArrival(kStart, 7);
  meter.OnArrival(kStart + 1, 3);
  EXPECT_EQ(meter.Concurrency(kStart + 1), 7);
  meter.OnArrival(kStart + kWindow, 2);
  EXPECT_EQ(meter.Concurrency(kStart + kWindow), 7);
  meter.OnArrival(kStart + 2 * kWindow, 2);
  EXPECT_EQ(meter.Concurrency(kStart + 2 * kWindow), 2);
}

TEST(LoadMeter, TakesArrivalsThatComeOutOfOrder) {
  LoadMeter meter;
  meter.OnArrival(kStart + 10, 1);
  meter.OnArrival(kStart, 2);  // Two threads read the clock before either came to the queue.
  EXPECT_EQ(meter.Concurrency(kStart + 10), 2);
  EXPECT_GT(meter.ArrivalRate(kStart + 10), 0);
}

TEST(LoadMeter, ComputesTheShareOfTheCpusInUse) {
  struct Row {
    int64_t wall_ns;
    int64_t cpu_ns;
    int cpus;
    double share;
  };
  const Row rows[] = {
      {1'000'000, 500'000, 1, 0.5},   {1'000'000, 1'000'000, 4, 0.25}, {1'000'000, 0, 2, 0},
      {1'000'000, 3'000'000, 2, 1.0},  // More than there is: the clocks are not read at one instant.
      {1'000'000, 500'000, 0, 0.5},   {1'000'000, -100, 1, 0},
  };
  for (const Row& row : rows) {
    LoadMeter meter;
    meter.OnCpu(kStart, 77, row.cpus);
    EXPECT_EQ(meter.CpuShare(), 0) << "one reading makes no share";
    meter.OnCpu(kStart + row.wall_ns, 77 + row.cpu_ns, row.cpus);
    EXPECT_DOUBLE_EQ(meter.CpuShare(), row.share) << row.wall_ns << ' ' << row.cpu_ns << ' ' << row.cpus;
  }
}

TEST(LoadMeter, KeepsTheShareWhenNoTimePassed) {
  LoadMeter meter;
  meter.OnCpu(kStart, 0, 1);
  meter.OnCpu(kStart + 100, 50, 1);
  meter.OnCpu(kStart + 100, 60, 1);
  EXPECT_DOUBLE_EQ(meter.CpuShare(), 0.5);
}

TEST(LoadMeter, WantsCpuOncePerWindow) {
  LoadMeter meter;
  EXPECT_TRUE(meter.WantsCpu(kStart));
  meter.OnCpu(kStart, 0, 1);
  EXPECT_FALSE(meter.WantsCpu(kStart + kWindow - 1));
  EXPECT_TRUE(meter.WantsCpu(kStart + kWindow));
}

TEST(LoadMeter, FollowsHowLateInstancesWakeAndForgivesOneStall) {
  LoadMeter meter;
  EXPECT_EQ(meter.WakeLag(), 0);
  for (int i = 0; i < 100; ++i) meter.OnWake(80'000);
  EXPECT_NEAR(meter.WakeLag(), 80'000, 100);
  meter.OnWake(int64_t{10} * 1'000'000'000);
  EXPECT_LT(meter.WakeLag(), 80'000 + LoadMeter::kLagWeight * LoadMeter::kMostLagNs);
  meter.OnWake(-5);
  EXPECT_GT(meter.WakeLag(), 0);
}

}  // namespace
}  // namespace maas
