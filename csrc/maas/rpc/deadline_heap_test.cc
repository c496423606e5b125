#include "maas/rpc/deadline_heap.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <vector>

namespace maas {
namespace {

struct Timed final : DeadlineHeap::Member {
  explicit Timed(int64_t deadline_ns) : Member(deadline_ns) {}
};

TEST(DeadlineHeapTest, GivesThoseThatAreDueTheEarliestFirst) {
  DeadlineHeap heap;
  Timed late(30), early(10), middle(20);
  for (Timed* each : {&late, &early, &middle}) heap.Add(each);
  EXPECT_EQ(heap.next(), 10);
  EXPECT_EQ(heap.TakeDue(9), nullptr);
  EXPECT_EQ(heap.TakeDue(20), &early);
  EXPECT_EQ(heap.TakeDue(20), &middle);
  EXPECT_EQ(heap.TakeDue(20), nullptr);
  EXPECT_EQ(heap.next(), 30);
}

TEST(DeadlineHeapTest, WhatHasNoDeadlineIsNeverDue) {
  DeadlineHeap heap;
  Timed patient(kNever);
  heap.Add(&patient);
  EXPECT_EQ(heap.next(), kNever);
  EXPECT_EQ(heap.TakeDue(kNever), nullptr);
  heap.Remove(&patient);
}

TEST(DeadlineHeapTest, WhatLeftIsIgnored) {
  DeadlineHeap heap;
  Timed one(10), other(20);
  heap.Add(&one);
  heap.Add(&other);
  heap.Remove(&one);
  heap.Remove(&one);
  EXPECT_EQ(heap.TakeDue(100), &other);
  heap.Remove(&other);
  EXPECT_EQ(heap.next(), kNever);
}

TEST(DeadlineHeapTest, AgreesWithASortedSetWhateverComesAndGoes) {
  std::mt19937 random(7);
  DeadlineHeap heap;
  std::vector<std::unique_ptr<Timed>> all;
  std::set<Timed*> present;
  const auto earliest = [&] {
    int64_t first = kNever;
    for (const Timed* each : present) first = std::min(first, each->deadline_ns());
    return first;
  };
  for (int i = 0; i < 3000; ++i) {
    const bool grows = i < 1500;
    if (random() % 4 < (grows ? 3U : 1U)) {
      Timed* const added = all.emplace_back(std::make_unique<Timed>(random() % 500)).get();
      present.insert(added);
      heap.Add(added);
    } else if (random() % 2 == 0 && !present.empty()) {
      Timed* const gone = *std::next(present.begin(), static_cast<long>(random() % present.size()));
      present.erase(gone);
      heap.Remove(gone);
    } else {
      const int64_t first = earliest();
      auto* const due = static_cast<Timed*>(heap.TakeDue(first));
      ASSERT_EQ(due == nullptr, present.empty());
      if (due == nullptr) continue;
      EXPECT_EQ(due->deadline_ns(), first);
      ASSERT_EQ(present.erase(due), 1U);
    }
    ASSERT_EQ(heap.next(), earliest());
  }
}

}  // namespace
}  // namespace maas
