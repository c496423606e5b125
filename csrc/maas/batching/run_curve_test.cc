#include "maas/batching/run_curve.h"

#include <gtest/gtest.h>

#include <limits>

namespace maas {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

TEST(RunCurve, KnowsNothingAtFirst) {
  const RunCurve curve;
  for (int64_t rows : {int64_t{1}, int64_t{7}, kHuge}) EXPECT_EQ(curve.Estimate(rows), 0) << rows;
}

TEST(RunCurve, EstimatesByThePointAbove) {
  RunCurve curve;
  curve.Record(1, 100);
  curve.Record(3, 400);  // Counts for 4.
  curve.Record(8, 900);
  struct Row {
    int64_t rows;
    int64_t ns;
  };
  for (const Row& row : {Row{1, 100}, Row{2, 400}, Row{3, 400}, Row{4, 400}, Row{5, 900}, Row{8, 900}}) {
    EXPECT_EQ(curve.Estimate(row.rows), row.ns) << row.rows;
  }
}

TEST(RunCurve, GrowsInProportionBeyondTheLastPoint) {
  RunCurve curve;
  curve.Record(4, 1000);
  EXPECT_EQ(curve.Estimate(8), 2000);
  EXPECT_EQ(curve.Estimate(9), 4000);
  EXPECT_EQ(curve.Estimate(1), 1000) << "nothing smaller was measured";
}

TEST(RunCurve, FollowsAChangeWithinAboutTenRuns) {
  RunCurve curve;
  curve.Record(1, 1'000'000);
  for (int i = 0; i < 22; ++i) curve.Record(1, 2'000'000);
  EXPECT_NEAR(static_cast<double>(curve.Estimate(1)), 1.9e6, 0.05e6);
}

TEST(RunCurve, ForgivesASingleSlowRun) {
  RunCurve curve;
  curve.Record(1, 1'000'000);
  curve.Record(1, 2'000'000);
  EXPECT_EQ(curve.Estimate(1), 1'100'000);
}

TEST(RunCurve, TakesWhatNoClockWouldSay) {
  RunCurve curve;
  curve.Record(1, 0);
  EXPECT_EQ(curve.Estimate(1), 1) << "0 would read as not known";
  curve.Record(1, -5);
  EXPECT_EQ(curve.Estimate(1), 1);
  RunCurve slow;
  slow.Record(1, kHuge);
  EXPECT_EQ(slow.Estimate(1), RunCurve::kMostNs);
  EXPECT_EQ(slow.Estimate(kHuge), RunCurve::kMostNs);
}

TEST(RunCurve, TakesRowsBeyondTheLastPointForTheLastPoint) {
  RunCurve curve;
  curve.Record(kHuge, 500);
  EXPECT_EQ(curve.Estimate(kHuge), 500);
  EXPECT_EQ(curve.Estimate(0), 500);
}

}  // namespace
}  // namespace maas
