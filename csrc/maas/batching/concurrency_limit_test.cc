#include "maas/batching/concurrency_limit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;

// A machine on which a run among c takes slowdown(c) x 10 ms, always used up to the limit.
struct Machine {
  std::function<double(int)> slowdown;
  double noise = 0;
  int64_t now = 1'000'000 * kMs;
  int64_t runs_at[16] = {};

  void Run(ConcurrencyLimit* limit, int64_t ns) {
    std::mt19937 random(7);
    std::lognormal_distribution<double> noisy(0, noise);
    for (const int64_t end = now + ns; now < end;) {
      const int c = limit->limit();
      const double took = slowdown(c);
      now += static_cast<int64_t>(took * 10 * kMs / c);
      ++runs_at[c];
      limit->Record(c, took * (noise > 0 ? noisy(random) : 1), now);
    }
  }
};

TEST(ConcurrencyLimit, KeepsWhatPays) {
  ConcurrencyLimit limit(8);
  Machine machine{[](int) { return 1.0; }};
  machine.Run(&limit, 60'000 * kMs);
  EXPECT_GE(limit.limit(), 7);  // A trial may be under way.
  EXPECT_GT(machine.runs_at[8], 18 * machine.runs_at[7]);
}

TEST(ConcurrencyLimit, FindsHowManyRunsPay) {
  for (const int pay : {1, 2, 3, 5}) {
    ConcurrencyLimit limit(6);
    Machine machine{[pay](int c) { return std::max(1.0, static_cast<double>(c) / pay); }};
    machine.Run(&limit, 60'000 * kMs);
    const int64_t before = machine.runs_at[pay];
    machine.now += 3'000 * kMs;
    machine.Run(&limit, 60'000 * kMs);
    int64_t others = 0;
    for (int c = 1; c <= 6; ++c) others += c == pay ? 0 : machine.runs_at[c];
    EXPECT_GT(machine.runs_at[pay] - before, 60'000 / 10 * pay * 9 / 10) << pay;
    EXPECT_GT(others, 0);
  }
}

TEST(ConcurrencyLimit, IsNotMisledByNoise) {
  ConcurrencyLimit limit(2);
  Machine machine{[](int c) { return c == 1 ? 1.0 : 1.2; }, 0.2};
  machine.Run(&limit, 300'000 * kMs);
  EXPECT_GT(machine.runs_at[2], 9 * machine.runs_at[1]);
}

TEST(ConcurrencyLimit, RisesAgainWhenMoreRunsPay) {
  ConcurrencyLimit limit(4);
  Machine machine{[](int c) { return static_cast<double>(c); }};
  machine.Run(&limit, 60'000 * kMs);
  EXPECT_LE(limit.limit(), 2);
  machine.slowdown = [](int) { return 1.0; };
  const int64_t before = machine.runs_at[4];
  machine.Run(&limit, 60'000 * kMs);
  EXPECT_GT(machine.runs_at[4] - before, 8'000);
}

TEST(ConcurrencyLimit, IsNeverBelowOneNorAboveTheMost) {
  std::mt19937 random(3);
  for (const int most : {1, 2, 5}) {
    ConcurrencyLimit limit(most);
    int64_t now = 0;
    for (int i = 0; i < 20'000; ++i) {
      const double odd[] = {0, -1, INFINITY, NAN, 1e-300, 1e300};
      const double slowdown =
          random() % 5 == 0 ? odd[random() % 6] : 0.1 * static_cast<double>(1 + random() % 50);
      limit.Record(static_cast<double>(random() % 7), slowdown,
                   now += static_cast<int64_t>(random() % 30) * kMs);
      ASSERT_GE(limit.limit(), 1);
      ASSERT_LE(limit.limit(), most);
    }
  }
}

TEST(ConcurrencyLimit, TriesNothingWhileItIsNotReached) {
  ConcurrencyLimit limit(4);
  int64_t now = 0;
  for (int i = 0; i < 10'000; ++i) {
    limit.Record(1 + i % 3 + 0.4, 5.0, now += 10 * kMs);
    ASSERT_EQ(limit.limit(), 4);
  }
}

TEST(ConcurrencyLimit, GivesUpATrialThatNobodyFills) {
  ConcurrencyLimit limit(2);
  int64_t now = 0;
  for (size_t i = 0; i < ConcurrencyLimit::kRuns; ++i) limit.Record(2, 2, now += kMs);
  EXPECT_EQ(limit.limit(), 1);
  limit.Record(0.5, 1, now + ConcurrencyLimit::kPatienceNs / 2);
  EXPECT_EQ(limit.limit(), 1);
  limit.Record(0.5, 1, now + ConcurrencyLimit::kPatienceNs + 1);
  EXPECT_EQ(limit.limit(), 2);
}

}  // namespace
}  // namespace maas
