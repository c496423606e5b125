#include "maas/net/memory_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace maas {
namespace {

TEST(MemoryBudget, TakesUpToItsLimit) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.Take(60));
  EXPECT_FALSE(budget.Take(41));
  EXPECT_EQ(budget.used(), 60U);
  EXPECT_TRUE(budget.Take(40));
  EXPECT_TRUE(budget.Take(0));
  budget.Give(50);
  EXPECT_EQ(budget.used(), 50U);
  EXPECT_FALSE(budget.Take(SIZE_MAX - 10));
  EXPECT_EQ(budget.used(), 50U);
}

TEST(MemoryBudget, ThreadsNeverHaveMoreThanTheLimitTogether) {
  MemoryBudget budget(10);
  std::atomic<int> held{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5000; ++round) {
        if (!budget.Take(4)) continue;
        EXPECT_LE(held.fetch_add(4) + 4, 10);
        held.fetch_sub(4);
        budget.Give(4);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.used(), 0U);
}

}  // namespace
}  // namespace maas
