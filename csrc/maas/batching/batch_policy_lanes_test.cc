// The parts of the policy that look at lanes: which one is next, and which of its rows make a preferred size.
#include <gtest/gtest.h>

#include <vector>

#include "maas/batching/batch_policy.h"

namespace maas {
namespace {

constexpr int64_t kNow = 1'000'000'000;

int64_t Prefix(const std::vector<int64_t>& preferred, const std::vector<int64_t>& requests) {
  PreferredPrefix prefix(preferred);
  for (int64_t rows : requests) {
    if (!prefix.Add(rows)) break;
  }
  return prefix.rows();
}

TEST(PreferredPrefix, FindsTheLargestPreferredSizeThatWholeRequestsMakeUp) {
  struct {
    const char* what;
    std::vector<int64_t> preferred;
    std::vector<int64_t> requests;
    int64_t expected;
  } const rows[] = {
      {"nothing waits", {4}, {}, 0},
      {"too little waits", {4}, {1, 1, 1}, 0},
      {"exactly as much", {4}, {1, 1, 2}, 4},
      {"more waits", {4}, {1, 1, 1, 1, 1}, 4},
      {"the larger of two", {2, 4}, {1, 1, 1, 1, 1}, 4},
      {"the larger is not reached", {2, 4}, {1, 1, 1}, 2},
      {"none fits, and more may come", {4, 8}, {3, 3}, 0},
      {"none fits, and more than the largest waits", {4}, {3, 3}, 3},
      {"a smaller one fits, and more than the largest waits", {2, 4}, {2, 1, 3}, 2},
      {"the first alone is larger than all", {4}, {6, 1}, 6},
      {"beyond the largest nothing is looked at", {4}, {4, 4}, 4},
  };
  for (const auto& row : rows) EXPECT_EQ(Prefix(row.preferred, row.requests), row.expected) << row.what;
}

TEST(DueAt, IsWhenTheOldestWaitedMaxDelayUnlessNothingIsToBeWaitedFor) {
  const BatchOptions options{8, 5'000'000, {4}};
  LaneView lane{.rows = 3, .requests = 3, .oldest_ns = kNow, .queued = 3};
  EXPECT_EQ(DueAt(options, lane, 0), kNow + 5'000'000);
  lane.leaves_ns = kNow + 4'000'000;
  EXPECT_EQ(DueAt(options, lane, 10'000), kNow + 4'000'000 - kLeaveMarginNs - 10'000);
  lane.preferred_rows = 4;
  EXPECT_EQ(DueAt(options, lane, 0), kNow);
  lane.preferred_rows = 0;
  lane.at_once = true;
  EXPECT_EQ(DueAt(options, lane, 0), kNow);
  lane.at_once = false;
  lane.rows = 8;
  EXPECT_EQ(DueAt(options, lane, 0), kNow);
}

TEST(ComesBefore, OrdersByUrgencyOnlyWhatIsDue) {
  struct {
    const char* what;
    uint64_t a_rank;
    int64_t a_due;
    uint64_t b_rank;
    int64_t b_due;
    bool a_first;
  } const rows[] = {
      {"equals by when they were due", 2, kNow - 2, 2, kNow - 1, true},
      {"equals by when they were due", 2, kNow - 1, 2, kNow - 2, false},
      {"the more urgent though it came later", 2, kNow, 4, kNow - 9, true},
      {"an urgent one that is not due keeps nobody back", 2, kNow + 1, 4, kNow, false},
      {"the first due when none is", 4, kNow + 1, 2, kNow + 2, true},
  };
  for (const auto& row : rows) {
    const LaneView a{.rank = row.a_rank};
    const LaneView b{.rank = row.b_rank};
    EXPECT_EQ(ComesBefore(a, row.a_due, b, row.b_due, kNow), row.a_first) << row.what;
  }
}

}  // namespace
}  // namespace maas
