#include "maas/front/urgency.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <memory>
#include <thread>

namespace maas {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

class UrgencyTest : public testing::Test {
 protected:
  // Runs `body` on a thread of the policy: it is a thread's own.
  template <typename Body>
  static void On(int policy, const Body& body) {
    std::thread([&] {
      const sched_param none{};
      ASSERT_EQ(sched_setscheduler(0, policy, &none), 0);
      std::unique_ptr<EventLoop> loop;
      ASSERT_TRUE(EventLoop::Make(SteadyClock::Get(), &loop).ok());
      Urgency urgency(loop.get());
      body(&urgency);
    }).join();
  }
};

TEST_F(UrgencyTest, LastsForASecondAfterTheLastThatWasTurnedAway) {
  On(SCHED_BATCH, [](Urgency* urgency) {
    urgency->AfterRound(1 * kSecond, 0);
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
    urgency->AfterRound(2 * kSecond, 1);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    urgency->AfterRound(3 * kSecond - 1, 1);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    urgency->AfterRound(3 * kSecond - 1, 7);
    urgency->AfterRound(4 * kSecond - 2, 7);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    urgency->AfterRound(4 * kSecond - 1, 7);
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
    urgency->AfterRound(9 * kSecond, 8);
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  });
}

TEST_F(UrgencyTest, LeavesAThreadAloneThatIsScheduledOtherwise) {
  On(SCHED_IDLE, [](Urgency* urgency) {
    urgency->AfterRound(1 * kSecond, 1);
    urgency->AfterRound(3 * kSecond, 1);
    EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
  });
}

}  // namespace
}  // namespace maas
