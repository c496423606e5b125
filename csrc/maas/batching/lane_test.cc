#include "maas/batching/lane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "maas/batching/batch_queue_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kAll = INT64_MAX;

class LaneTest : public testing::Test {
 protected:
  // An item with a deadline.
  void AddTimed(int id, int64_t due_ns, uint64_t rank = 2, TenantId tenant = 0, double weight = 1,
                int64_t rows = 1) {
    Add(id, {rank, tenant, weight, true, false, due_ns}, rows);
  }
  void AddUntimed(int id, uint64_t rank = 2, TenantId tenant = 0, int64_t rows = 1) {
    Add(id, {rank, tenant, 1, false, false, ++arrivals_}, rows);
  }
  void AddAgain(int id, uint64_t rank = 2) { Add(id, {rank, 0, 1, true, true, 0}, 1); }
  void Add(int id, const Lane::Place& place, int64_t rows) {
    auto item = std::make_shared<TestItem>();
    item->id = id;
    item->rows = rows;
    lane_.Add(place, rows, item);
    ++lane_.requests;
    lane_.rows += rows;
    fair_.Enter(place.tenant, place.weight);
    items_[id] = {place, item};
  }
  bool Remove(int id) {
    const auto& [place, item] = items_.at(id);
    if (!lane_.Remove(place, item.get())) return false;
    --lane_.requests;
    lane_.rows -= item->rows;
    fair_.Leave(place.tenant);
    return true;
  }

  std::vector<int> Order(int64_t owed = 0, int64_t rows = kAll, size_t most = 1000) const {
    std::vector<Lane::Standing> order;
    lane_.Order(fair_, owed, rows, most, &order);
    std::vector<int> ids;
    for (const Lane::Standing& one : order) ids.push_back(IdOf(*one.item));
    return ids;
  }

  Lane lane_;
  FairShare fair_;
  int64_t arrivals_ = 0;
  std::map<int, std::pair<Lane::Place, std::shared_ptr<TestItem>>> items_;
};

TEST_F(LaneTest, ServesTheEarliestDeadlineFirstAndEqualOnesInOrder) {
  EXPECT_TRUE(lane_.empty());
  AddTimed(1, 300);
  AddTimed(2, 100);
  AddTimed(3, 200);
  AddTimed(4, 100);
  EXPECT_THAT(Order(), ElementsAre(2, 4, 3, 1));
}

TEST_F(LaneTest, ServesWhatHasNoDeadlineLastAndInOrder) {
  AddUntimed(1);
  AddTimed(2, 900);
  AddUntimed(3);
  AddTimed(4, 100);
  EXPECT_THAT(Order(), ElementsAre(4, 2, 1, 3));
}

TEST_F(LaneTest, WhatIsOwedATurnGoesFirst) {
  for (int id = 1; id <= 3; ++id) AddUntimed(id);
  AddTimed(4, 100);
  AddTimed(5, 100);
  EXPECT_THAT(Order(1), ElementsAre(1, 4, 5, 2, 3));
  EXPECT_THAT(Order(2), ElementsAre(1, 2, 4, 5, 3));
  EXPECT_THAT(Order(9), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(LaneTest, WhatIsOwedATurnStandsInTheOrderOnce) {
  for (int id = 1; id <= 4; ++id) AddUntimed(id, 2, static_cast<TenantId>(id % 2), 3);
  AddTimed(5, 100);
  for (int64_t owed = 0; owed < 14; ++owed) {
    std::vector<int> order = Order(owed);
    std::sort(order.begin(), order.end());
    EXPECT_THAT(order, ElementsAre(1, 2, 3, 4, 5)) << owed;
  }
}

TEST_F(LaneTest, AHigherTierGoesFirstWhateverTheDeadlines) {
  AddTimed(1, 100, 4);
  AddUntimed(2, 2);
  AddTimed(3, 900, 2);
  AddUntimed(4, 3);
  EXPECT_THAT(Order(), ElementsAre(3, 2, 4, 1));
}

TEST_F(LaneTest, WhatComesBackFromAFailedBatchGoesFirstInItsTier) {
  AddTimed(1, 100);
  AddAgain(2);
  AddAgain(3);
  AddTimed(4, 100, 1);
  EXPECT_THAT(Order(9), ElementsAre(4, 2, 3, 1));
  EXPECT_TRUE(Remove(2));
  EXPECT_FALSE(Remove(2));
  EXPECT_THAT(Order(), ElementsAre(4, 3, 1));
}

TEST_F(LaneTest, TenantsTakeTurnsByWeight) {
  for (int id = 10; id < 16; ++id) AddTimed(id, 100, 2, 1, 2);
  for (int id = 20; id < 26; ++id) AddTimed(id, 900, 2, 2, 1);
  const std::vector<int> order = Order();
  ASSERT_EQ(order.size(), 12u);
  int of_first = 0;
  for (size_t i = 0; i < 9; ++i) of_first += order[i] < 20 ? 1 : 0;
  EXPECT_EQ(of_first, 6) << "two of the first for each of the second";
}

TEST_F(LaneTest, TenantsShareWhatHasNoDeadlineToo) {
  for (int id = 10; id < 14; ++id) AddUntimed(id, 2, 1);
  for (int id = 20; id < 24; ++id) AddUntimed(id, 2, 2);
  const std::vector<int> order = Order();
  ASSERT_EQ(order.size(), 8u);
  for (size_t i = 0; i < 8; i += 2) EXPECT_NE(order[i] / 10, order[i + 1] / 10) << i;
}

TEST_F(LaneTest, TheOrderEndsWhereEnoughStandsInIt) {
  for (int id = 1; id <= 6; ++id) AddTimed(id, 100 + id, 2, 0, 1, 2);
  EXPECT_THAT(Order(0, 5), ElementsAre(1, 2, 3));
  EXPECT_THAT(Order(0, kAll, 2), ElementsAre(1, 2));
}

TEST_F(LaneTest, KnowsWhatANewOneWouldWaitFor) {
  AddTimed(1, 100, 2, 1, 1, 5);
  AddTimed(2, 300, 2, 1, 1, 7);
  AddTimed(3, 100, 2, 2, 1, 11);
  AddUntimed(4, 2, 1, 13);
  AddTimed(5, 100, 1, 1, 1, 17);
  AddTimed(6, 100, 3, 1, 1, 19);
  const Lane::Place timed{2, 1, 1, true, false, 200};
  EXPECT_EQ(lane_.RowsOfHigherTiers(2), 17);
  EXPECT_EQ(lane_.RowsBefore(timed), 5);
  EXPECT_EQ(lane_.TimedRowsOfOthers(timed), 11);
  EXPECT_EQ(lane_.RowsBefore({2, 1, 1, false, false, 99}), 5 + 7 + 13);
  EXPECT_EQ(lane_.RowsBefore({2, 9, 1, true, false, 200}), 0);
  EXPECT_EQ(lane_.TimedRowsOfOthers({2, 9, 1, true, false, 200}), 5 + 7 + 11);
  EXPECT_EQ(lane_.RowsBefore({8, 1, 1, true, false, 200}), 0);
  EXPECT_TRUE(lane_.HasUntimed(2));
  EXPECT_FALSE(lane_.HasUntimed(1));
  ASSERT_NE(lane_.Timed(timed), nullptr);
  EXPECT_EQ(lane_.Timed(timed)->rows(), 12);
  EXPECT_EQ(lane_.Timed({2, 9, 1, true, false, 200}), nullptr);
}

TEST_F(LaneTest, WhatIsPartlyTakenStaysFirstWithWhatIsLeft) {
  AddTimed(1, 100, 2, 0, 1, 10);
  lane_.ReduceFirst(items_.at(1).first, 4);
  std::vector<Lane::Standing> order;
  lane_.Order(fair_, 0, kAll, 10, &order);
  ASSERT_EQ(order.size(), 1u);
  EXPECT_EQ(order[0].rows, 6);
}

TEST_F(LaneTest, IsUsedAgainForAnyTierAndTenantOnceItIsEmpty) {
  for (int round = 0; round < 50; ++round) {
    AddTimed(round, round, static_cast<uint64_t>(50 - round), static_cast<TenantId>(round));
    AddUntimed(100 + round, static_cast<uint64_t>(round), static_cast<TenantId>(2 * round));
    EXPECT_EQ(Order().size(), 2u);
    EXPECT_TRUE(Remove(round));
    EXPECT_TRUE(Remove(100 + round));
    EXPECT_TRUE(lane_.empty());
    EXPECT_THAT(Order(), IsEmpty());
  }
}

TEST_F(LaneTest, IsCrowdedWhileOneTenantKeepsABatchWaitingAndAnotherDoesNotFillItsShare) {
  constexpr TenantId kGreedy = 1;
  constexpr TenantId kModest = 2;
  constexpr TenantId kThird = 3;
  constexpr uint64_t kRank = 2;
  constexpr int64_t kBatch = 8;
  AddTimed(1, 100, kRank, kGreedy, 1, kBatch + 1);
  EXPECT_FALSE(lane_.IsCrowded(kRank, kBatch)) << "alone";
  AddTimed(2, 100, kRank + 2, kModest);
  EXPECT_FALSE(lane_.IsCrowded(kRank, kBatch)) << "the other is of another tier";
  AddTimed(3, 100, kRank, kModest, 1, kBatch / 2 - 1);
  EXPECT_TRUE(lane_.IsCrowded(kRank, kBatch));
  AddUntimed(4, kRank, kModest);
  EXPECT_FALSE(lane_.IsCrowded(kRank, kBatch)) << "its half of a batch";
  AddTimed(5, 100, kRank, kThird, 0.5, 1);
  EXPECT_TRUE(lane_.IsCrowded(kRank, kBatch)) << "less than a fifth";
  ASSERT_TRUE(Remove(1));
  EXPECT_FALSE(lane_.IsCrowded(kRank, kBatch)) << "nobody asks for much";
  AddUntimed(6, kRank, kGreedy, kBatch + 1);
  EXPECT_TRUE(lane_.IsCrowded(kRank, kBatch)) << "without deadlines, too";
  ASSERT_TRUE(Remove(6));
  for (int id = 10; id < 40; ++id) AddTimed(id, 100, kRank, static_cast<TenantId>(id));
  EXPECT_FALSE(lane_.IsCrowded(kRank, kBatch)) << "many, but none of them for much";
}

}  // namespace
}  // namespace maas
