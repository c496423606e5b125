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
  LatencyCurve* const small = curves.Of("16");
  LatencyCurve* const large = curves.Of("512");
  for (int i = 0; i < 40; ++i) {
    curves.Record(small, 1, 0, 0, kMs, i);
    curves.Record(large, 1, 0, 0, 90 * kMs, i);
  }
  EXPECT_EQ(curves.Find("16").Typical(1), kMs);
  EXPECT_EQ(curves.Find("512").Typical(1), 90 * kMs);
  EXPECT_EQ(curves.Of("16"), small);
}

TEST(LatencyCurves, BucketsBeyondTheMostShareOneCurve) {
  LatencyCurves curves;
  for (size_t i = 0; i < LatencyCurves::kMostBuckets; ++i) curves.Of(std::to_string(i));
  LatencyCurve* const shared = curves.Of("another");
  EXPECT_EQ(shared, curves.Of("and another"));
  curves.Record(shared, 1, 0, 0, kMs, 0);
  EXPECT_EQ(&curves.Find("a third"), shared);
  int known = 0;
  curves.ForEach([&known](const std::string& key, const LatencyCurve&) {
    EXPECT_EQ(key, "");
    ++known;
  });
  EXPECT_EQ(known, 1);
}

TEST(LatencyCurves, NoneIsTrustedWhilePredictionsOfTheVersionAreWrong) {
  LatencyCurves curves;
  curves.Seed(1, kMs);
  LatencyCurve* const other = curves.Of("16");
  curves.Record(other, 1, 0, 0, kMs, 0);
  for (int i = 0; i < PredictionCheck::kDistrustAt; ++i) {
    EXPECT_TRUE(curves.Trusted(curves.Find(""))) << i;
    curves.Record(other, 1, kMs, kMs, 100 * kMs, i);
  }
  EXPECT_FALSE(curves.Trusted(curves.Find("")));
  EXPECT_FALSE(curves.Trusted(*other));
  EXPECT_EQ(curves.check().lapses(), 1u);
}

}  // namespace
}  // namespace maas
