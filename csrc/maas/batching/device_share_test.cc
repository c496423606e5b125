// Who gets how much of a Device over seconds, by a virtual clock.
#include <gtest/gtest.h>

#include "maas/batching/device_testing.h"

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;
using Source = DeviceSimulation::Source;

TEST(DeviceShare, FollowsWeightsWhenAllWantMore) {
  for (const int instances : {1, 2}) {
    DeviceSimulation simulation(1);
    Source& heavy = simulation.Add();
    Source& light = simulation.Add();
    heavy.weight = 3;
    heavy.instances = light.instances = instances;
    heavy.run_ns = 10 * kMs;
    light.run_ns = 7 * kMs;
    simulation.Run(20'000 * kMs);
    EXPECT_NEAR(static_cast<double>(heavy.had_ns) / static_cast<double>(light.had_ns), 3, 0.1) << instances;
    EXPECT_EQ(simulation.most_running(), 1);
  }
}

TEST(DeviceShare, CountsTimeNotRuns) {
  DeviceSimulation simulation(1);
  Source& shorter = simulation.Add();
  Source& longer = simulation.Add();
  shorter.run_ns = 1 * kMs;
  longer.run_ns = 50 * kMs;
  simulation.Run(20'000 * kMs);
  EXPECT_NEAR(static_cast<double>(shorter.had_ns) / static_cast<double>(longer.had_ns), 1, 0.05);
}

TEST(DeviceShare, DeadlinesTakeNoMoreThanTheirShareFromWorkWithoutAny) {
  for (const double weight : {1.0, 4.0}) {
    DeviceSimulation simulation(1);
    Source& pressed = simulation.Add();
    Source& patient = simulation.Add();
    pressed.weight = weight;
    pressed.instances = 2;
    pressed.run_ns = 5 * kMs;
    pressed.every_ns = 4 * kMs;  // More than the device runs.
    pressed.budget_ns = 1 * kMs;
    patient.run_ns = 5 * kMs;
    simulation.Run(10'000 * kMs);
    EXPECT_NEAR(static_cast<double>(pressed.had_ns) / static_cast<double>(patient.had_ns), weight,
                0.05 * weight);
  }
}

TEST(DeviceShare, WithinTheirShareThoseWithDeadlinesGoFirst) {
  DeviceSimulation simulation(1);
  Source& pressed = simulation.Add();
  pressed.run_ns = 2 * kMs;
  pressed.every_ns = 20 * kMs;
  pressed.budget_ns = 6 * kMs;
  for (int i = 0; i < 4; ++i) simulation.Add().run_ns = 5 * kMs;  // Load without end.
  simulation.Run(10'000 * kMs);
  EXPECT_EQ(pressed.begun_late, 0);
  EXPECT_GE(pressed.begun, 499);
}

TEST(DeviceShare, NobodyWaitsWithoutEnd) {
  DeviceSimulation simulation(2);
  Source& wide = simulation.Add();
  wide.threads = 2;
  wide.run_ns = 10 * kMs;
  // Runs of one thread that overlap: all cores are free at once only if somebody waits for it.
  for (int i = 0; i < 3; ++i) {
    Source& narrow = simulation.Add();
    narrow.instances = 2;
    narrow.run_ns = (7 + i) * kMs;
  }
  simulation.Run(10'000 * kMs);
  EXPECT_LT(wide.longest_wait_ns, 500 * kMs);
  // A quarter of two cores, each run taking both; some is lost while one core waits for the other.
  EXPECT_GT(wide.had_ns, 2'000 * kMs);
  EXPECT_LT(wide.had_ns, 3'000 * kMs);
}

TEST(DeviceShare, OneThatWasAwayTakesNoBackPay) {
  DeviceSimulation simulation(1);
  Source& steady = simulation.Add();
  steady.run_ns = 5 * kMs;
  simulation.Run(5'000 * kMs);
  Source& back = simulation.Add();
  back.run_ns = 5 * kMs;
  back.budget_ns = 0;
  const int64_t before = steady.had_ns;
  simulation.Run(1'000 * kMs);
  EXPECT_NEAR(static_cast<double>(steady.had_ns - before), static_cast<double>(back.had_ns), 50.0 * kMs);
}

TEST(DeviceShare, WithoutALimitEverythingRunsAtOnce) {
  DeviceSimulation simulation(1e9);
  for (int i = 0; i < 10; ++i) simulation.Add().run_ns = 10 * kMs;
  simulation.Run(100 * kMs);
  EXPECT_EQ(simulation.most_running(), 10);
}

}  // namespace
}  // namespace maas
