#include "maas/batching/latency_curves.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;

TEST(LatencyCurves, WhatWasMeasuredAtLoadIsOfTheModelThatHasOneShape) {
  LatencyCurves curves;
  EXPECT_FALSE(curves.Trusted(curves.Find("")));
  curves.Seed(1, 5 * kMs);
  EXPECT_TRUE(curves.Trusted(curves.Find("")));
  EXPECT_EQ(curves.Find("").Typical(1), 5 * kMs);
  EXPECT_FALSE(curves.Trusted(curves.Find("128"))) << "another shape may take any time";
}

TEST(LatencyCurves, EachBucketLearnsFromItsOwnRuns) {
  LatencyCurves curves;
  for (int i = 0; i < 40; ++i) {
    curves.Record("16", 1, 0, 0, kMs, i);
    curves.Record("512", 1, 0, 0, 90 * kMs, i);
  }
  EXPECT_EQ(curves.Find("16").Typical(1), kMs);
  EXPECT_EQ(curves.Find("512").Typical(1), 90 * kMs);
}

TEST(LatencyCurves, RemembersTheBucketsThatRanLast) {
  LatencyCurves curves;
  const auto most = static_cast<int64_t>(LatencyCurves::kMostBuckets);
  for (int64_t i = 0; i < most; ++i) curves.Record(std::to_string(i), 1, 0, 0, kMs, i);
  curves.Record("0", 1, 0, 0, kMs, most);
  curves.Record("another", 1, 0, 0, kMs, most + 1);
  EXPECT_TRUE(curves.Find("0").known());
  EXPECT_FALSE(curves.Find("1").known());
  EXPECT_TRUE(curves.Find("another").known());
  int64_t known = 0;
  curves.ForEach([&known](const std::string&, const LatencyCurve&) { ++known; });
  EXPECT_EQ(known, most);
}

TEST(LatencyCurves, NoneIsTrustedWhilePredictionsOfTheVersionAreWrong) {
  LatencyCurves curves;
  curves.Seed(1, kMs);
  curves.Record("16", 1, 0, 0, kMs, 0);
  for (int i = 0; i < PredictionCheck::kDistrustAt; ++i) {
    EXPECT_TRUE(curves.Trusted(curves.Find(""))) << i;
    curves.Record("16", 1, kMs, kMs, 100 * kMs, i);
  }
  EXPECT_FALSE(curves.Trusted(curves.Find("")));
  EXPECT_FALSE(curves.Trusted(curves.Find("16")));
  EXPECT_EQ(curves.check().lapses(), 1u);
}

TEST(LatencyCurves, WhatWasMeasuredAtLoadIsNotFirm) {
  LatencyCurves curves;
  curves.Seed(1, kMs);
  EXPECT_FALSE(curves.Firm(curves.Find(""), 0));
  curves.Record("", 1, 0, 0, kMs, 5);
  EXPECT_TRUE(curves.Firm(curves.Find(""), 5));
  EXPECT_FALSE(curves.Firm(curves.Find(""), 5 + 3'600'000 * kMs));
}

}  // namespace
}  // namespace maas
