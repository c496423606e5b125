// Gathering, as BatchQueue does it over many batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/batching/batch_queue.h"
#include "maas/batching/batch_queue_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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
