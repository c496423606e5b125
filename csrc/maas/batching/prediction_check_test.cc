#include "maas/batching/prediction_check.h"

#include <gtest/gtest.h>

#include <limits>

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kPredicted = 10 * kMs;
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

// How many of `n` such runs changed trust.
int Record(PredictionCheck* check, int n, int64_t actual_ns) {
  int changes = 0;
  for (int i = 0; i < n; ++i) changes += check->Record(kPredicted, kPredicted, actual_ns) ? 1 : 0;
  return changes;
}
int Good(PredictionCheck* check, int n) { return Record(check, n, kPredicted); }
int Bad(PredictionCheck* check, int n) { return Record(check, n, 5 * kPredicted); }

TEST(PredictionCheck, TrustsUntilItKnowsBetter) {
  const PredictionCheck check;
  EXPECT_TRUE(check.trusted());
  EXPECT_EQ(check.lapses(), 0u);
}

TEST(PredictionCheck, CallsHalfAndDoubleRightAndWhatIsBeyondWrong) {
  struct Row {
    int64_t predicted_ns;
    int64_t actual_ns;
    bool wrong;
  };
  const Row rows[] = {
      {10 * kMs, 10 * kMs, false},
      {10 * kMs, 20 * kMs, false},
      {10 * kMs, 20 * kMs + 1, true},
      {10 * kMs, 5 * kMs, false},
      {10 * kMs, 5 * kMs - 1, true},
      {kMs / 10, kMs / 10 + PredictionCheck::kToleranceNs, false},
      {kMs / 10, kMs / 10 + PredictionCheck::kToleranceNs + 1, true},
      {PredictionCheck::kToleranceNs, 1, false},
      {1, 1000, false},
      {1, kHuge, true},
      {kHuge, 1, true},
      {kHuge, kHuge, false},
      {10 * kMs, 0, true},
      {10 * kMs, -kHuge, true},
      {0, kHuge, false},
      {-1, kHuge, false},
  };
  for (const Row& row : rows) {
    PredictionCheck check;
    for (int i = 0; i < PredictionCheck::kDistrustAt; ++i)
      check.Record(row.predicted_ns, row.predicted_ns, row.actual_ns);
    EXPECT_EQ(check.trusted(), !row.wrong) << row.predicted_ns << ' ' << row.actual_ns;
  }
}

TEST(PredictionCheck, ASlowFirstRunEndsNoTrust) {
  PredictionCheck check;
  EXPECT_EQ(Bad(&check, 1), 0);
  EXPECT_EQ(Good(&check, 100), 0);
  EXPECT_TRUE(check.trusted());
}

TEST(PredictionCheck, TrustEndsWithTheEighthWrongRunOfAWindow) {
  PredictionCheck check;
  EXPECT_EQ(Bad(&check, PredictionCheck::kDistrustAt - 1), 0);
  EXPECT_TRUE(check.trusted());
  EXPECT_EQ(Bad(&check, 1), 1);
  EXPECT_FALSE(check.trusted());
  EXPECT_EQ(check.lapses(), 1u);
}

TEST(PredictionCheck, ForgetsWrongRunsThatLeftTheWindow) {
  PredictionCheck check;
  for (int round = 0; round < 20; ++round) {  // 7 wrong ones of any 32.
    EXPECT_EQ(Bad(&check, 7) + Good(&check, PredictionCheck::kWindow - 7), 0) << round;
  }
  EXPECT_TRUE(check.trusted());
}

TEST(PredictionCheck, ARunWithoutPredictionDoesNotCount) {
  PredictionCheck check;
  Bad(&check, PredictionCheck::kDistrustAt - 1);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(check.Record(0, 0, kPredicted));
  EXPECT_EQ(Bad(&check, 1), 1);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(check.Record(0, 0, kPredicted));
  EXPECT_FALSE(check.trusted());
}

TEST(PredictionCheck, TrustReturnsAfterEnoughRunsWithOneWrongOne) {
  PredictionCheck check;
  Bad(&check, PredictionCheck::kDistrustAt);
  EXPECT_EQ(Bad(&check, PredictionCheck::kTrustAt), 0);
  EXPECT_EQ(Good(&check, PredictionCheck::kTrustRuns - PredictionCheck::kTrustAt - 1), 0);
  EXPECT_FALSE(check.trusted());
  EXPECT_EQ(Good(&check, 1), 1);
  EXPECT_TRUE(check.trusted());
  EXPECT_EQ(check.lapses(), 1u);
}

TEST(PredictionCheck, StaysDistrustfulWhileTwoOfThemAreWrong) {
  PredictionCheck check;
  Bad(&check, PredictionCheck::kDistrustAt);
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(Bad(&check, 2) + Good(&check, PredictionCheck::kTrustRuns - 2), 0) << round;
  }
  EXPECT_FALSE(check.trusted());
  EXPECT_EQ(Good(&check, 1), 1) << "the first of the two left the window";
}

TEST(PredictionCheck, TheWindowStartsAnewWhenTrustReturns) {
  PredictionCheck check;
  Bad(&check, PredictionCheck::kDistrustAt);
  // A wrong one at the end of the window that restores trust does not count towards the next lapse.
  Good(&check, PredictionCheck::kTrustRuns - PredictionCheck::kTrustAt);
  EXPECT_EQ(Bad(&check, PredictionCheck::kTrustAt), 1);
  EXPECT_EQ(Bad(&check, PredictionCheck::kDistrustAt - 1), 0);
  EXPECT_TRUE(check.trusted());
  EXPECT_EQ(Bad(&check, 1), 1);
  EXPECT_EQ(check.lapses(), 2u);
}

TEST(PredictionCheck, BetweenHalfOfTheTypicalAndTwiceTheHighTimeNothingIsWrong) {
  PredictionCheck check;
  for (int i = 0; i < 200; ++i) {
    EXPECT_FALSE(check.Record(kPredicted, 3 * kPredicted, i % 2 == 0 ? 6 * kPredicted : kPredicted / 2));
  }
  EXPECT_EQ(check.lapses(), 0u);
}

}  // namespace
}  // namespace maas
