#include "maas/batching/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace maas {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kStart = 1'000'000 * kMs;
constexpr auto kSlack = static_cast<int64_t>(kShareSlackNs);

TEST(PickNext, TakesTheMostUrgentOfThoseWithinTheirShare) {
  struct Row {
    const char* name;
    std::vector<Contender> contenders;
    size_t next;
  };
  const Row rows[] = {
      {"the only one", {{5, kNever, 1}}, 0},
      {"the one that must start first", {{0, 30, 1}, {0, 10, 3}, {0, 20, 2}}, 1},
      {"a little over its share is within it", {{0, 30, 1}, {kShareSlackNs, 10, 1}}, 1},
      {"beyond its share it waits", {{0, 30, 1}, {kShareSlackNs + 1, 10, 1}}, 0},
      {"even when the other is in no hurry", {{0, kNever, 9}, {kShareSlackNs + 1, 10, 1}}, 0},
      {"within their share a deadline comes before none", {{0, kNever, 1}, {1'000, 10, 2}}, 1},
      {"without deadlines whoever stands longest", {{7, kNever, 5}, {9, kNever, 3}, {0, kNever, 4}}, 1},
      {"the same for equal ones", {{0, 10, 5}, {0, 10, 3}}, 1},
      {"late ones by how late they are", {{0, -20, 5}, {0, -50, 6}, {0, 10, 1}}, 1},
      {"the first of the same", {{0, 10, 5}, {0, 10, 5}}, 0},
  };
  for (const Row& row : rows) EXPECT_EQ(PickNext(row.contenders, 0), row.next) << row.name;
}

// One device, a few members of one thread, everything under its mutex.
class DeviceTest : public testing::Test {
 protected:
  using Member = Device::Member;
  Member* Join(Device* device, int threads = 1, double weight = 1) MAAS_NO_THREAD_SAFETY_ANALYSIS {
    return device->Join(&wake_, weight, threads);
  }
  // So many members of one thread each.
  template <size_t N>
  std::array<Member*, N> JoinOf(Device* device) {
    std::array<Member*, N> members;
    for (Member*& each : members) each = Join(device);
    return members;
  }
  // Teaches the device that runs of the member compute `share` of their time.
  static void Teach(Device* device, Member* member, double share,
                    int64_t now) MAAS_NO_THREAD_SAFETY_ANALYSIS {
    for (int i = 0; i < 40; ++i) {
      const uint64_t run = device->OnStart(member, 10 * kMs, now - 10 * kMs);
      device->OnEnd(member, run, static_cast<int64_t>(share * 10 * kMs), now);
    }
  }
  CondVar wake_;
};

TEST_F(DeviceTest, RunsOneAtATimeOnOneCore) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto [a, b] = JoinOf<2>(&device);
  EXPECT_EQ(device.LookAgainAt(kStart), kNever);
  ASSERT_TRUE(device.MayStart(a, {kNever}, kStart));
  const uint64_t run = device.OnStart(a, 10 * kMs, kStart);
  EXPECT_NE(run, 0u);
  EXPECT_EQ(device.running(), 1);
  EXPECT_FALSE(device.MayStart(b, {kNever}, kStart + 1));
  EXPECT_FALSE(device.MayStart(a, {kNever}, kStart + 2)) << "its other instance";
  device.OnEnd(a, run, -1, kStart + 10 * kMs);
  EXPECT_EQ(device.running(), 0);
  EXPECT_TRUE(device.MayStart(b, {kNever}, kStart + 10 * kMs));
}

TEST_F(DeviceTest, CountsThreads) {
  struct Row {
    double cores;
    int running;  // Threads of the run under way.
    int next;
    bool may;
  };
  const Row rows[] = {{1, 1, 1, false},   {2, 1, 1, true},    {2, 2, 1, false},
                      {2, 1, 2, false},   {4, 2, 2, true},    {4, 3, 2, false},
                      {1.5, 1, 1, false}, {0.5, 1, 1, false}, {1e9, 64, 64, true}};
  for (const Row& row : rows) {
    Device device(row.cores);
    MutexLock lock(&device.mu());
    Member* a = Join(&device, row.running);
    Member* b = Join(&device, row.next);
    ASSERT_TRUE(device.MayStart(a, {kNever}, kStart)) << "nothing runs";
    device.OnStart(a, 10 * kMs, kStart);
    EXPECT_EQ(device.MayStart(b, {kNever}, kStart), row.may)
        << row.cores << " " << row.running << " " << row.next;
  }
}

TEST_F(DeviceTest, KeepsRoomForWhomItCalled) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto [a, b, c] = JoinOf<3>(&device);
  const uint64_t run = device.OnStart(a, 10 * kMs, kStart);
  ASSERT_FALSE(device.MayStart(b, {kNever}, kStart));
  const int64_t end = kStart + 10 * kMs;
  device.OnEnd(a, run, -1, end);
  EXPECT_FALSE(device.MayStart(c, {kStart}, end)) << "it is the turn of b, however pressed c is";
  EXPECT_FALSE(device.MayStart(a, {kStart}, end));
  EXPECT_TRUE(device.MayStart(b, {kNever}, end));
  device.OnStart(b, 10 * kMs, end);
  EXPECT_FALSE(device.MayStart(c, {kStart}, end));
}

TEST_F(DeviceTest, CallsAsManyAsThereIsRoomFor) {
  Device device(3);
  MutexLock lock(&device.mu());
  Member* wide = Join(&device, 3);
  const auto [b, c, d, e] = JoinOf<4>(&device);
  const uint64_t run = device.OnStart(wide, 10 * kMs, kStart);
  for (Member* each : {b, c, d}) ASSERT_FALSE(device.MayStart(each, {kNever}, kStart));
  device.OnEnd(wide, run, -1, kStart + kMs);
  EXPECT_FALSE(device.MayStart(e, {kStart}, kStart + kMs));
  for (Member* each : {d, b, c}) {
    ASSERT_TRUE(device.MayStart(each, {kNever}, kStart + kMs));
    device.OnStart(each, kMs, kStart + kMs);
  }
  EXPECT_EQ(device.running(), 3);
}

TEST_F(DeviceTest, ATurnThatIsNotWantedPassesOn) {
  for (const bool leaves : {false, true}) {
    Device device(1);
    MutexLock lock(&device.mu());
    const auto [a, b, c, d] = JoinOf<4>(&device);
    const uint64_t run = device.OnStart(a, 10 * kMs, kStart);
    ASSERT_FALSE(device.MayStart(b, {kNever}, kStart + 1));
    ASSERT_FALSE(device.MayStart(c, {kNever}, kStart + 2));
    device.OnEnd(a, run, -1, kStart + kMs);
    leaves ? device.Leave(b) : device.Withdraw(b, kStart + kMs);
    EXPECT_FALSE(device.MayStart(d, {kStart}, kStart + kMs)) << "the turn of c";
    EXPECT_TRUE(device.MayStart(c, {kNever}, kStart + kMs));
  }
}

TEST_F(DeviceTest, PassesOnATurnAlsoWhenNobodyWasCalled) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto [hangs, b, c] = JoinOf<3>(&device);
  device.OnStart(hangs, 1 * kMs, kStart);
  ASSERT_FALSE(device.MayStart(b, {kNever}, kStart));
  const int64_t later = kStart + 1'000 * kMs;
  ASSERT_TRUE(device.MayStart(c, {later}, later)) << "more pressed than b, and there is room again";
  device.Withdraw(c, later);
  EXPECT_FALSE(device.MayStart(c, {later}, later)) << "the turn of b";
  EXPECT_TRUE(device.MayStart(b, {kNever}, later));
}

TEST_F(DeviceTest, ATurnThatNobodyTakesUpIsGivenToOthers) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto [a, starved, c] = JoinOf<3>(&device);
  const uint64_t run = device.OnStart(a, 10 * kMs, kStart);
  ASSERT_FALSE(device.MayStart(starved, {kNever}, kStart));
  ASSERT_FALSE(device.MayStart(c, {kNever}, kStart + 1));
  const int64_t end = kStart + 10 * kMs;
  device.OnEnd(a, run, -1, end);
  ASSERT_FALSE(device.MayStart(c, {kNever}, end + Device::kCallNs - 1));
  EXPECT_LE(device.LookAgainAt(end + 1), end + 1 + Device::kCallNs);
  ASSERT_TRUE(device.MayStart(c, {kNever}, end + Device::kCallNs));
  const uint64_t second = device.OnStart(c, 10 * kMs, end + Device::kCallNs);
  // The starved one comes at last and stands in line again, before those that came later.
  const int64_t later = end + 2 * Device::kCallNs;
  EXPECT_FALSE(device.MayStart(a, {kNever}, later));
  EXPECT_FALSE(device.MayStart(starved, {kNever}, later));
  device.OnEnd(c, second, -1, later);
  EXPECT_FALSE(device.MayStart(a, {kNever}, later));
  EXPECT_TRUE(device.MayStart(starved, {kNever}, later));
}

TEST_F(DeviceTest, ARunThatIsOverdueKeepsNobodyWaiting) {
  struct Row {
    int64_t predicted_ns;
    int64_t overdue_ns;
  };
  const Row rows[] = {{10 * kMs, 40 * kMs + Device::kOverdueSlackNs},
                      {0, Device::kUnpredictedNs + Device::kOverdueSlackNs}};
  for (const Row& row : rows) {
    Device device(1);
    MutexLock lock(&device.mu());
    const auto [hangs, b] = JoinOf<2>(&device);
    const uint64_t run = device.OnStart(hangs, row.predicted_ns, kStart);
    const int64_t overdue = kStart + row.overdue_ns;
    EXPECT_FALSE(device.MayStart(b, {kNever}, overdue - 1));
    EXPECT_EQ(device.LookAgainAt(overdue - 1), overdue);
    EXPECT_TRUE(device.MayStart(b, {kNever}, overdue));
    const uint64_t other = device.OnStart(b, 10 * kMs, overdue);
    EXPECT_EQ(device.FreeAt(b, overdue), overdue + 10 * kMs);
    device.OnEnd(b, other, -1, overdue + 10 * kMs);
    device.OnEnd(hangs, run, -1, overdue + 20 * kMs);
    EXPECT_EQ(device.running(), 0);
  }
}

TEST_F(DeviceTest, RoomThatCameWithoutAnEndIsForAllInLine) {
  Device device(2);
  MutexLock lock(&device.mu());
  Member* hangs = Join(&device, 2);
  const auto [b, c, d] = JoinOf<3>(&device);
  device.OnStart(hangs, 1 * kMs, kStart);
  ASSERT_FALSE(device.MayStart(b, {kNever}, kStart));
  ASSERT_FALSE(device.MayStart(c, {kNever}, kStart + 1));
  const int64_t later = kStart + 1'000 * kMs;
  ASSERT_TRUE(device.MayStart(b, {kNever}, later));
  device.OnStart(b, 10 * kMs, later);
  EXPECT_FALSE(device.MayStart(d, {kStart}, later)) << "the turn of c";
  EXPECT_TRUE(device.MayStart(c, {kNever}, later));
}

TEST_F(DeviceTest, WhoStandsInLineLooksAgainNowAndThen) {
  Device device(1);
  MutexLock lock(&device.mu());
  Member* a = Join(&device);
  device.OnStart(a, 60'000 * kMs, kStart);
  for (int waiting = 1; waiting <= 3; ++waiting) {
    ASSERT_FALSE(device.MayStart(Join(&device), {kNever}, kStart));
    EXPECT_EQ(device.LookAgainAt(kStart), kStart + waiting * Device::kCallNs)
        << "together about every kCallNs";
  }
}

TEST_F(DeviceTest, RunsThatWaitForSomethingElseShareACore) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto [remote, computing] = JoinOf<2>(&device);
  Teach(&device, remote, 0.0, kStart);
  Teach(&device, computing, 1.0, kStart);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(device.MayStart(remote, {kNever}, kStart)) << i;
    device.OnStart(remote, 10 * kMs, kStart);
  }
  ASSERT_TRUE(device.MayStart(computing, {kNever}, kStart));
  device.OnStart(computing, 10 * kMs, kStart);
  EXPECT_FALSE(device.MayStart(computing, {kNever}, kStart)) << "another of those that compute";
}

TEST_F(DeviceTest, BelievesThatRunsWaitOnlyAfterSeveral) {
  Device device(1);
  MutexLock lock(&device.mu());
  Member* member = Join(&device);
  const uint64_t run = device.OnStart(member, 10 * kMs, kStart);
  device.OnEnd(member, run, 0, kStart + 10 * kMs);
  const int64_t now = kStart + 20 * kMs;
  const uint64_t first = device.OnStart(member, 10 * kMs, now);
  EXPECT_FALSE(device.MayStart(member, {kNever}, now));
  device.OnEnd(member, first, -1, now + 10 * kMs);
  device.Withdraw(member, now + 10 * kMs);
  Teach(&device, member, 0.0, now + 100 * kMs);
  device.OnStart(member, 10 * kMs, now + 200 * kMs);
  EXPECT_TRUE(device.MayStart(member, {kNever}, now + 200 * kMs));
}

TEST_F(DeviceTest, RunsThatKeepEachOtherFromACoreDoNotSeemToWait) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto members = JoinOf<10>(&device);
  int64_t now = kStart;
  for (int i = 0; i < 100; ++i) {
    std::vector<uint64_t> runs;
    for (Member* member : members) runs.push_back(device.OnStart(member, 30 * kMs, now));
    now += 30 * kMs;
    for (size_t m = 0; m < members.size(); ++m) device.OnEnd(members[m], runs[m], 3 * kMs, now);
  }
  device.OnStart(members[0], 30 * kMs, now);
  EXPECT_FALSE(device.MayStart(members[1], {kNever}, now));
}

TEST_F(DeviceTest, SaysWhenThereIsRoom) {
  Device device(2);
  MutexLock lock(&device.mu());
  Member* narrow = Join(&device);
  Member* wide = Join(&device, 2);
  EXPECT_EQ(device.FreeAt(narrow, kStart), kStart);
  device.OnStart(narrow, 10 * kMs, kStart);
  EXPECT_EQ(device.FreeAt(narrow, kStart), kStart);
  EXPECT_EQ(device.FreeAt(wide, kStart), kStart + 10 * kMs);
  const uint64_t longer = device.OnStart(narrow, 30 * kMs, kStart);
  EXPECT_EQ(device.FreeAt(narrow, kStart + 1), kStart + 10 * kMs);
  EXPECT_EQ(device.FreeAt(wide, kStart + 1), kStart + 30 * kMs);
  // Past its prediction: a tenth of that from now.
  EXPECT_EQ(device.FreeAt(narrow, kStart + 12 * kMs), kStart + 13 * kMs);
  device.OnEnd(narrow, longer, -1, kStart + 12 * kMs);
  EXPECT_EQ(device.FreeAt(narrow, kStart + 12 * kMs), kStart + 12 * kMs);
  EXPECT_EQ(device.FreeAt(wide, kStart + 12 * kMs), kStart + 13 * kMs);
}

TEST_F(DeviceTest, SharesAmongThoseThatWantedItLately) {
  Device device(1);
  MutexLock lock(&device.mu());
  Member* a = Join(&device, 1, 3);
  Member* b = Join(&device, 1, 1);
  EXPECT_EQ(device.ShareOf(a, kStart), 1);
  const uint64_t run = device.OnStart(b, 10 * kMs, kStart);
  EXPECT_EQ(device.ShareOf(a, kStart), 0.75);
  EXPECT_EQ(device.ShareOf(b, kStart), 1);
  EXPECT_FALSE(device.MayStart(a, {kNever}, kStart));
  EXPECT_EQ(device.ShareOf(b, kStart), 0.25);
  const int64_t end = kStart + 10 * kMs;
  device.OnEnd(b, run, -1, end);
  EXPECT_EQ(device.ShareOf(a, end + Device::kIdleNs - 1), 0.75);
  EXPECT_EQ(device.ShareOf(a, end + Device::kIdleNs), 1);
}

TEST_F(DeviceTest, ChargesWhatIsUnderWayByItsPrediction) {
  Device device(2);
  MutexLock lock(&device.mu());
  const auto [a, b, c] = JoinOf<3>(&device);
  const uint64_t first = device.OnStart(a, kMs, kStart);
  device.OnStart(b, kMs, kStart);
  EXPECT_FALSE(device.MayStart(c, {kNever}, kStart));
  EXPECT_FALSE(device.MayStart(a, {kNever}, kStart));
  // Until its run ends, a is charged with 1 ms, and then with 50: the pressed batch of a waits for c.
  EXPECT_FALSE(device.MayStart(a, {kStart}, kStart + 2 * kSlack));
  device.OnEnd(a, first, -1, kStart + 50 * kMs);
  EXPECT_FALSE(device.MayStart(a, {kStart}, kStart + 50 * kMs));
  EXPECT_TRUE(device.MayStart(c, {kNever}, kStart + 50 * kMs));
}

TEST_F(DeviceTest, LeavingEndsRunsToo) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto [a, b] = JoinOf<2>(&device);
  device.OnStart(a, 0, kStart);
  EXPECT_FALSE(device.MayStart(b, {kNever}, kStart));
  device.Leave(a);
  EXPECT_EQ(device.running(), 0);
  EXPECT_TRUE(device.MayStart(b, {kNever}, kStart));
}

TEST_F(DeviceTest, LearnsThatTwoRunsAtATimeBringNothing) {
  Device device(2);
  MutexLock lock(&device.mu());
  const auto members = JoinOf<2>(&device);
  uint64_t runs[2] = {0, 0};
  int64_t left[2] = {0, 0};  // Work, of which each step does half when both run.
  int64_t alone = 0;
  int64_t together = 0;
  int64_t now = kStart;
  for (int step = 0; step < 300'000; ++step, now += kMs / 10) {
    for (size_t m = 0; m < 2; ++m) {
      if (runs[m] != 0 && left[m] <= 0) {
        device.OnEnd(members[m], std::exchange(runs[m], 0), -1, now);
      }
      if (runs[m] == 0 && device.MayStart(members[m], {kNever}, now)) {
        runs[m] = device.OnStart(members[m], 4 * kMs, now);
        left[m] = 4 * kMs;
      }
    }
    ++(device.running() == 2 ? together : alone);
    for (int64_t& each : left) each -= kMs / 10 / std::max(device.running(), 1);
  }
  EXPECT_GT(alone, 9 * together);
  EXPECT_GT(together, 0);
}

TEST_F(DeviceTest, ReportsIdleTime) {
  Device device(1);
  MutexLock lock(&device.mu());
  Member* a = Join(&device);
  EXPECT_EQ(device.Idle(kStart), 1);
  for (int i = 0; i < 300; ++i) {
    const int64_t now = kStart + i * 10 * kMs;
    const uint64_t run = device.OnStart(a, 4 * kMs, now);
    device.OnEnd(a, run, -1, now + 4 * kMs);
  }
  EXPECT_NEAR(device.Idle(kStart + 3'000 * kMs), 0.6, 0.01);
}

TEST_F(DeviceTest, TakesInstantsAndPredictionsThatMakeNoSense) {
  Device device(1);
  MutexLock lock(&device.mu());
  const auto [a, b] = JoinOf<2>(&device);
  const uint64_t run = device.OnStart(a, kNever, kStart);
  EXPECT_FALSE(device.MayStart(b, {kNever}, kStart - 5 * kMs));
  EXPECT_GT(device.LookAgainAt(kStart), kStart);
  EXPECT_LT(device.FreeAt(b, kStart), kNever);
  device.OnEnd(a, run, kNever, kStart - 5 * kMs);
  EXPECT_TRUE(device.MayStart(b, {kNever}, kStart));
  const uint64_t other = device.OnStart(b, -7, kStart);
  device.OnEnd(b, other, -1, kStart);
  EXPECT_EQ(device.running(), 0);
}

}  // namespace
}  // namespace maas
