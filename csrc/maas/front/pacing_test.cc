#include "maas/front/pacing.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <functional>
#include <memory>
#include <thread>

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

class PacingTest : public testing::Test {
 protected:
  // Runs `body` on a thread of the policy, which is a thread's own.
  void On(int policy, const std::function<void()>& body) {
    std::thread([&] {
      const sched_param none{};
      ASSERT_EQ(sched_setscheduler(0, policy, &none), 0);
      ASSERT_TRUE(EventLoop::Make(&clock_, &loop_).ok());
      pacing_ = std::make_unique<Pacing>(loop_.get());
      body();
    }).join();
  }
  // A round that begins so much later, in which `in_it` happens.
  void Round(
      int64_t later_ns, uint64_t turned_away, const std::function<void()>& in_it = [] {}) {
    clock_.Advance(later_ns);
    loop_->Stop();
    loop_->Post(in_it);
    loop_->AfterEachRound([&] { pacing_->AfterRound(turned_away); });
    loop_->Run();
  }

  FakeClock clock_{kSecond};
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Pacing> pacing_;
};

TEST_F(PacingTest, InterruptsUntilASecondAfterTheLastThatWasTurnedAway) {
  On(SCHED_BATCH, [this] {
    Round(0, 0);
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
    EXPECT_EQ(loop_->pace(), 0);
    Round(kMs, 1);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    EXPECT_GT(loop_->pace(), 0);
    Round(kSecond - 1, 1);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    Round(0, 7);
    Round(kSecond - 1, 7);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    Round(1, 7);
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
    EXPECT_EQ(loop_->pace(), 0);
    Round(kMs, 8);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  });
}

TEST_F(PacingTest, LeavesAThreadAloneThatIsScheduledOtherwise) {
  On(SCHED_IDLE, [this] {
    Round(kMs, 1);
    EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
    EXPECT_EQ(loop_->pace(), 0);
    Round(2 * kSecond, 1);
    EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
  });
}

TEST_F(PacingTest, WaitsForMoreWhileSeveralConnectionsHaveLargeMessages) {
  On(SCHED_OTHER, [this] {
    const int one = 1;
    const int other = 2;
    const auto read = [this](const int* connection, size_t bytes) { pacing_->OnRead(connection, bytes); };
    Round(0, 0, [&] { read(&one, Pacing::kLarge); });
    Round(0, 0, [&] { read(&one, Pacing::kLarge); });
    EXPECT_EQ(loop_->pace(), 0) << "alone";
    Round(0, 0, [&] { read(&other, Pacing::kLarge - 1); });
    EXPECT_EQ(loop_->pace(), 0) << "the other has little";
    Round(0, 0, [&] { read(&other, Pacing::kLarge); });
    EXPECT_GT(loop_->pace(), 0);
    Round(kMs, 0);
    EXPECT_GT(loop_->pace(), 0);
    Round(kMs, 0);
    EXPECT_EQ(loop_->pace(), 0) << "over";
    Round(5 * kMs, 0, [&] { read(&one, Pacing::kLarge); });
    EXPECT_EQ(loop_->pace(), 0) << "the other's was long ago";
  });
}

}  // namespace
}  // namespace maas
