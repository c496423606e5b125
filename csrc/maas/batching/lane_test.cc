#include "maas/batching/lane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "maas/batching/batch_queue_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;

Lane::ItemPtr Item(int id) {
  auto item = std::make_shared<TestItem>();
  item->id = id;
  return item;
}

std::vector<int> Drain(Lane* lane) {
  std::vector<int> ids;
  for (; !lane->empty(); lane->PopFront()) ids.push_back(IdOf(lane->Front()));
  return ids;
}

TEST(Lane, GivesLowerRanksFirstAndEachInOrder) {
  Lane lane;
  EXPECT_TRUE(lane.empty());
  lane.PushBack(4, Item(1));
  lane.PushBack(2, Item(2));
  lane.PushBack(4, Item(3));
  lane.PushBack(2, Item(4));
  lane.PushFront(4, Item(5));
  lane.PushBack(3, Item(6));
  EXPECT_EQ(lane.FrontRank(), 2u);
  EXPECT_THAT(Drain(&lane), ElementsAre(2, 4, 6, 5, 1, 3));
  EXPECT_TRUE(lane.empty());
}

TEST(Lane, IsUsedAgainForAnyRankOnceItIsEmpty) {
  Lane lane;
  lane.PushBack(4, Item(1));
  lane.PopFront();
  lane.PushBack(9, Item(2));
  lane.PushBack(1, Item(3));
  EXPECT_EQ(lane.FrontRank(), 1u);
  EXPECT_EQ(lane.tiers().size(), 2u);
  EXPECT_THAT(Drain(&lane), ElementsAre(3, 2));
  EXPECT_EQ(lane.tiers().size(), 1u);
}

TEST(Lane, ForgetsItemsOfAnyRankAndTheRanksThatHeldNoOthers) {
  Lane lane;
  for (int id = 0; id < 9; ++id) lane.PushBack(static_cast<uint64_t>(id / 3), Item(id));
  lane.EraseIf([](const Lane::ItemPtr& item) { return IdOf(item) < 4 || IdOf(item) == 7; });
  EXPECT_EQ(lane.tiers().size(), 2u);
  EXPECT_THAT(Drain(&lane), ElementsAre(4, 5, 6, 8));
  lane.PushBack(1, Item(1));
  lane.EraseIf([](const Lane::ItemPtr&) { return true; });
  EXPECT_TRUE(lane.empty());
}

TEST(Lane, AgreesWithAMapOfLists) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    Lane lane;
    std::map<uint64_t, std::deque<int>> model;
    for (int id = 0; id < 500; ++id) {
      const uint64_t rank = random() % 5;
      switch (random() % 4) {
        case 0:
          lane.PushBack(rank, Item(id));
          model[rank].push_back(id);
          break;
        case 1:
          lane.PushFront(rank, Item(id));
          model[rank].push_front(id);
          break;
        case 2:
          if (random() % 16 == 0) {
            lane.EraseIf([](const Lane::ItemPtr& item) { return IdOf(item) % 3 == 0; });
            for (auto& [_, ids] : model) std::erase_if(ids, [](int each) { return each % 3 == 0; });
          }
          break;
        default:
          if (!lane.empty()) {
            lane.PopFront();
            model.begin()->second.pop_front();
          }
      }
      std::erase_if(model, [](const auto& each) { return each.second.empty(); });
      ASSERT_EQ(lane.empty(), model.empty());
      if (model.empty()) continue;
      ASSERT_EQ(lane.FrontRank(), model.begin()->first);
      ASSERT_EQ(IdOf(lane.Front()), model.begin()->second.front());
      ASSERT_EQ(lane.tiers().size(), model.size());
    }
  }
}

}  // namespace
}  // namespace maas
