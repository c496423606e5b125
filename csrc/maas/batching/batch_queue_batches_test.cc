// What BatchQueue refuses, drops, and runs first, on a device of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "maas/batching/batch_queue_testing.h"

namespace maas {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kMaxRows = 4;

// A queue of a model that takes 10 ms + 5 ms a row, on a device that runs one batch at a time.
class BatchQueueBatchesTest : public BatchQueueTest {
 protected:
  BatchQueueBatchesTest() { MakeTimed(); }

  void MakeTimed() {
    BatchQueue::Options options = Options(kMaxRows, 0, 1'000);
    device_ = std::make_shared<Device>(1.0);
    options.device = device_;
    Make(std::move(options));
    for (const int64_t rows : {1, 2, 4}) queue_->SeedRun(rows, RunNs(rows));
  }
  static int64_t RunNs(int64_t rows) { return 10 * kMs + rows * 5 * kMs; }

  // What becomes of one that comes now and may wait so long.
  PushResult PushFor(int id, int64_t patience_ns, int64_t rows = 1) {
    auto item = Item(id, rows);
    item->deadline_ns = clock_.Now() + patience_ns;
    last_ = item;
    return queue_->Push(item);
  }
  // Runs what is next to its end.
  std::vector<int> Run() {
    const std::vector<int> ids = Step();
    if (!ids.empty()) End(RunNs(BatchRows()));
    return ids;
  }
  void End(int64_t ns) {
    clock_.Advance(ns);
    queue_->EndRun(ticket_, ns, ns);
  }
  // So that the estimates are fresh.
  void WarmUp() {
    Push(-1);
    ASSERT_THAT(Run(), ElementsAre(-1));
  }

  std::shared_ptr<Device> device_;
  std::shared_ptr<TestItem> last_;
};

TEST_F(BatchQueueBatchesTest, RunsTheEarliestDeadlineFirst) {
  ASSERT_EQ(PushFor(1, 900 * kMs), PushResult::kOk);
  ASSERT_EQ(PushFor(2, 500 * kMs), PushResult::kOk);
  Push(3);
  ASSERT_EQ(PushFor(4, 700 * kMs), PushResult::kOk);
  ASSERT_EQ(PushFor(5, 800 * kMs), PushResult::kOk);
  EXPECT_THAT(Run(), ElementsAre(2, 4, 5, 1));
  EXPECT_THAT(Run(), ElementsAre(3));
}

TEST_F(BatchQueueBatchesTest, RefusesAtOnceWhatCannotBeAnsweredInTime) {
  WarmUp();
  EXPECT_EQ(PushFor(1, 100 * kMs), PushResult::kOk);
  ASSERT_THAT(Step(), ElementsAre(1));
  // The device is busy for 15 ms more; then 15 ms for one row.
  EXPECT_EQ(PushFor(2, 29 * kMs), PushResult::kLate);
  EXPECT_NEAR(static_cast<double>(last_->predicted_ns), 30.0 * kMs, 0.5 * kMs);
  EXPECT_EQ(PushFor(3, 31 * kMs), PushResult::kOk);
  EXPECT_EQ(queue_->waiting_rows(), 1);
  // Beside it, a run of two rows takes 5 ms more than it can wait.
  EXPECT_EQ(PushFor(4, 33 * kMs), PushResult::kLate);
  End(15 * kMs);
  EXPECT_THAT(Step(), ElementsAre(3));
  EXPECT_THAT(dead_, IsEmpty());
}

TEST_F(BatchQueueBatchesTest, RefusesWhatWouldMakeAnAcceptedOneLate) {
  WarmUp();
  Push(0, kMaxRows);
  ASSERT_THAT(Step(), ElementsAre(0));
  for (int id = 1; id <= 4; ++id) ASSERT_EQ(PushFor(id, 65 * kMs), PushResult::kOk) << id;
  // It would be in time itself, and leave a row of the others for the batch after.
  EXPECT_EQ(PushFor(5, 64 * kMs), PushResult::kLate);
  EXPECT_EQ(queue_->waiting_rows(), 4);
}

TEST_F(BatchQueueBatchesTest, DropsWhatHasBecomeHopelessAndRunsTheRest) {
  WarmUp();
  ASSERT_EQ(PushFor(1, 40 * kMs), PushResult::kOk);
  ASSERT_EQ(PushFor(2, 200 * kMs), PushResult::kOk);
  clock_.Advance(30 * kMs);
  EXPECT_THAT(Step(), ElementsAre(2));
  ASSERT_THAT(IdsOf(dead_), ElementsAre(1));
  EXPECT_EQ(queue_->DeathOf(*dead_[0]), Death::kHopeless);
}

TEST_F(BatchQueueBatchesTest, TheSweepTakesTheHopelessToo) {
  WarmUp();
  ASSERT_EQ(PushFor(1, 40 * kMs), PushResult::kOk);
  std::vector<std::shared_ptr<QueueItem>> dead;
  clock_.Advance(24 * kMs);
  queue_->TakeExpired(clock_.Now(), &dead);
  EXPECT_THAT(dead, IsEmpty());
  clock_.Advance(2 * kMs);
  queue_->TakeExpired(clock_.Now(), &dead);
  ASSERT_THAT(IdsOf(dead), ElementsAre(1));
  EXPECT_EQ(queue_->DeathOf(*dead[0]), Death::kHopeless);
  EXPECT_EQ(queue_->waiting_rows(), 0);
}

TEST_F(BatchQueueBatchesTest, ADeadlineIsNoReasonToRefuseWhatFindsTheDeviceIdleAndTheEstimateStale) {
  WarmUp();
  EXPECT_EQ(PushFor(1, 5 * kMs), PushResult::kLate);
  clock_.Advance(10'000 * kMs);
  EXPECT_EQ(PushFor(2, 5 * kMs), PushResult::kOk) << "somebody has to go and see";
}

TEST_F(BatchQueueBatchesTest, RefusesNothingOnceRunsDoNotTakeWhatWasPredicted) {
  WarmUp();
  ASSERT_EQ(PushFor(1, 5 * kMs), PushResult::kLate);
  // Ten times as quick from one run to the next, and as slow as before.
  for (int round = 0; round < 64 && queue_->ReadScheduling(clock_.Now()).predictive; ++round) {
    Push(0);
    Step();
    End(round % 2 == 0 ? 150 * kMs : kMs);
  }
  ASSERT_FALSE(queue_->ReadScheduling(clock_.Now()).predictive);
  EXPECT_EQ(PushFor(2, 5 * kMs), PushResult::kOk);
  EXPECT_THAT(Step(), ElementsAre(2)) << "nor is anything dropped";
  End(RunNs(1));
  for (int round = 0; round < 200 && !queue_->ReadScheduling(clock_.Now()).predictive; ++round) {
    Push(0);
    Step();
    End(RunNs(1));
  }
  EXPECT_TRUE(queue_->ReadScheduling(clock_.Now()).predictive) << "they hold again";
  EXPECT_EQ(queue_->ReadScheduling(clock_.Now()).lapses, 1u);
}

TEST_F(BatchQueueBatchesTest, ASlowFirstRunOrAFewSlowOnesShedNothing) {
  Push(0);
  Step();
  End(100 * RunNs(1));
  EXPECT_EQ(PushFor(1, 40 * kMs), PushResult::kOk);
  EXPECT_THAT(Run(), ElementsAre(1));
}

TEST_F(BatchQueueBatchesTest, ABadTimeIsForgottenWithinSecondsOnceItIsOver) {
  WarmUp();
  for (int round = 0; round < 40; ++round) {
    Push(0);
    Step();
    End(20 * RunNs(1));
  }
  EXPECT_EQ(PushFor(1, 100 * kMs), PushResult::kLate) << "a run takes 300 ms";
  int refused = 0;
  const int64_t begin = clock_.Now();
  while (clock_.Now() - begin < 6'000 * kMs) {
    const bool late = PushFor(1, 100 * kMs) == PushResult::kLate;
    if (late && clock_.Now() - begin > 4'000 * kMs) ++refused;
    if (Run().empty()) clock_.Advance(15 * kMs);
  }
  EXPECT_EQ(refused, 0);
}

TEST_F(BatchQueueBatchesTest, WhatHasNoDeadlineIsNeverRefusedForBeingLate) {
  WarmUp();
  for (int id = 1; id <= 500; ++id) Push(id);
  EXPECT_EQ(queue_->waiting_rows(), 500);
  EXPECT_GT(queue_->ReadScheduling(clock_.Now()).predicted_ns, 100 * RunNs(4));
}

TEST_F(BatchQueueBatchesTest, WhatHasNoDeadlineGetsItsShareUnderSustainedOverload) {
  WarmUp();
  for (int id = 1'000; id < 1'100; ++id) Push(id);
  int timed = 0;
  int untimed = 0;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 20; ++i) PushFor(i, 100 * kMs);
    for (const int id : Run()) ++(id >= 1'000 ? untimed : timed);
  }
  const double share = untimed / static_cast<double>(untimed + timed);
  EXPECT_GT(share, 0.05);
  EXPECT_LT(share, 0.2);
}

TEST_F(BatchQueueBatchesTest, ATenantThatAsksForTenTimesItsShareGetsItsShare) {
  WarmUp();
  int mine = 0;
  int theirs = 0;
  for (int round = 0; round < 300; ++round) {
    for (int i = 0; i < 22; ++i) {
      auto item = Item(i);
      item->deadline_ns = clock_.Now() + 100 * kMs;
      item->tenant = i % 11 == 0 ? 1 : 2;
      queue_->Push(item);
    }
    Step();
    for (const Slice& slice : batch_) ++(slice.item->tenant == 1 ? mine : theirs);
    End(RunNs(BatchRows()));
  }
  // Two rows a round are asked for by the first, half a batch.
  EXPECT_NEAR(mine, theirs, 0.15 * (mine + theirs));
}

TEST_F(BatchQueueBatchesTest, WhileATenantKeepsABatchWaitingNoRunIsLongerThanPays) {
  WarmUp();
  const auto push = [this](int id, TenantId tenant) {
    auto item = Item(id);
    item->deadline_ns = clock_.Now() + 1'000 * kMs;
    item->tenant = tenant;
    EXPECT_EQ(queue_->Push(item), PushResult::kOk);
    return item;
  };
  for (int id = 0; id < 20; ++id) push(id, 1);
  EXPECT_EQ(Run().size(), 4u);
  push(100, 2);
  EXPECT_THAT(Run(), AllOf(SizeIs(3), Contains(100))) << "4 rows in 30 ms, 3 in 25";
  EXPECT_EQ(Run().size(), 4u);
  push(101, 2);
  const auto last = push(50, 1);
  int64_t ahead_ns = 0;  // 101 and 13 of the other: a batch of 3, then of 4.
  while (queue_->waiting_rows() > 0) {
    Run();
    ahead_ns = clock_.Now() - last->accepted_ns;
  }
  EXPECT_NEAR(static_cast<double>(last->predicted_ns), static_cast<double>(ahead_ns), 30.0 * kMs);
}

TEST_F(BatchQueueBatchesTest, TheRunOfACallerWhoWentAwayIsToBeInterruptedOnce) {
  ticket_.instance = 7;
  const auto first = Push(1);
  const auto second = Push(2);
  ASSERT_THAT(Step(), ElementsAre(1, 2));
  EXPECT_FALSE(queue_->Cancel(first.get(), &interrupts_));
  EXPECT_THAT(interrupts_, IsEmpty()) << "the other still waits";
  EXPECT_FALSE(queue_->Cancel(second.get(), &interrupts_));
  ASSERT_EQ(interrupts_.size(), 1u);
  EXPECT_EQ(interrupts_[0].instance, 7u);
  EXPECT_EQ(interrupts_[0].number, ticket_.number);
  EXPECT_FALSE(queue_->Cancel(second.get(), &interrupts_));
  EXPECT_EQ(interrupts_.size(), 1u);
  EXPECT_TRUE(queue_->IsGone(*first));
  queue_->EndRun(ticket_, -1, -1);
  const auto third = Push(3);
  ASSERT_THAT(Step(), ElementsAre(3));
  EXPECT_FALSE(queue_->Cancel(first.get(), &interrupts_)) << "over";
  EXPECT_EQ(interrupts_.size(), 1u);
}

TEST_F(BatchQueueBatchesTest, WhatIsAskedForTellsTheHeadroom) {
  WarmUp();
  EXPECT_GT(queue_->ReadScheduling(clock_.Now()).headroom, 0.9);
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 20; ++i) PushFor(i, 100 * kMs);
    Run();
  }
  EXPECT_EQ(queue_->ReadScheduling(clock_.Now()).headroom, 0);
}

// Random load: whatever is refused, dropped or run, each item ends exactly once, and nothing is run of which
// it was clear that it would be late.
TEST_F(BatchQueueBatchesTest, EachItemEndsOnceAndNothingHopelessIsRun) {
  std::mt19937 random(11);
  const auto pick = [&random](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most));
  };
  for (int seed = 0; seed < 20; ++seed) {
    MakeTimed();
    std::vector<int> ended(2'000, 0);
    std::vector<std::shared_ptr<TestItem>> waiting;
    int pushed = 0;
    int64_t busy_until = 0;
    int64_t known_until = 0;  // What runs take is firm until then.
    while (pushed < 2'000 || queue_->waiting_rows() > 0 || busy_until != 0) {
      for (int64_t i = pick(4); i > 0 && pushed < 2'000; --i) {
        auto item = Item(pushed, 1 + pick(pick(10) == 0 ? 9 : 2));
        if (pick(6) != 0) item->deadline_ns = item->accepted_ns + pick(300) * kMs;
        item->tenant = static_cast<TenantId>(pick(3));
        if (queue_->Push(item) == PushResult::kOk) {
          waiting.push_back(item);
        } else {
          ++ended[static_cast<size_t>(pushed)];
        }
        ++pushed;
      }
      if (pick(10) == 0 && !waiting.empty()) {
        const auto& victim = waiting[static_cast<size_t>(pick(std::ssize(waiting)))];
        if (queue_->Cancel(victim.get(), &interrupts_)) ++ended[static_cast<size_t>(victim->id)];
      }
      if (busy_until != 0 && clock_.Now() >= busy_until) {
        queue_->EndRun(ticket_, RunNs(BatchRows()), -1);
        known_until = clock_.Now() + LatencyCurve::kLeastFreshNs;
        for (const Slice& slice : batch_) {
          if (queue_->Return(slice)) ++ended[static_cast<size_t>(IdOf(slice.item))];
        }
        busy_until = 0;
      }
      if (busy_until == 0) {
        Step();
        for (const int id : IdsOf(dead_)) ++ended[static_cast<size_t>(id)];
        for (const Slice& slice : batch_) {
          EXPECT_GT(slice.item->deadline_ns, clock_.Now());
          if (slice.rows == slice.item->rows && clock_.Now() <= known_until) {
            EXPECT_GE(slice.item->deadline_ns, clock_.Now() + RunNs(slice.rows)) << "hopeless";
          }
        }
        if (!batch_.empty()) busy_until = clock_.Now() + RunNs(BatchRows());
      }
      clock_.Advance(pick(20) * kMs);
    }
    for (size_t id = 0; id < ended.size(); ++id) EXPECT_EQ(ended[id], 1) << id;
  }
}

TEST_F(BatchQueueBatchesTest, AnEstimateFromLoadThatIsFarTooHighDropsNothing) {
  BatchQueue::Options options = Options(kMaxRows, 0, 1'000);
  options.device = std::make_shared<Device>(1.0);
  Make(std::move(options));
  queue_->SeedRun(1, 500 * kMs);
  int served = 0;
  for (int i = 0; i < 100; ++i) {
    const bool accepted = PushFor(i, 200 * kMs) == PushResult::kOk;
    served += Run().empty() ? 0 : 1;
    EXPECT_TRUE(!accepted || dead_.empty()) << i;
    clock_.Advance(200 * kMs);
  }
  EXPECT_GE(served, 98);
}

TEST_F(BatchQueueBatchesTest, ARunThatWasEndedWhenItTookTooLongTeachesThatItDoes) {
  WarmUp();
  int started = 0;
  for (int i = 0; i < 200; ++i) {
    PushFor(i, 100 * kMs);
    if (Step().empty()) {
      clock_.Advance(100 * kMs);
      continue;
    }
    ++started;
    clock_.Advance(101 * kMs);
    for (const Slice& slice : batch_) queue_->Cancel(slice.item.get(), &interrupts_);
    queue_->EndRun(ticket_, -1, -1);
  }
  EXPECT_LT(started, 100) << "it would take more than 100 ms, and nobody waits so long";
}

TEST_F(BatchQueueBatchesTest, NobodyWithADeadlineIsGivenUpForTheSakeOfThoseWithout) {
  WarmUp();
  for (int id = 1'000; id < 1'900; ++id) Push(id);
  int served = 0;
  for (int round = 0; round < 100; ++round) {
    // Time for a run of two, not of four.
    ASSERT_EQ(PushFor(round, 22 * kMs), PushResult::kOk) << round;
    for (const int id : Run()) served += id == round ? 1 : 0;
  }
  EXPECT_GE(served, 95);
}

TEST_F(BatchQueueBatchesTest, WhatHasNoDeadlineLeavesTheOthersTheirPlaces) {
  WarmUp();
  Push(1, 1'000);
  EXPECT_EQ(queue_->Push(Item(2)), PushResult::kFull);
  EXPECT_EQ(PushFor(3, 1'000 * kMs), PushResult::kOk);
  EXPECT_THAT(Step(), ElementsAre(3));
}

TEST_F(BatchQueueBatchesTest, WhatHasNoDeadlineGetsItsShareInLargePiecesToo) {
  WarmUp();
  for (int id = 1'000; id < 1'200; ++id) Push(id, kMaxRows);
  int64_t timed = 0;
  int64_t untimed = 0;
  for (int round = 0; round < 400; ++round) {
    for (int i = 0; i < 20; ++i) PushFor(i, 100 * kMs);
    Step();
    for (const Slice& slice : batch_) (IdOf(slice.item) >= 1'000 ? untimed : timed) += slice.rows;
    End(RunNs(BatchRows()));
  }
  const double share = static_cast<double>(untimed) / static_cast<double>(untimed + timed);
  EXPECT_GT(share, 0.05);
  EXPECT_LT(share, 0.15);
}

TEST_F(BatchQueueBatchesTest, AnotherBucketKeepsOutOnlyWhatItComesBefore) {
  BatchQueue::Options options = Options(1, 0, 10'000);
  options.device = std::make_shared<Device>(1.0);
  Make(std::move(options));
  const auto push = [this](const std::string& bucket, int64_t patience_ns) {
    auto item = Item(1, 1, bucket);
    item->size_key = bucket;
    if (patience_ns > 0) item->deadline_ns = clock_.Now() + patience_ns;
    last_ = item;
    return queue_->Push(item);
  };
  const auto run = [this](int64_t ns) {
    ASSERT_FALSE(Step().empty());
    End(ns);
  };
  push("slow", 0);
  run(200 * kMs);
  push("quick", 0);
  run(5 * kMs);
  for (int i = 0; i < 100; ++i) push("slow", 0);
  EXPECT_EQ(push("quick", 100 * kMs), PushResult::kOk) << "what has no deadline comes later";
  for (int i = 0; i < 30; ++i) ASSERT_EQ(push("quick", 20'000 * kMs), PushResult::kOk);
  EXPECT_EQ(push("quick", 100 * kMs), PushResult::kOk) << "and what is due later";
  EXPECT_EQ(push("slow", 21'000 * kMs), PushResult::kOk);
  EXPECT_LT(last_->predicted_ns, 1'000 * kMs) << "32 of 5 ms go before it, not of 200";
}

TEST_F(BatchQueueBatchesTest, WhatIsRefusedLeavesNoLaneBehind) {
  WarmUp();
  Push(0, kMaxRows);
  ASSERT_THAT(Step(), ElementsAre(0));
  for (int i = 0; i < 100; ++i) {
    auto item = Item(i, 1, "shape " + std::to_string(i));
    item->deadline_ns = clock_.Now() + 1;
    EXPECT_EQ(queue_->Push(item), PushResult::kLate);
  }
  End(RunNs(kMaxRows));
  Step();
  EXPECT_EQ(queue_->waiting_rows(), 0);
}

}  // namespace
}  // namespace maas
