#include "maas/batching/batch_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "maas/batching/batch_queue_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(BatchQueueTest, HandsOutWhatWaitsInOrderOfArrival) {
  Make(Options(8));
  EXPECT_THAT(Step(), IsEmpty());
  for (int id : {1, 2, 3}) Push(id);
  EXPECT_THAT(Step(), ElementsAre(1, 2, 3));
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_EQ(queue_->waiting_rows(), 0);
}

TEST_F(BatchQueueTest, ClosesABatchWhenItIsFull) {
  Make(Options(4, 5'000'000));
  for (int id : {1, 2, 3}) Push(id);
  EXPECT_THAT(Step(), IsEmpty());
  Push(4);
  Push(5);
  EXPECT_THAT(Step(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(queue_->waiting_rows(), 1);
}

TEST_F(BatchQueueTest, ClosesABatchWhenTheOldestWaitedMaxDelay) {
  Make(Options(4, 5'000'000));
  Push(1);
  clock_.Advance(3'000'000);
  Push(2);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_EQ(decision_.until_ns, clock_.Now() + 2'000'000);
  clock_.Advance(1'999'999);
  EXPECT_THAT(Step(), IsEmpty());
  clock_.Advance(1);
  EXPECT_THAT(Step(), ElementsAre(1, 2));
}

TEST_F(BatchQueueTest, KeepsOrderWhenTheNextDoesNotFit) {
  Make(Options(4));
  Push(1, 3);
  Push(2, 2);
  Push(3, 1);
  EXPECT_THAT(Step(), ElementsAre(1)) << "3 would fit, but 2 came before it";
  EXPECT_THAT(Step(), ElementsAre(2, 3));
}

TEST_F(BatchQueueTest, SharesTheItemIffThePushIsOk) {
  Make(Options(4, 0, 3));
  const auto accepted = Push(1, 2);
  EXPECT_EQ(accepted.use_count(), 2);
  const auto refused = Item(2, 2);
  EXPECT_EQ(queue_->Push(refused), PushResult::kFull);
  EXPECT_EQ(refused.use_count(), 1);
  queue_->Close();
  EXPECT_EQ(queue_->Push(refused), PushResult::kClosed);
  EXPECT_EQ(refused.use_count(), 1);
  EXPECT_FALSE(queue_->Cancel(refused.get(), &interrupts_));
  EXPECT_THAT(Step(), ElementsAre(1));
  batch_.clear();
  EXPECT_EQ(accepted.use_count(), 1);
}

TEST_F(BatchQueueTest, IsFullByRowsAndHasRoomAgainOnceTheyLeave) {
  Make(Options(4, 0, 5));
  Push(1, 4);
  EXPECT_EQ(queue_->Push(Item(2, 2)), PushResult::kFull);
  const auto last = Push(3, 1);
  EXPECT_EQ(queue_->Push(Item(4, 1)), PushResult::kFull);
  EXPECT_TRUE(queue_->Cancel(last.get(), &interrupts_));
  Push(5, 1);
  EXPECT_EQ(queue_->waiting_rows(), 5);
}

TEST_F(BatchQueueTest, TakesOneItemLargerThanItselfWhenEmpty) {
  Make(Options(4, 0, 5));
  Push(1, 50);
  EXPECT_EQ(queue_->Push(Item(2, 1)), PushResult::kFull);
}

TEST_F(BatchQueueTest, DropsExpiredItemsWhereItMeetsThem) {
  Make(Options(8));
  PushUntil(1, clock_.Now() + 10);
  Push(2);
  PushUntil(3, clock_.Now() + 10);
  PushUntil(4, clock_.Now() + 11);
  clock_.Advance(10);
  EXPECT_THAT(Step(), ElementsAre(4, 2));
  EXPECT_THAT(IdsOf(dead_), ElementsAre(1, 3));
  EXPECT_EQ(queue_->waiting_rows(), 0);
}

TEST_F(BatchQueueTest, ReportsTheDeadEvenWhenNothingElseWaits) {
  Make(Options(8));
  PushUntil(1, clock_.Now() + 10);
  clock_.Advance(10);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_THAT(IdsOf(dead_), ElementsAre(1));
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_THAT(dead_, IsEmpty());
}

TEST_F(BatchQueueTest, TakesOutWhatExpiredOnRequest) {
  Make(Options(8));
  PushUntil(1, clock_.Now() + 10);
  PushUntil(2, clock_.Now() + 30);
  PushUntil(3, clock_.Now() + 20);
  std::vector<std::shared_ptr<QueueItem>> dead;
  queue_->TakeExpired(clock_.Now() + 9, &dead);
  EXPECT_THAT(dead, IsEmpty());
  queue_->TakeExpired(clock_.Now() + 20, &dead);
  EXPECT_THAT(IdsOf(dead), ElementsAre(1, 3));
  queue_->TakeExpired(clock_.Now() + 20, &dead);
  EXPECT_THAT(dead, IsEmpty());
  queue_->TakeExpired(clock_.Now() + 30, &dead);
  EXPECT_THAT(IdsOf(dead), ElementsAre(2));
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_THAT(dead_, IsEmpty()) << "nobody dies twice";
}

TEST_F(BatchQueueTest, CancelsWhatWaitsAndNothingElse) {
  Make(Options(8));
  const auto running = Push(1);
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_FALSE(queue_->Cancel(running.get(), &interrupts_));
  const auto waiting = Push(2);
  Push(3);
  EXPECT_TRUE(queue_->Cancel(waiting.get(), &interrupts_));
  EXPECT_FALSE(queue_->Cancel(waiting.get(), &interrupts_));
  EXPECT_EQ(queue_->DeathOf(*waiting), Death::kCancelled);
  EXPECT_EQ(queue_->DeathOf(*running), Death::kNone);
  EXPECT_THAT(Step(), ElementsAre(3));
  EXPECT_THAT(dead_, IsEmpty());
}

TEST_F(BatchQueueTest, LetsGoOfCancelledItemsWithoutBeingStepped) {
  // Every instance may be in a long run meanwhile, and every request may have a shape of its own.
  Make(Options(8, 0, 1'000'000));
  std::vector<std::weak_ptr<TestItem>> cancelled;
  for (int id = 0; id < 1000; ++id) {
    const auto item = Push(id, 1, std::to_string(id));
    EXPECT_TRUE(queue_->Cancel(item.get(), &interrupts_));
    cancelled.push_back(item);
  }
  const auto kept = [](const auto& item) { return !item.expired(); };
  EXPECT_LE(std::count_if(cancelled.begin(), cancelled.end(), kept), 64);
}

TEST_F(BatchQueueTest, KeepsTheLivingWhenItLetsGoOfTheDead) {
  Make(Options(1000, 0, 1'000'000));
  std::vector<int> alive;
  for (int id = 0; id < 500; ++id) {
    const auto item = Push(id, 1, id % 2 == 0 ? "a" : "b");
    if (id % 5 == 0) {
      alive.push_back(id);
    } else {
      EXPECT_TRUE(queue_->Cancel(item.get(), &interrupts_));
    }
  }
  std::vector<int> taken = Step();
  const std::vector<int> rest = Step();
  taken.insert(taken.end(), rest.begin(), rest.end());
  EXPECT_THAT(taken, testing::UnorderedElementsAreArray(alive));
  EXPECT_THAT(Step(), IsEmpty());
}

TEST_F(BatchQueueTest, ABatchNeverMixesLanes) {
  Make(Options(8));
  Push(1, 1, "a");
  clock_.Advance(1);
  Push(2, 1, "b");
  Push(3, 1, "a");
  EXPECT_THAT(Step(), ElementsAre(1, 3));
  EXPECT_THAT(Step(), ElementsAre(2));
}

TEST_F(BatchQueueTest, TheLaneWithTheOldestItemComesFirst) {
  Make(Options(2));
  Push(1, 1, "rare");
  clock_.Advance(1);
  for (int id = 10; id < 20; ++id) Push(id, 1, "busy");
  EXPECT_THAT(Step(), ElementsAre(1)) << "a lane that is always full must not starve another";
  EXPECT_THAT(Step(), ElementsAre(10, 11));
}

TEST_F(BatchQueueTest, AFullLaneNeedNotWaitForAnOlderOneThatMustWait) {
  Make(Options(2, 1000));
  Push(1, 1, "rare");
  clock_.Advance(500);
  for (int id = 10; id < 14; ++id) Push(id, 1, "busy");
  EXPECT_THAT(Step(), ElementsAre(10, 11));
  clock_.Advance(600);
  Push(14, 1, "busy");
  Push(15, 1, "busy");
  EXPECT_THAT(Step(), ElementsAre(12, 13));
  EXPECT_THAT(Step(), ElementsAre(1)) << "due since before 14 came";
  EXPECT_THAT(Step(), ElementsAre(14, 15));
}

TEST_F(BatchQueueTest, SoloItemsRunAloneAndUnsplit) {
  Make(Options(4, 1000));
  const auto solo = Item(1, 10);
  solo->solo = true;
  EXPECT_EQ(queue_->Push(solo), PushResult::kOk);
  Push(2);
  EXPECT_THAT(Step(), ElementsAre(1)) << "company is no use to it, so neither is the delay";
  EXPECT_EQ(batch_[0].rows, 10);
  EXPECT_THAT(Step(), IsEmpty());
  const auto later = Item(3);
  later->solo = true;
  EXPECT_EQ(queue_->Push(later), PushResult::kOk);
  clock_.Advance(1000);
  EXPECT_THAT(Step(), ElementsAre(2)) << "nor is a solo item company to others";
  EXPECT_THAT(Step(), ElementsAre(3));
}

TEST_F(BatchQueueTest, SplitsWhatFitsNoBatch) {
  Make(Options(4));
  Push(1, 10);
  Push(2, 1);
  std::vector<Slice> slices;
  for (int64_t begin : {0, 4, 8}) {
    EXPECT_THAT(Step(), ElementsAre(1)) << "the failure of a slice must not be its neighbour's";
    EXPECT_EQ(batch_[0].begin, begin);
    slices.push_back(batch_[0]);
  }
  EXPECT_EQ(slices[2].rows, 2);
  EXPECT_THAT(Step(), ElementsAre(2));
  EXPECT_FALSE(queue_->Return(slices[1]));
  EXPECT_FALSE(queue_->Return(slices[0]));
  EXPECT_TRUE(queue_->Return(slices[2])) << "the last one back completes the request, whichever it is";
}

TEST_F(BatchQueueTest, WhatFollowsASplitItemIsNotBehindAllOfItInTheSameBatch) {
  Make(Options(4));
  Push(1, 3);
  Push(2, 9);
  EXPECT_THAT(Step(), ElementsAre(1)) << "a split begins in a batch of its own";
  EXPECT_THAT(Step(), ElementsAre(2));
  EXPECT_EQ(BatchRows(), 4);
}

TEST_F(BatchQueueTest, ASplitItemCancelledBetweenSlicesIsCompletedByTheLastOneBack) {
  Make(Options(4));
  const auto item = Push(1, 12);
  Step();
  const Slice first = batch_[0];
  Step();
  const Slice second = batch_[0];
  EXPECT_FALSE(queue_->Cancel(item.get(), &interrupts_)) << "slices are out";
  EXPECT_EQ(queue_->waiting_rows(), 0);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_THAT(dead_, IsEmpty());
  EXPECT_FALSE(queue_->Return(second));
  EXPECT_TRUE(queue_->Return(first));
  EXPECT_EQ(queue_->DeathOf(*item), Death::kCancelled);
}

TEST_F(BatchQueueTest, ASplitItemCancelledWithNoSliceOutIsCompletedByTheCanceller) {
  Make(Options(4));
  const auto item = Push(1, 12);
  Step();
  EXPECT_FALSE(queue_->Return(batch_[0]));
  EXPECT_TRUE(queue_->Cancel(item.get(), &interrupts_));
  EXPECT_THAT(Step(), IsEmpty());
}

TEST_F(BatchQueueTest, ASplitItemThatExpiresWithASliceOutIsReportedOnce) {
  Make(Options(4));
  const auto item = PushUntil(1, clock_.Now() + 10);
  const auto split = Item(2, 12);
  split->deadline_ns = clock_.Now() + 10;
  EXPECT_EQ(queue_->Push(split), PushResult::kOk);
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_THAT(Step(), ElementsAre(2));
  const Slice out = batch_[0];
  clock_.Advance(10);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_THAT(dead_, IsEmpty());
  std::vector<std::shared_ptr<QueueItem>> dead;
  queue_->TakeExpired(clock_.Now(), &dead);
  EXPECT_THAT(dead, IsEmpty());
  EXPECT_TRUE(queue_->Return(out));
  EXPECT_EQ(queue_->DeathOf(*split), Death::kExpired);
  EXPECT_EQ(queue_->DeathOf(*item), Death::kNone) << "what runs does not expire";
}

TEST_F(BatchQueueTest, ClosesAndHandsOutTheRestAtOnce) {
  Make(Options(4, 1'000'000));
  Push(1);
  EXPECT_THAT(Step(), IsEmpty());
  queue_->Close();
  EXPECT_EQ(queue_->Push(Item(2)), PushResult::kClosed);
  ASSERT_TRUE(queue_->Pop(&batch_, &dead_, &ticket_));
  EXPECT_EQ(batch_.size(), 1u);
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_, &ticket_));
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_, &ticket_));
}

TEST_F(BatchQueueTest, AClosedQueueStillReportsWhoDied) {
  Make(Options(4));
  PushUntil(1, clock_.Now() + 10);
  clock_.Advance(10);
  queue_->Close();
  ASSERT_TRUE(queue_->Pop(&batch_, &dead_, &ticket_));
  EXPECT_THAT(batch_, IsEmpty());
  EXPECT_THAT(IdsOf(dead_), ElementsAre(1));
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_, &ticket_));
}

TEST_F(BatchQueueTest, TakesOutAllThatWaits) {
  Make(Options(2));
  Push(1, 2, "a");
  clock_.Advance(1);
  Push(2, 9, "b");
  clock_.Advance(1);
  const auto untouched = Push(3, 9, "c");
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_THAT(Step(), ElementsAre(2));
  const Slice out = batch_[0];
  const auto cancelled = Push(4, 1, "d");
  EXPECT_TRUE(queue_->Cancel(cancelled.get(), &interrupts_));
  queue_->Close();
  std::vector<std::shared_ptr<QueueItem>> left;
  queue_->TakeAll(&left);
  EXPECT_THAT(IdsOf(left), ElementsAre(3));
  EXPECT_EQ(queue_->DeathOf(*untouched), Death::kAborted);
  EXPECT_EQ(queue_->waiting_rows(), 0);
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_, &ticket_));
  EXPECT_TRUE(queue_->Return(out));
  EXPECT_EQ(queue_->DeathOf(*out.item), Death::kAborted);
}

TEST_F(BatchQueueTest, RequeuedItemsComeBackFirstAndOneByOne) {
  Make(Options(4, 1'000'000));
  for (int id : {1, 2, 3, 4}) Push(id);
  ASSERT_THAT(Step(), ElementsAre(1, 2, 3, 4));
  std::vector<std::shared_ptr<QueueItem>> again;
  for (const Slice& slice : batch_) again.push_back(slice.item);
  EXPECT_FALSE(queue_->IsRetry(*again[0]));
  Push(5);
  queue_->Close();
  queue_->Requeue(again, &dead_);
  EXPECT_EQ(queue_->waiting_rows(), 5);
  for (int id : {1, 2, 3, 4, 5}) EXPECT_THAT(Step(), ElementsAre(id));
  EXPECT_TRUE(queue_->IsRetry(*again[0]));
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_, &ticket_));
}

TEST_F(BatchQueueTest, RequeuedItemsCanBeCancelledAndExpire) {
  Make(Options(4));
  const auto cancelled = Push(1);
  PushUntil(2, clock_.Now() + 10);
  Push(3);
  ASSERT_THAT(Step(), ElementsAre(2, 1, 3)) << "who has a deadline first";
  std::vector<std::shared_ptr<QueueItem>> again;
  for (const Slice& slice : batch_) again.push_back(slice.item);
  queue_->Requeue(again, &dead_);
  EXPECT_TRUE(queue_->Cancel(cancelled.get(), &interrupts_));
  clock_.Advance(10);
  std::vector<std::shared_ptr<QueueItem>> dead;
  queue_->TakeExpired(clock_.Now(), &dead);
  EXPECT_THAT(IdsOf(dead), ElementsAre(2));
  EXPECT_THAT(Step(), ElementsAre(3));
}

TEST_F(BatchQueueTest, EstimatesTheWaitFromTheCurve) {
  Make(Options(4));
  EXPECT_EQ(queue_->EstimateWait(), 0);
  for (int id = 0; id < 9; ++id) Push(id);
  EXPECT_EQ(queue_->EstimateWait(), 0) << "no run was measured";
  queue_->SeedRun(4, 1000);
  EXPECT_EQ(queue_->EstimateWait(), 3000);
  queue_->SeedRun(4, INT64_MAX);
  EXPECT_LE(queue_->EstimateWait(), LatencyCurve::kMostNs);
}

}  // namespace
}  // namespace maas
