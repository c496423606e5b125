#include "maas/batching/queue_policy.h"

#include <gtest/gtest.h>

#include "maas/base/clock.h"

namespace maas {
namespace {

TEST(QueuePolicy, AModelWithoutLevelsHasOne) {
  const PriorityOptions options;
  EXPECT_TRUE(options.trivial());
  for (uint64_t priority : {uint64_t{0}, uint64_t{1}, uint64_t{7}, UINT64_MAX}) {
    EXPECT_EQ(LevelOf(options, priority), 1u);
  }
}

TEST(QueuePolicy, WhatIsNoLevelIsTheDefaultLevel) {
  const PriorityOptions options{.levels = 5, .default_level = 3, .policy = {}, .by_level = {}};
  EXPECT_FALSE(options.trivial());
  struct {
    uint64_t priority;
    uint64_t level;
  } const rows[] = {{0, 3}, {1, 1}, {2, 2}, {5, 5}, {6, 3}, {UINT64_MAX, 3}};
  for (const auto& row : rows) EXPECT_EQ(LevelOf(options, row.priority), row.level) << row.priority;
}

TEST(QueuePolicy, ALevelsOwnPolicyStandsInForTheDefaultOne) {
  PriorityOptions options{.levels = 3, .default_level = 1, .policy = {.max_queue_size = 5}, .by_level = {}};
  options.by_level[2] = {.default_timeout_ns = 7};
  EXPECT_EQ(PolicyOf(options, 1).max_queue_size, 5);
  EXPECT_EQ(PolicyOf(options, 2).max_queue_size, 0) << "the whole policy, not single fields of it";
  EXPECT_EQ(PolicyOf(options, 2).default_timeout_ns, 7);
}

TEST(QueuePolicy, SaysUntilWhenARequestMayWait) {
  struct {
    const char* what;
    int64_t default_timeout_ns;
    bool allow_override;
    int64_t own_timeout_ns;
    int64_t expected;
  } const rows[] = {
      {"for ever", 0, false, 0, kNever},
      {"for ever: its own timeout is a deadline", 0, true, 10, kNever},
      {"for the default", 100, false, 0, 1100},
      {"for the default where its own may not count", 100, false, 10, 1100},
      {"for its own where that may count", 100, true, 10, 1010},
      {"for the default where its own is longer", 100, true, 1000, 1100},
      {"for the default where it has none", 100, true, 0, 1100},
  };
  for (const auto& row : rows) {
    const QueuePolicy policy{.default_timeout_ns = row.default_timeout_ns,
                             .allow_timeout_override = row.allow_override};
    EXPECT_EQ(WaitsUntil(policy, 1000, row.own_timeout_ns), row.expected) << row.what;
  }
}

TEST(QueuePolicy, AnyFieldOfAPolicyMakesADifference) {
  for (const QueuePolicy& policy : {QueuePolicy{.default_timeout_ns = 1}, QueuePolicy{.max_queue_size = 1}}) {
    EXPECT_FALSE(
        (PriorityOptions{.levels = 1, .default_level = 1, .policy = policy, .by_level = {}}).trivial());
    EXPECT_FALSE((PriorityOptions{.levels = 1, .default_level = 1, .policy = {}, .by_level = {{1, policy}}})
                     .trivial());
  }
}

}  // namespace
}  // namespace maas
