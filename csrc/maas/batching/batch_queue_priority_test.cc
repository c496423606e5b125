// BatchQueue with priority levels, queue policies and preferred sizes, stepped by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "maas/batching/batch_queue_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kMs = 1'000'000;

class BatchQueuePriorityTest : public BatchQueueTest {
 protected:
  static BatchQueue::Options Levels(uint64_t levels, uint64_t standard, int64_t max_batch_rows = 8,
                                    int64_t delay_ns = 0) {
    BatchQueue::Options options = Options(max_batch_rows, delay_ns);
    options.priorities.levels = levels;
    options.priorities.default_level = standard;
    return options;
  }
  static BatchQueue::Options Timeout(int64_t timeout_ns, TimeoutAction action, int64_t delay_ns = 0) {
    BatchQueue::Options options = Options(8, delay_ns);
    options.priorities.policy.default_timeout_ns = timeout_ns;
    options.priorities.policy.timeout_action = action;
    return options;
  }

  std::shared_ptr<TestItem> PushAt(uint64_t priority, int id, int64_t rows = 1, std::string lane = "") {
    auto item = Item(id, rows, std::move(lane));
    item->priority = priority;
    EXPECT_EQ(queue_->Push(item), PushResult::kOk);
    return item;
  }
  PushResult TryAt(uint64_t priority, int id = 99) {
    auto item = Item(id);
    item->priority = priority;
    return queue_->Push(item);
  }
  std::vector<int> Expired() {
    std::vector<std::shared_ptr<QueueItem>> dead;
    queue_->TakeExpired(clock_.Now(), &dead);
    return IdsOf(dead);
  }
};

TEST_F(BatchQueuePriorityTest, RunsHigherLevelsFirstAndEachInOrder) {
  Make(Levels(3, 2, 4));
  PushAt(3, 1);
  PushAt(0, 2);
  PushAt(1, 3);
  PushAt(2, 4);
  PushAt(1, 5);
  PushAt(77, 6);
  EXPECT_THAT(Step(), ElementsAre(3, 5, 2, 4)) << "none asked for, and no such level: the default one";
  EXPECT_THAT(Step(), ElementsAre(6, 1));
}

TEST_F(BatchQueuePriorityTest, ABatchFillsUpWithLowerLevels) {
  Make(Levels(2, 2, 4));
  PushAt(2, 1, 2);
  PushAt(1, 2, 2);
  EXPECT_THAT(Step(), ElementsAre(2, 1));
}

TEST_F(BatchQueuePriorityTest, AnUrgentRequestComesBetweenTheSlicesOfALargeOne) {
  Make(Levels(2, 2, 4));
  PushAt(2, 1, 8);
  EXPECT_THAT(Step(), ElementsAre(1));
  PushAt(1, 2);
  EXPECT_THAT(Step(), ElementsAre(2));
  EXPECT_THAT(Step(), ElementsAre(1));
}

TEST_F(BatchQueuePriorityTest, OfTheLanesThatAreDueTheMostUrgentIsNext) {
  Make(Levels(2, 2, 4));
  PushAt(2, 1, 1, "a");
  clock_.Advance(1);
  PushAt(1, 2, 1, "b");
  PushAt(2, 3, 1, "b");
  EXPECT_THAT(Step(), ElementsAre(2, 3));
  EXPECT_THAT(Step(), ElementsAre(1));
}

TEST_F(BatchQueuePriorityTest, AnUrgentRequestThatWaitsForCompanyKeepsNobodyBack) {
  Make(Levels(2, 2, 2, 5 * kMs));
  PushAt(1, 1, 1, "a");
  PushAt(2, 2, 2, "b");
  EXPECT_THAT(Step(), ElementsAre(2)) << "full";
  EXPECT_THAT(Step(), IsEmpty());
  clock_.Advance(5 * kMs);
  EXPECT_THAT(Step(), ElementsAre(1));
}

TEST_F(BatchQueuePriorityTest, TheOldestOfAnyLevelEndsTheDelay) {
  Make(Levels(2, 2, 8, 5 * kMs));
  PushAt(2, 1);
  clock_.Advance(4 * kMs);
  PushAt(1, 2);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_EQ(decision_.until_ns, clock_.Now() + kMs);
  clock_.Advance(kMs);
  EXPECT_THAT(Step(), ElementsAre(2, 1));
}

TEST_F(BatchQueuePriorityTest, AFailedBatchComesBackAtItsOwnLevel) {
  Make(Levels(2, 2));
  PushAt(2, 1);
  PushAt(2, 2);
  EXPECT_THAT(Step(), ElementsAre(1, 2));
  queue_->Requeue({batch_[0].item, batch_[1].item}, &dead_);
  PushAt(1, 3);
  EXPECT_THAT(Step(), ElementsAre(3));
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_THAT(Step(), ElementsAre(2));
}

TEST_F(BatchQueuePriorityTest, RefusesMoreRequestsOfALevelThanMayWait) {
  BatchQueue::Options options = Levels(2, 2, 1);
  options.priorities.policy.max_queue_size = 2;
  options.priorities.by_level[1] = {.max_queue_size = 1};
  Make(options);
  PushAt(1, 1);
  EXPECT_EQ(TryAt(1), PushResult::kLevelFull);
  const auto second = PushAt(2, 2);
  PushAt(2, 3);
  EXPECT_EQ(TryAt(2), PushResult::kLevelFull);
  EXPECT_THAT(Step(), ElementsAre(1));
  PushAt(1, 4);
  EXPECT_TRUE(queue_->Cancel(second.get(), &interrupts_));
  PushAt(2, 5);
  EXPECT_EQ(TryAt(2), PushResult::kLevelFull);
}

TEST_F(BatchQueuePriorityTest, ALargeRequestCountsAsWaitingUntilItsLastSliceIsTaken) {
  BatchQueue::Options options = Options(4);
  options.priorities.policy.max_queue_size = 1;
  Make(options);
  Push(1, 8);
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_EQ(TryAt(0), PushResult::kLevelFull);
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_EQ(TryAt(0), PushResult::kOk);
}

TEST_F(BatchQueuePriorityTest, WhatWaitedTooLongLeaves) {
  Make(Timeout(10 * kMs, TimeoutAction::kReject));
  const auto late = Push(1);
  clock_.Advance(10 * kMs - 1);
  EXPECT_THAT(Expired(), IsEmpty());
  clock_.Advance(1);
  Push(2);
  EXPECT_THAT(Step(), ElementsAre(2));
  EXPECT_THAT(IdsOf(dead_), ElementsAre(1));
  EXPECT_EQ(queue_->DeathOf(*late), Death::kTimedOut);
  EXPECT_EQ(queue_->waiting_rows(), 0);
}

TEST_F(BatchQueuePriorityTest, WhatWaitedTooLongLeavesWithoutAnIdleInstance) {
  Make(Timeout(10 * kMs, TimeoutAction::kReject));
  const auto first = Push(1);
  const auto deadline = PushUntil(2, clock_.Now() + 5 * kMs);
  clock_.Advance(5 * kMs);
  Push(3);
  EXPECT_THAT(Expired(), ElementsAre(2));
  clock_.Advance(5 * kMs);
  EXPECT_THAT(Expired(), ElementsAre(1));
  EXPECT_EQ(queue_->DeathOf(*first), Death::kTimedOut);
  EXPECT_EQ(queue_->DeathOf(*deadline), Death::kExpired);
  clock_.Advance(5 * kMs);
  EXPECT_THAT(Expired(), ElementsAre(3)) << "the next one is not forgotten";
}

TEST_F(BatchQueuePriorityTest, WhatHasBegunOrRunsAgainDoesNotTimeOut) {
  BatchQueue::Options options = Timeout(10 * kMs, TimeoutAction::kReject);
  options.batch.max_batch_rows = 4;
  Make(options);
  Push(1, 8);
  EXPECT_THAT(Step(), ElementsAre(1));
  const Slice slice = batch_[0];
  clock_.Advance(20 * kMs);
  EXPECT_THAT(Expired(), IsEmpty());
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_FALSE(queue_->Return(slice));
  EXPECT_TRUE(queue_->Return(batch_[0]));
  Push(2);
  Push(3);
  EXPECT_THAT(Step(), ElementsAre(2, 3));
  queue_->Requeue({batch_[0].item, batch_[1].item}, &dead_);
  clock_.Advance(20 * kMs);
  EXPECT_THAT(Expired(), IsEmpty());
  EXPECT_THAT(Step(), ElementsAre(2));
  EXPECT_THAT(Step(), ElementsAre(3));
}

TEST_F(BatchQueuePriorityTest, ARequestMayShortenItsWaitIfThePolicyAllows) {
  for (bool allowed : {false, true}) {
    BatchQueue::Options options = Timeout(10 * kMs, TimeoutAction::kReject);
    options.priorities.policy.allow_timeout_override = allowed;
    Make(options);
    auto item = Item(1);
    item->timeout_ns = 4 * kMs;
    item->deadline_ns = item->accepted_ns + 4 * kMs;
    ASSERT_EQ(queue_->Push(item), PushResult::kOk);
    clock_.Advance(4 * kMs);
    EXPECT_THAT(Expired(), ElementsAre(1)) << "its own timeout is a deadline in any case";
    EXPECT_EQ(queue_->DeathOf(*item), allowed ? Death::kTimedOut : Death::kExpired);
  }
}

TEST_F(BatchQueuePriorityTest, WhatWaitedTooLongRunsAfterTheOthersOfItsLevel) {
  BatchQueue::Options options = Timeout(10 * kMs, TimeoutAction::kDelay);
  options.priorities.levels = options.priorities.default_level = 2;
  options.batch.max_batch_rows = 2;
  Make(options);
  PushAt(1, 1);
  PushAt(1, 2);
  PushAt(2, 3);
  clock_.Advance(10 * kMs);
  EXPECT_THAT(Expired(), IsEmpty());
  PushAt(1, 4);
  PushAt(2, 5);
  EXPECT_THAT(Step(), ElementsAre(4, 1));
  EXPECT_THAT(Step(), ElementsAre(2, 5)) << "behind its level, before the next";
  EXPECT_THAT(Step(), ElementsAre(3));
  EXPECT_THAT(dead_, IsEmpty());
}

TEST_F(BatchQueuePriorityTest, WhatWasPutBehindStillHasItsDeadlineAndCanBeCancelled) {
  Make(Timeout(10 * kMs, TimeoutAction::kDelay, 100 * kMs));
  PushUntil(1, clock_.Now() + 20 * kMs);
  const auto cancelled = Push(2);
  Push(3);
  clock_.Advance(10 * kMs);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_TRUE(queue_->Cancel(cancelled.get(), &interrupts_));
  clock_.Advance(10 * kMs);
  EXPECT_THAT(Expired(), ElementsAre(1));
  clock_.Advance(80 * kMs);
  EXPECT_THAT(Step(), ElementsAre(3));
}

TEST_F(BatchQueuePriorityTest, ABatchIsNotHeldUntilAPolicyRejectsWhatIsInIt) {
  Make(Timeout(10 * kMs, TimeoutAction::kReject, 50 * kMs));
  Push(1);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_EQ(decision_.until_ns, clock_.Now() + 10 * kMs - kLeaveMarginNs);
  clock_.Advance(10 * kMs - kLeaveMarginNs);
  EXPECT_THAT(Step(), ElementsAre(1));
  Push(2);
  EXPECT_THAT(Step(), IsEmpty()) << "what has left presses nobody";
}

TEST_F(BatchQueuePriorityTest, AnotherLaneWhosePolicyPressesIsNext) {
  BatchQueue::Options options = Levels(2, 2, 8, 50 * kMs);
  options.priorities.by_level[2] = {.default_timeout_ns = 10 * kMs};
  Make(options);
  PushAt(1, 1, 1, "a");
  PushAt(2, 2, 1, "b");
  clock_.Advance(10 * kMs - kLeaveMarginNs);
  EXPECT_THAT(Step(), ElementsAre(2));
  EXPECT_THAT(Step(), IsEmpty());
}

TEST_F(BatchQueuePriorityTest, RunsAPreferredSizeAtOnceAndLeavesTheRest) {
  BatchQueue::Options options = Options(8, 5 * kMs);
  options.batch.preferred_rows = {2, 4};
  Make(options);
  Push(1);
  EXPECT_THAT(Step(), IsEmpty());
  Push(2);
  EXPECT_THAT(Step(), ElementsAre(1, 2));
  for (int id : {3, 4, 5, 6, 7}) Push(id);
  EXPECT_THAT(Step(), ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(Step(), IsEmpty());
  clock_.Advance(5 * kMs);
  EXPECT_THAT(Step(), ElementsAre(7));
}

TEST_F(BatchQueuePriorityTest, TakesAllThatFitsOnceMaxDelayIsOver) {
  BatchQueue::Options options = Options(8, 5 * kMs);
  options.batch.preferred_rows = {4};
  Make(options);
  for (int id : {1, 2, 3}) Push(id);
  EXPECT_THAT(Step(), IsEmpty());
  clock_.Advance(5 * kMs);
  for (int id : {4, 5}) Push(id);
  EXPECT_THAT(Step(), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(BatchQueuePriorityTest, PreferredSizesCountAcrossLevelsAndSkipTheDead) {
  BatchQueue::Options options = Levels(2, 2, 8, 5 * kMs);
  options.batch.preferred_rows = {3};
  Make(options);
  PushAt(2, 1);
  const auto dead = PushAt(2, 2);
  PushAt(1, 3);
  EXPECT_TRUE(queue_->Cancel(dead.get(), &interrupts_));
  EXPECT_THAT(Step(), IsEmpty());
  PushAt(1, 4);
  EXPECT_THAT(Step(), ElementsAre(3, 4, 1));
}

TEST_F(BatchQueuePriorityTest, ClosingHandsOutEverythingThatFits) {
  BatchQueue::Options options = Levels(2, 2, 8, 5 * kMs);
  options.batch.preferred_rows = {2};
  Make(options);
  PushAt(2, 1);
  PushAt(1, 2);
  PushAt(2, 3);
  queue_->Close();
  EXPECT_THAT(Step(), ElementsAre(2, 1, 3));
}

TEST_F(BatchQueuePriorityTest, ForgetsTheDeadOfEveryLevel) {
  Make(Levels(2, 2, 1));
  std::vector<std::shared_ptr<TestItem>> items;
  for (int id = 0; id < 90; ++id) items.push_back(PushAt(id % 2 == 0 ? 1 : 2, id));
  for (int id = 0; id < 88; ++id)
    EXPECT_TRUE(queue_->Cancel(items[static_cast<size_t>(id)].get(), &interrupts_));
  EXPECT_EQ(items[0].use_count(), 1) << "the queue let go of it";
  EXPECT_EQ(items[1].use_count(), 1);
  EXPECT_THAT(Step(), ElementsAre(88));
  EXPECT_THAT(Step(), ElementsAre(89));
}

}  // namespace
}  // namespace maas
