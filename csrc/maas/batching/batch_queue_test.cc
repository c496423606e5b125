#include "maas/batching/batch_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

struct TestItem final : QueueItem {
  int id = 0;
};

int IdOf(const std::shared_ptr<QueueItem>& item) { return static_cast<const TestItem&>(*item).id; }

std::vector<int> IdsOf(const std::vector<std::shared_ptr<QueueItem>>& items) {
  std::vector<int> ids;
  for (const auto& item : items) ids.push_back(IdOf(item));
  return ids;
}

// A queue that is stepped by hand on a clock of its own.
class BatchQueueTest : public testing::Test {
 protected:
  static BatchQueue::Options Options(int64_t max_batch_rows, int64_t delay_ns = 0,
                                     int64_t max_queue_rows = 100) {
    BatchQueue::Options options;
    options.batch = {max_batch_rows, delay_ns};
    options.max_queue_rows = max_queue_rows;
    options.process_cpu_ns = [] { return int64_t{0}; };  // An idle machine: nothing is gathered.
    return options;
  }

  void Make(BatchQueue::Options options) {
    queue_ = std::make_unique<BatchQueue>(std::move(options), &clock_);
  }

  std::shared_ptr<TestItem> Item(int id, int64_t rows = 1, std::string lane = "") {
    auto item = std::make_shared<TestItem>();
    item->id = id;
    item->rows = rows;
    item->lane_key = std::move(lane);
    item->accepted_ns = clock_.Now();
    return item;
  }
  std::shared_ptr<TestItem> Push(int id, int64_t rows = 1, std::string lane = "") {
    auto item = Item(id, rows, std::move(lane));
    EXPECT_EQ(queue_->Push(item), PushResult::kOk);
    return item;
  }
  std::shared_ptr<TestItem> PushUntil(int id, int64_t deadline_ns) {
    auto item = Item(id);
    item->deadline_ns = deadline_ns;
    EXPECT_EQ(queue_->Push(item), PushResult::kOk);
    return item;
  }

  // The ids of the batch that is taken now.
  std::vector<int> Step() {
    decision_ = queue_->Step(clock_.Now(), &batch_, &dead_);
    std::vector<int> ids;
    for (const Slice& slice : batch_) ids.push_back(IdOf(slice.item));
    return ids;
  }
  int64_t BatchRows() const {
    return std::accumulate(batch_.begin(), batch_.end(), int64_t{0},
                           [](int64_t sum, const Slice& slice) { return sum + slice.rows; });
  }

  FakeClock clock_{1'000'000'000'000};
  std::unique_ptr<BatchQueue> queue_;
  Decision decision_;
  std::vector<Slice> batch_;
  std::vector<std::shared_ptr<QueueItem>> dead_;
};

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
  EXPECT_FALSE(queue_->Cancel(refused.get()));
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
  EXPECT_TRUE(queue_->Cancel(last.get()));
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
  EXPECT_THAT(Step(), ElementsAre(2, 4));
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
  EXPECT_FALSE(queue_->Cancel(running.get()));
  const auto waiting = Push(2);
  Push(3);
  EXPECT_TRUE(queue_->Cancel(waiting.get()));
  EXPECT_FALSE(queue_->Cancel(waiting.get()));
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
    EXPECT_TRUE(queue_->Cancel(item.get()));
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
      EXPECT_TRUE(queue_->Cancel(item.get()));
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
  EXPECT_FALSE(queue_->Cancel(item.get())) << "slices are out";
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
  EXPECT_TRUE(queue_->Cancel(item.get()));
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
  ASSERT_TRUE(queue_->Pop(&batch_, &dead_));
  EXPECT_EQ(batch_.size(), 1u);
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_));
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_));
}

TEST_F(BatchQueueTest, AClosedQueueStillReportsWhoDied) {
  Make(Options(4));
  PushUntil(1, clock_.Now() + 10);
  clock_.Advance(10);
  queue_->Close();
  ASSERT_TRUE(queue_->Pop(&batch_, &dead_));
  EXPECT_THAT(batch_, IsEmpty());
  EXPECT_THAT(IdsOf(dead_), ElementsAre(1));
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_));
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
  EXPECT_TRUE(queue_->Cancel(cancelled.get()));
  queue_->Close();
  std::vector<std::shared_ptr<QueueItem>> left;
  queue_->TakeAll(&left);
  EXPECT_THAT(IdsOf(left), ElementsAre(3));
  EXPECT_EQ(queue_->DeathOf(*untouched), Death::kAborted);
  EXPECT_EQ(queue_->waiting_rows(), 0);
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_));
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
  queue_->Requeue(again);
  EXPECT_EQ(queue_->waiting_rows(), 5);
  for (int id : {1, 2, 3, 4, 5}) EXPECT_THAT(Step(), ElementsAre(id));
  EXPECT_TRUE(queue_->IsRetry(*again[0]));
  EXPECT_FALSE(queue_->Pop(&batch_, &dead_));
}

TEST_F(BatchQueueTest, RequeuedItemsCanBeCancelledAndExpire) {
  Make(Options(4));
  const auto cancelled = Push(1);
  PushUntil(2, clock_.Now() + 10);
  Push(3);
  ASSERT_THAT(Step(), ElementsAre(1, 2, 3));
  std::vector<std::shared_ptr<QueueItem>> again;
  for (const Slice& slice : batch_) again.push_back(slice.item);
  queue_->Requeue(again);
  EXPECT_TRUE(queue_->Cancel(cancelled.get()));
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
  queue_->RecordRun(4, 1000);
  EXPECT_EQ(queue_->EstimateWait(), 3000);
  queue_->RecordRun(4, INT64_MAX);
  EXPECT_LE(queue_->EstimateWait(), RunCurve::kMostNs);
}

// So many are under way that gathering pays, and without a clock for it the CPU counts as scarce.
class GatheringTest : public BatchQueueTest {
 protected:
  GatheringTest() {
    BatchQueue::Options options = Options(64, 0, 100'000);
    options.process_cpu_ns = nullptr;
    Make(std::move(options));
    // 16 clients, each answered at once and back 100 µs later.
    for (int round = 0; round < 20; ++round) {
      for (int id = 0; id < 16; ++id) Push(id);
      while (!Step().empty()) queue_->OnAnswered(std::ssize(batch_));
      clock_.Advance(200'000);
      while (!Step().empty()) queue_->OnAnswered(std::ssize(batch_));
      clock_.Advance(kGatherNs);
    }
    // Lets the back-off pass.
    for (int i = 0; i < 2 * kMaxBackoff; ++i) {
      for (int id = 0; id < 16; ++id) Push(id);
      EXPECT_EQ(Step().size(), 16u);
      queue_->OnAnswered(16);
      clock_.Advance(100'000);
    }
  }
};

TEST_F(GatheringTest, WaitsForTheOthersAndRunsOnceTheyAreThere) {
  Push(1);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_TRUE(decision_.gathering);
  EXPECT_EQ(decision_.wake_requests, 16);
  for (int id = 2; id <= 16; ++id) Push(id);
  EXPECT_EQ(Step().size(), 16u);
}

TEST_F(GatheringTest, GivesUpInTimeAndBacksOffWhenNobodyCame) {
  Push(1);
  EXPECT_THAT(Step(), IsEmpty());
  const int64_t until = decision_.until_ns;
  EXPECT_LE(until, clock_.Now() + kGatherNs);
  clock_.Advance(until - clock_.Now());
  EXPECT_THAT(Step(), ElementsAre(1));
  Push(2);
  EXPECT_THAT(Step(), ElementsAre(2)) << "one batch passes before it is tried again";
  Push(3);
  EXPECT_THAT(Step(), IsEmpty());
  EXPECT_TRUE(decision_.gathering);
}

TEST_F(GatheringTest, CountsThoseInOtherLanes) {
  for (int id = 0; id < 8; ++id) Push(id, 1, "a");
  EXPECT_THAT(Step(), IsEmpty());
  for (int id = 0; id < 8; ++id) Push(id, 1, "b");
  EXPECT_EQ(Step().size(), 8u) << "all sixteen are here";
}

TEST_F(GatheringTest, EndsWhenTheQueueCloses) {
  Push(1);
  EXPECT_THAT(Step(), IsEmpty());
  queue_->Close();
  EXPECT_THAT(Step(), ElementsAre(1));
}

TEST_F(GatheringTest, LeavesALoneClientAloneOnceTheOthersAreGone) {
  clock_.Advance(10 * LoadMeter::kWindowNs);
  for (int i = 0; i < 100; ++i) {
    Push(i);
    EXPECT_THAT(Step(), ElementsAre(i));
    queue_->OnAnswered(1);
    clock_.Advance(20'000);
  }
}

}  // namespace
}  // namespace maas
