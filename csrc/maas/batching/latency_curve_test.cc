#include "maas/batching/latency_curve.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace maas {
namespace {

constexpr int64_t kNow = 1'000'000'000'000;
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
constexpr int64_t kSizes[] = {1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 31, 32};

// A model of 1 ms and 0.1 ms per row.
double Model(int64_t rows) { return 1e6 + 1e5 * static_cast<double>(rows); }
int64_t Ns(double ns) { return std::llround(ns); }

LatencyCurve Seeded() {
  LatencyCurve curve;
  for (int64_t rows = 1; rows <= 32; rows *= 2) curve.Seed(rows, Ns(Model(rows)));
  return curve;
}

void ExpectAbout(const LatencyCurve& curve, double factor, double tolerance) {
  for (int64_t rows : kSizes) {
    const double expected = factor * Model(rows);
    EXPECT_NEAR(static_cast<double>(curve.Typical(rows)), expected, tolerance * expected) << rows;
  }
}

// Runs of sizes from `sizes` at random, each with noise of 5 % and, when `skewed`, one in ten 30 % slower.
class Runs {
 public:
  explicit Runs(std::vector<int64_t> sizes, bool skewed = false)
      : sizes_(std::move(sizes)), skewed_(skewed) {}
  void Record(LatencyCurve* curve, int n, double factor = 1) {
    for (int i = 0; i < n; ++i) {
      const int64_t rows = sizes_[random_() % sizes_.size()];
      const double slow = skewed_ && random_() % 10 == 0 ? 1.3 : 1;
      curve->Record(rows, Ns(factor * slow * Noise() * Model(rows)), kNow);
    }
  }
  double Noise() { return 0.95 + 0.1 * static_cast<double>(random_() % 1001) / 1000; }

 private:
  std::mt19937_64 random_{7};
  std::vector<int64_t> sizes_;
  bool skewed_;
};

const std::vector<int64_t> kAll(std::begin(kSizes), std::end(kSizes));

TEST(LatencyCurve, KnowsNothingAtFirst) {
  const LatencyCurve curve;
  EXPECT_FALSE(curve.known());
  EXPECT_FALSE(curve.Fresh(kNow));
  EXPECT_EQ(curve.BestRate(32), 0);
  EXPECT_TRUE(curve.Points().empty());
  for (int64_t rows : {int64_t{1}, int64_t{7}, kHuge}) {
    EXPECT_EQ(curve.Typical(rows), 0) << rows;
    EXPECT_EQ(curve.High(rows), 0) << rows;
  }
}

TEST(LatencyCurve, ReadsBetweenBelowAndBeyondItsPoints) {
  LatencyCurve curve;
  curve.Seed(4, 1000);
  curve.Seed(8, 1400);
  curve.Seed(32, 3800);  // 16 was never measured.
  struct Row {
    int64_t rows;
    int64_t ns;
  };
  const Row rows[] = {
      {1, 1000},  {2, 1000},  {3, 1000},  {4, 1000},  {5, 1100},  {6, 1200},       {8, 1400},
      {12, 1800}, {16, 2200}, {24, 3000}, {32, 3800}, {48, 5700}, {3200, 380'000},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(curve.Typical(row.rows), row.ns) << row.rows;
    EXPECT_EQ(curve.High(row.rows), row.ns) << row.rows;
  }
}

TEST(LatencyCurve, OneSizeBetweenPointsIsReadAsItIs) {
  for (int64_t rows : {3, 5, 9, 12, 15, 1000}) {
    LatencyCurve seeded, recorded;
    seeded.Seed(rows, 1'000'000);
    recorded.Record(rows, 1'000'000, kNow);
    for (const LatencyCurve& curve : {seeded, recorded}) {
      EXPECT_NEAR(static_cast<double>(curve.Typical(rows)), 1e6, 2) << rows;
      EXPECT_LT(curve.Typical(rows / 2), 1'000'000) << rows;
      EXPECT_GE(curve.Typical(rows / 2), 450'000) << rows;
      EXPECT_GT(curve.Typical(rows * 2), 1'000'000) << rows;
    }
  }
}

TEST(LatencyCurve, ASizeBetweenPointsDefinesTheOneThatIsMissing) {
  LatencyCurve above;  // The largest batch is no power of two.
  for (int64_t rows : {1, 2, 4, 8, 16, 24}) above.Seed(rows, Ns(Model(rows)));
  EXPECT_NEAR(static_cast<double>(above.Typical(24)), Model(24), 2);
  EXPECT_NEAR(static_cast<double>(above.Typical(32)), Model(32), 2);
  LatencyCurve below;
  below.Seed(16, Ns(Model(16)));
  below.Seed(12, Ns(Model(12)));
  EXPECT_NEAR(static_cast<double>(below.Typical(12)), Model(12), 2);
  EXPECT_NEAR(static_cast<double>(below.Typical(8)), Model(8), 2);
  LatencyCurve noisy;  // A line through both would have 16 rows take ten times as long.
  noisy.Seed(8, 1000);
  noisy.Seed(9, 2000);
  EXPECT_LE(noisy.Typical(16), 3556);
}

TEST(LatencyCurve, OfSeedsOfOneSizeTheLatestCounts) {
  LatencyCurve curve;
  curve.Seed(1, 5'000'000);
  curve.Seed(1, 1'000'000);
  EXPECT_EQ(curve.Typical(1), 1'000'000);
  curve.Seed(1, 2'000'000);
  EXPECT_EQ(curve.High(1), 2'000'000);
}

TEST(LatencyCurve, RunsOutweighASeedThatComesAfterThem) {
  LatencyCurve curve = Seeded();
  for (int i = 0; i < 32; ++i) curve.Record(1, 3 * Ns(Model(1)), kNow);
  curve.Seed(1, 1);
  EXPECT_NEAR(static_cast<double>(curve.Typical(1)), 3 * Model(1), 2);
  curve.Seed(64, 24'000'000);
  EXPECT_NEAR(static_cast<double>(curve.Typical(64)), 24e6, 2) << "at the pace of now";
}

TEST(LatencyCurve, ListsWhatWasMeasured) {
  LatencyCurve curve;
  curve.Seed(32, 3000);
  curve.Seed(1, 1000);
  const auto points = curve.Points();
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].rows, 1);
  EXPECT_EQ(points[0].typical_ns, 1000);
  EXPECT_EQ(points[1].rows, 32);
  EXPECT_EQ(points[1].high_ns, 3000);
}

TEST(LatencyCurve, IsMonotonicWhateverWasMeasured) {
  LatencyCurve seeded;
  seeded.Seed(1, 1000);
  seeded.Seed(2, 800);
  seeded.Seed(8, 900);
  seeded.Seed(16, 2000);
  EXPECT_EQ(seeded.Typical(2), 1000);
  EXPECT_EQ(seeded.Typical(4), 1000);
  std::mt19937_64 random(3);
  for (int trial = 0; trial < 50; ++trial) {
    LatencyCurve curve;
    for (int i = 0; i < 100; ++i) {
      curve.Record(1 + static_cast<int64_t>(random() % 70), static_cast<int64_t>(random() % 1'000'000), kNow);
      int64_t typical = 0, high = 0;
      for (int64_t rows = 1; rows < 150; ++rows) {
        ASSERT_GE(curve.Typical(rows), typical) << trial << ' ' << i << ' ' << rows;
        ASSERT_GE(curve.High(rows), high) << trial << ' ' << i << ' ' << rows;
        typical = curve.Typical(rows);
        high = curve.High(rows);
        ASSERT_GE(high, typical);
      }
    }
  }
}

TEST(LatencyCurve, IsDeafToThreeSlowRunsAmong32) {
  for (const auto& sizes : {std::vector<int64_t>{8}, std::vector<int64_t>{1, 8, 32}, kAll}) {
    LatencyCurve curve = Seeded();
    Runs runs(sizes);
    runs.Record(&curve, 200);
    for (int round = 0; round < 5; ++round) {
      std::vector<double> before;
      for (int64_t rows : kSizes) before.push_back(static_cast<double>(curve.High(rows)));
      for (int i = 0; i < 3; ++i) {
        curve.Record(8, 100 * Ns(Model(8)), kNow);
        runs.Record(&curve, 2);
      }
      for (size_t i = 0; i < before.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(curve.High(kSizes[i])) / before[i], 1, 0.06) << kSizes[i];
      }
      runs.Record(&curve, 26);
    }
  }
}

TEST(LatencyCurve, ForgivesSlowFirstRuns) {
  LatencyCurve curve;
  for (int64_t rows : {1, 8, 32}) curve.Record(rows, 100 * Ns(Model(rows)), kNow);
  for (int64_t rows : {1, 8, 32}) curve.Record(rows, Ns(Model(rows)), kNow);
  for (int64_t rows : {1, 8, 32}) {
    EXPECT_NEAR(static_cast<double>(curve.High(rows)), Model(rows), 0.01 * Model(rows)) << rows;
  }
}

TEST(LatencyCurve, ASlowRunThatStaysTheOnlyOneOfItsSizeRaisesNoOther) {
  LatencyCurve curve;
  curve.Record(1, 100 * Ns(Model(1)), kNow);
  Runs({8, 16, 32}).Record(&curve, 40);
  for (int64_t rows : {8, 16, 32}) {
    EXPECT_NEAR(static_cast<double>(curve.Typical(rows)), Model(rows), 0.1 * Model(rows)) << rows;
  }
  EXPECT_LE(curve.Typical(1), curve.Typical(8));
}

TEST(LatencyCurve, FollowsALastingChangeWithinOneWindowForAllSizes) {
  const auto kWindow = static_cast<int>(LatencyCurve::kWindow);
  for (double factor : {3.0, 1.0 / 3.0, 1.5, 20.0}) {
    for (const auto& sizes : {std::vector<int64_t>{1}, std::vector<int64_t>{32}, std::vector<int64_t>{1, 32},
                              std::vector<int64_t>{3, 24}, kAll}) {
      for (int before : {0, 10, 1000}) {
        LatencyCurve curve = Seeded();
        Runs runs(sizes);
        runs.Record(&curve, before);
        runs.Record(&curve, kWindow, factor);
        SCOPED_TRACE(testing::Message() << factor << ' ' << sizes.size() << " sizes after " << before);
        ExpectAbout(curve, factor, 0.12);
        EXPECT_LT(static_cast<double>(curve.High(8)), 1.2 * factor * Model(8));
        runs.Record(&curve, 1000, factor);
        ExpectAbout(curve, factor, 0.12);
      }
    }
  }
}

TEST(LatencyCurve, WhatWasMeasuredAtLoadIsOutvotedByMoreRunsThanItCountsFor) {
  LatencyCurve curve = Seeded();
  for (int i = 0; i < LatencyCurve::kSeedRuns; ++i) curve.Record(8, 20 * Ns(Model(8)), kNow);
  ExpectAbout(curve, 1, 0.01);
  curve.Record(8, 20 * Ns(Model(8)), kNow);
  ExpectAbout(curve, 20, 0.01);
  // The measurements are still there, and a return to them is noticed as soon.
  for (int i = 0; i < 2; ++i) curve.Record(8, Ns(Model(8)), kNow);
  ExpectAbout(curve, 1, 0.01);
}

TEST(LatencyCurve, FollowsAChangeThatComesWithOtherSizes) {
  LatencyCurve curve = Seeded();
  Runs small({1, 2}), large({16, 32});
  for (int round = 0; round < 20; ++round) {
    small.Record(&curve, 40, 1);
    large.Record(&curve, 40, 3);
  }
  for (int64_t rows : {16, 32}) {
    EXPECT_NEAR(static_cast<double>(curve.Typical(rows)), 3 * Model(rows), 0.3 * Model(rows)) << rows;
  }
}

TEST(LatencyCurve, LearnsThatOneSizeIsOutOfProportion) {
  LatencyCurve curve = Seeded();
  const int64_t slow = 4 * Ns(Model(32));  // Beyond a cache, say.
  Runs others({1, 2, 4, 8});
  for (int i = 0; i < 60; ++i) {
    others.Record(&curve, 3);
    curve.Record(32, slow, kNow);
  }
  EXPECT_NEAR(static_cast<double>(curve.Typical(32)), static_cast<double>(slow),
              0.15 * static_cast<double>(slow));
  for (int64_t rows : {1, 2, 4, 8}) {
    EXPECT_NEAR(static_cast<double>(curve.Typical(rows)), Model(rows), 0.1 * Model(rows)) << rows;
  }
}

TEST(LatencyCurve, LearnsTheSizesBetweenPoints) {
  LatencyCurve curve;
  Runs({3, 6, 12, 24}).Record(&curve, 2000);
  for (int64_t rows : {3, 6, 12, 24}) {
    EXPECT_NEAR(static_cast<double>(curve.Typical(rows)), Model(rows), 0.07 * Model(rows)) << rows;
  }
}

TEST(LatencyCurve, NoiseDoesNotDriftAwayFromSizesThatAreNotRun) {
  for (const auto& sizes :
       {std::vector<int64_t>{4}, std::vector<int64_t>{4, 8}, std::vector<int64_t>{3, 8}}) {
    LatencyCurve curve = Seeded();
    Runs(sizes, /*skewed=*/true).Record(&curve, 200'000);
    ExpectAbout(curve, 1, 0.15);
  }
}

TEST(LatencyCurve, IsFreshWhileRunsEnd) {
  LatencyCurve curve = Seeded();
  EXPECT_FALSE(curve.Fresh(kNow)) << "what was measured at load is no run";
  EXPECT_FALSE(curve.Fresh(std::numeric_limits<int64_t>::min()));
  curve.Record(1, 1000, kNow);
  EXPECT_TRUE(curve.Fresh(kNow));
  EXPECT_TRUE(curve.Fresh(kNow - 5)) << "clocks are read before locks are taken";
  EXPECT_TRUE(curve.Fresh(kNow + LatencyCurve::kLeastFreshNs));
  EXPECT_FALSE(curve.Fresh(kNow + LatencyCurve::kLeastFreshNs + 1));
  curve.Record(1, 1000, kNow - 1000);
  EXPECT_TRUE(curve.Fresh(kNow + LatencyCurve::kLeastFreshNs)) << "runs may be reported out of order";
  EXPECT_FALSE(curve.Fresh(kHuge));
}

TEST(LatencyCurve, KnowsTheRateOfTheBestSize) {
  LatencyCurve curve;
  curve.Seed(1, 1000);
  curve.Seed(8, 2000);
  curve.Seed(16, 8000);  // Half as fast per row.
  struct Row {
    int64_t max_rows;
    double rate;
  };
  for (const Row& row :
       {Row{1, 1e-3}, Row{4, 4.0 / 1428.571}, Row{8, 4e-3}, Row{12, 4e-3}, Row{16, 4e-3}, Row{kHuge, 4e-3}}) {
    EXPECT_NEAR(curve.BestRate(row.max_rows), row.rate, 1e-8) << row.max_rows;
  }
  LatencyCurve one;
  one.Seed(4, 1000);
  EXPECT_NEAR(one.BestRate(2), 2e-3, 1e-9);
  EXPECT_NEAR(one.BestRate(6), 4e-3, 1e-9);
  EXPECT_NEAR(one.BestRate(kHuge), 4e-3, 1e-9);
}

TEST(LatencyCurve, TakesWhatNoClockWouldSay) {
  LatencyCurve curve;
  curve.Record(1, 0, kNow);
  EXPECT_EQ(curve.Typical(1), 1) << "0 would read as not known";
  curve.Record(1, -5, kNow);
  EXPECT_EQ(curve.Typical(1), 1);
  LatencyCurve slow;
  slow.Record(1, kHuge, kNow);
  EXPECT_EQ(slow.Typical(1), LatencyCurve::kMostNs);
  EXPECT_EQ(slow.High(kHuge), LatencyCurve::kMostNs);
  LatencyCurve large;
  large.Record(int64_t{1} << 62, 500, kNow);
  EXPECT_EQ(large.Typical(kHuge), 500);
  EXPECT_EQ(large.Typical(0), 500);
  EXPECT_GT(large.BestRate(kHuge), 0);
}

TEST(LatencyCurve, StaysInRangeWhateverItIsTold) {
  std::mt19937_64 random(11);
  for (int trial = 0; trial < 20; ++trial) {
    LatencyCurve curve;
    for (int i = 0; i < 3000; ++i) {
      const auto rows = static_cast<int64_t>(random() >> (1 + random() % 63));
      const auto ns = static_cast<int64_t>(random()) >> (random() % 64);  // Negative half the time.
      if (random() % 50 == 0) {
        curve.Seed(std::max<int64_t>(rows, 1), ns);
      } else {
        curve.Record(std::max<int64_t>(rows, 1), ns, static_cast<int64_t>(random()));
      }
      for (int64_t asked : {int64_t{1}, rows, kHuge}) {
        ASSERT_GE(curve.Typical(asked), 1) << trial << ' ' << i;
        ASSERT_GE(curve.High(asked), curve.Typical(asked)) << trial << ' ' << i;
        ASSERT_LE(curve.High(asked), LatencyCurve::kMostNs) << trial << ' ' << i;
      }
      ASSERT_TRUE(std::isfinite(curve.BestRate(kHuge)));
    }
  }
}

}  // namespace
}  // namespace maas
