#include "maas/front/unread.h"

#include <gtest/gtest.h>

namespace maas {
namespace {

constexpr size_t kStep = UnreadAnswers::kStep;
constexpr int64_t kTimeout = 1000;

TEST(UnreadAnswers, AFewCostNothing) {
  MemoryBudget budget(10 * kStep);
  UnreadAnswers unread(&budget);
  EXPECT_TRUE(unread.Settle(kStep, false));
  EXPECT_EQ(budget.used(), 0U);
}

TEST(UnreadAnswers, TakesAndGivesAsTheyComeAndLeave) {
  MemoryBudget budget(10 * kStep);
  UnreadAnswers unread(&budget);
  EXPECT_TRUE(unread.Settle(3 * kStep + 1, true));
  EXPECT_EQ(budget.used(), 4 * kStep);
  EXPECT_TRUE(unread.Settle(2 * kStep, true));
  EXPECT_EQ(budget.used(), 2 * kStep);
  EXPECT_TRUE(unread.Settle(kStep, true));
  EXPECT_EQ(budget.used(), 0U);
}

TEST(UnreadAnswers, GivesNothingBackWhileSomeAreOnTheirWay) {
  MemoryBudget budget(10 * kStep);
  UnreadAnswers unread(&budget);
  EXPECT_TRUE(unread.Settle(4 * kStep, false));
  EXPECT_TRUE(unread.Settle(0, false));
  EXPECT_EQ(budget.used(), 4 * kStep);
  EXPECT_TRUE(unread.Settle(0, true));
  EXPECT_EQ(budget.used(), 0U);
}

TEST(UnreadAnswers, SaysWhenTheBudgetIsSpentAndGoesOnWhenItIsNot) {
  MemoryBudget budget(10 * kStep);
  UnreadAnswers first(&budget), second(&budget);
  EXPECT_TRUE(first.Settle(8 * kStep, true));
  EXPECT_TRUE(second.Settle(2 * kStep, true));
  EXPECT_FALSE(second.Settle(3 * kStep, true));
  EXPECT_EQ(second.taken(), 2 * kStep);
  EXPECT_TRUE(first.Settle(0, true));
  EXPECT_TRUE(second.Settle(3 * kStep, true));
  EXPECT_EQ(budget.used(), 3 * kStep);
}

TEST(UnreadAnswers, GivesAllBackWhenTheConnectionGoes) {
  MemoryBudget budget(10 * kStep);
  {
    UnreadAnswers unread(&budget);
    EXPECT_TRUE(unread.Settle(5 * kStep, false));
  }
  EXPECT_EQ(budget.used(), 0U);
}

TEST(UnreadAnswers, WithoutABudgetAnythingGoes) {
  UnreadAnswers unread(nullptr);
  EXPECT_TRUE(unread.Settle(SIZE_MAX, false));
}

TEST(StallWatch, NothingThatWaitsIsNoStall) {
  StallWatch watch(kTimeout);
  watch.Look(10, {.bodies_sent = 500, .written = 600});
  EXPECT_EQ(watch.cut_at(), kNever);
  watch.Look(20, {.unsent = 100, .bodies_sent = 500});
  EXPECT_EQ(watch.cut_at(), 20 + kTimeout);
  watch.Look(30, {.bodies_sent = 600, .written = 100});
  EXPECT_EQ(watch.cut_at(), kNever);
}

TEST(StallWatch, AByteOfWindowNowAndThenIsTooLittle) {
  StallWatch watch(kTimeout);
  watch.Look(0, {.unsent = 1'000'000});
  for (uint64_t i = 1; i < 100; ++i) {
    watch.Look(static_cast<int64_t>(i), {.unsent = 1'000'000 - i, .bodies_sent = i, .written = 10});
  }
  EXPECT_EQ(watch.cut_at(), kTimeout);
}

TEST(StallWatch, WhoTakesEnoughWithinTheTimeoutMayGoOn) {
  StallWatch watch(kTimeout);
  watch.Look(0, {.unsent = 1'000'000});
  watch.Look(900, {.unsent = 1'000'000, .bodies_sent = StallWatch::kLeast - 1, .written = 4200});
  EXPECT_EQ(watch.cut_at(), kTimeout);
  watch.Look(950, {.unsent = 1'000'000, .bodies_sent = StallWatch::kLeast, .written = 10});
  EXPECT_EQ(watch.cut_at(), 950 + kTimeout);
  // And has to do so again.
  watch.Look(1500, {.unsent = 1'000'000, .bodies_sent = StallWatch::kLeast + 1, .written = 10});
  EXPECT_EQ(watch.cut_at(), 950 + kTimeout);
}

TEST(StallWatch, WhereLittleWaitsAllOfItHasToLeave) {
  StallWatch watch(kTimeout);
  watch.Look(0, {.unsent = 100});
  watch.Look(500, {.unsent = 50, .bodies_sent = 99, .written = 108});
  EXPECT_EQ(watch.cut_at(), kTimeout);
  watch.Look(600, {.unsent = 49, .bodies_sent = 100, .written = 10});
  EXPECT_EQ(watch.cut_at(), 600 + kTimeout);
}

TEST(StallWatch, AFullSocketThatTakesBytesIsProgressThoughNoBodyFollows) {
  StallWatch watch(kTimeout);
  watch.Look(0, {.queued = 200'000, .unsent = 1'000'000, .bodies_sent = 300'000});
  watch.Look(500, {.queued = 195'000, .unsent = 1'000'000, .bodies_sent = 300'000, .written = 5000});
  EXPECT_EQ(watch.cut_at(), 500 + kTimeout);
}

TEST(StallWatch, AnswersToPingsAreNoProgressWhereAWindowIsClosed) {
  StallWatch watch(kTimeout);
  watch.Look(0, {.unsent = 1'000'000, .bodies_sent = 7});
  watch.Look(500, {.unsent = 1'000'000, .bodies_sent = 7, .written = 100'000});
  EXPECT_EQ(watch.cut_at(), kTimeout);
}

TEST(StallWatch, BodiesThatAreOnlyQueuedAreNoProgress) {
  StallWatch watch(kTimeout);
  watch.Look(0, {.queued = 1000, .unsent = 1'000'000});
  watch.Look(500, {.queued = 200'000, .unsent = 800'000, .bodies_sent = 200'000, .written = 100});
  EXPECT_EQ(watch.cut_at(), kTimeout);
}

TEST(StallWatch, WithoutATimeoutItNeverCuts) {
  StallWatch watch(kNever);
  watch.Look(5, {.unsent = 10});
  EXPECT_EQ(watch.cut_at(), kNever);
}

}  // namespace
}  // namespace maas
