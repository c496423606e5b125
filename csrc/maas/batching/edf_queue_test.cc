#include "maas/batching/edf_queue.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "maas/batching/batch_queue.h"

namespace maas {
namespace {

using ItemPtr = EdfQueue::ItemPtr;
using Later = std::vector<std::tuple<int64_t, int64_t, int64_t>>;

constexpr int64_t kFirst = std::numeric_limits<int64_t>::min();
constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
constexpr auto kChunk = static_cast<int64_t>(EdfQueue::kChunk);

ItemPtr NewItem() { return std::make_shared<QueueItem>(); }

// The obvious way to do it.
class Model {
 public:
  void Insert(int64_t deadline_ns, int64_t rows, const ItemPtr& item) {
    size_t at = 0;
    while (at < entries.size() && entries[at].deadline_ns <= deadline_ns) ++at;
    entries.insert(At(at), {deadline_ns, rows, item});
  }
  void InsertFirst(int64_t rows, const ItemPtr& item) { entries.insert(At(0), {kFirst, rows, item}); }
  bool Erase(int64_t deadline_ns, const QueueItem* item) {
    for (size_t at = 0; at < entries.size(); ++at) {
      if (entries[at].deadline_ns != deadline_ns || entries[at].item.get() != item) continue;
      entries.erase(At(at));
      return true;
    }
    return false;
  }
  int64_t RowsBefore(int64_t deadline_ns) const {
    int64_t rows = 0;
    for (const auto& entry : entries) rows += entry.deadline_ns <= deadline_ns ? entry.rows : 0;
    return rows;
  }
  std::vector<EdfQueue::Entry>::iterator At(size_t at) {
    return entries.begin() + static_cast<std::ptrdiff_t>(at);
  }

  std::vector<EdfQueue::Entry> entries;
};

std::vector<EdfQueue::Entry> All(const EdfQueue& queue) {
  std::vector<EdfQueue::Entry> all;
  EXPECT_TRUE(queue.ForEach([&](const EdfQueue::Entry& entry) {
    all.push_back(entry);
    return true;
  }));
  return all;
}

Later AllLater(const EdfQueue& queue, int64_t deadline_ns) {
  Later later;
  EXPECT_TRUE(queue.ForEachLater(deadline_ns, [&](int64_t first, int64_t rows, int64_t before) {
    later.emplace_back(first, rows, before);
    return true;
  }));
  return later;
}

void ExpectSame(const EdfQueue& queue, const Model& model) {
  const auto all = All(queue);
  ASSERT_EQ(all.size(), model.entries.size());
  ASSERT_EQ(queue.size(), model.entries.size());
  ASSERT_EQ(queue.empty(), model.entries.empty());
  int64_t rows = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].deadline_ns, model.entries[i].deadline_ns) << i;
    ASSERT_EQ(all[i].rows, model.entries[i].rows) << i;
    ASSERT_EQ(all[i].item, model.entries[i].item) << i;
    rows += all[i].rows;
  }
  ASSERT_EQ(queue.rows(), rows);
  if (!all.empty()) {
    ASSERT_EQ(queue.Front().item, all[0].item);
  }
}

// What ForEachLater() promises, however the entries lie in chunks.
void ExpectLater(const EdfQueue& queue, const Model& model, int64_t deadline_ns) {
  const Later later = AllLater(queue, deadline_ns);
  const int64_t before = model.RowsBefore(deadline_ns);
  ASSERT_EQ(later.empty(), before == queue.rows());
  if (!later.empty()) {
    ASSERT_EQ(std::get<2>(later[0]), before);
    ASSERT_EQ(std::get<2>(later.back()) + std::get<1>(later.back()), queue.rows())
        << "the last is among them";
  }
  ASSERT_LE(later.size(), queue.size());
  size_t at = 0;
  int64_t ahead = 0;
  for (const auto& entry : model.entries) {
    if (at < later.size() && ahead == std::get<2>(later[at])) {
      ASSERT_GT(entry.deadline_ns, deadline_ns);
      ASSERT_EQ(std::get<0>(later[at]), entry.deadline_ns);
      ASSERT_EQ(std::get<1>(later[at]), entry.rows);
      ++at;
    }
    ahead += entry.rows;
  }
  ASSERT_EQ(at, later.size()) << "each is an entry, and they come in order";
  if (!later.empty()) {
    ASSERT_EQ(std::get<2>(later.back()), queue.rows() - model.entries.back().rows) << "up to the last";
  }
}

TEST(EdfQueue, IsEmptyAtFirst) {
  EdfQueue queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(queue.rows(), 0);
  EXPECT_EQ(queue.RowsBefore(kLast), 0);
  EXPECT_FALSE(queue.Erase(0, nullptr));
  EXPECT_TRUE(All(queue).empty());
  EXPECT_TRUE(AllLater(queue, kFirst).empty());
}

TEST(EdfQueue, ComesByDeadlineAndThenByArrival) {
  EdfQueue queue;
  const ItemPtr items[] = {NewItem(), NewItem(), NewItem(), NewItem(), NewItem()};
  const int64_t deadlines[] = {50, 20, 50, kLast, 20};
  for (size_t i = 0; i < 5; ++i) queue.Insert(deadlines[i], 1, items[i]);
  for (size_t expected : {1u, 4u, 0u, 2u, 3u}) {
    EXPECT_EQ(queue.Front().item, items[expected]);
    queue.PopFront();
  }
  EXPECT_TRUE(queue.empty());
}

TEST(EdfQueue, PutsWhatComesBackBeforeEverything) {
  EdfQueue queue;
  const ItemPtr timely = NewItem(), first = NewItem(), second = NewItem();
  queue.Insert(kFirst, 1, timely);
  queue.InsertFirst(2, first);
  queue.InsertFirst(3, second);
  const auto all = All(queue);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].item, second);
  EXPECT_EQ(all[0].deadline_ns, kFirst);
  EXPECT_EQ(all[1].item, first);
  EXPECT_EQ(all[2].item, timely);
  EXPECT_TRUE(queue.Erase(kFirst, first.get()));
  EXPECT_EQ(queue.rows(), 4);
}

TEST(EdfQueue, LetsGoOfItemsAtOnce) {
  EdfQueue queue;
  const ItemPtr popped = NewItem(), erased = NewItem(), waiting = NewItem();
  queue.Insert(1, 1, popped);
  queue.Insert(2, 1, erased);
  queue.Insert(3, 1, waiting);
  queue.PopFront();
  EXPECT_TRUE(queue.Erase(2, erased.get()));
  EXPECT_EQ(popped.use_count(), 1);
  EXPECT_EQ(erased.use_count(), 1);
  EXPECT_EQ(waiting.use_count(), 2);
}

TEST(EdfQueue, ReducesTheRowsOfTheFirst) {
  EdfQueue queue;
  queue.Insert(10, 100, NewItem());
  queue.Insert(20, 5, NewItem());
  queue.ReduceFront(70);
  EXPECT_EQ(queue.Front().rows, 30);
  EXPECT_EQ(queue.rows(), 35);
  EXPECT_EQ(queue.RowsBefore(10), 30);
  EXPECT_EQ(AllLater(queue, 10), (Later{{20, 5, 30}}));
  queue.PopFront();
  EXPECT_EQ(queue.rows(), 5);
}

TEST(EdfQueue, KeepsItsOrderAtAnyLength) {
  for (int64_t length = 0; length < 2 * kChunk + 5; ++length) {
    EdfQueue queue;
    for (int64_t i = 0; i < length; ++i) queue.Insert(i, 1 + i % 3, NewItem());
    for (int64_t i = 0; i < 500; ++i) {
      queue.Insert(length + i, 1 + (length + i) % 3, NewItem());
      ASSERT_EQ(queue.Front().deadline_ns, i) << length;
      ASSERT_EQ(queue.Front().rows, 1 + i % 3) << length;
      queue.PopFront();
      ASSERT_EQ(queue.size(), static_cast<size_t>(length));
    }
    for (int64_t i = 0; i < length; ++i) queue.PopFront();
    ASSERT_EQ(queue.rows(), 0) << length;
  }
}

TEST(EdfQueue, ErasesOnlyTheItemWithThatDeadline) {
  EdfQueue queue;
  const ItemPtr item = NewItem(), other = NewItem();
  queue.Insert(10, 1, item);
  queue.Insert(10, 1, other);
  EXPECT_FALSE(queue.Erase(9, item.get()));
  EXPECT_FALSE(queue.Erase(11, item.get()));
  EXPECT_TRUE(queue.Erase(10, other.get()));
  EXPECT_FALSE(queue.Erase(10, other.get()));
  EXPECT_EQ(queue.Front().item, item);
}

TEST(EdfQueue, FindsAnItemAmongEqualDeadlinesOfManyChunks) {
  EdfQueue queue;
  std::vector<ItemPtr> items;
  queue.Insert(1, 1, NewItem());
  for (int64_t i = 0; i < 3 * kChunk; ++i) {
    items.push_back(NewItem());
    queue.Insert(5, 1, items.back());
  }
  queue.Insert(9, 1, NewItem());
  while (!items.empty()) {
    ASSERT_TRUE(queue.Erase(5, items.back().get()));
    ASSERT_FALSE(queue.Erase(5, items.back().get()));
    items.pop_back();
  }
  EXPECT_EQ(queue.size(), 2u);
}

TEST(EdfQueue, SumsTheRowsAheadOfADeadline) {
  EdfQueue queue;
  for (int64_t i = 1; i <= 10 * kChunk; ++i) queue.Insert(10 * i, i, NewItem());
  for (int64_t i = 0; i <= 10 * kChunk; ++i) {
    ASSERT_EQ(queue.RowsBefore(10 * i), i * (i + 1) / 2) << i;
    ASSERT_EQ(queue.RowsBefore(10 * i + 9), i * (i + 1) / 2) << i;
  }
  EXPECT_EQ(queue.RowsBefore(kFirst), 0);
  EXPECT_EQ(queue.RowsBefore(kLast), queue.rows());
}

TEST(EdfQueue, VisitsTheFirstAndTheLastLaterEntryOfEachChunk) {
  EdfQueue queue;
  for (int64_t i = 0; i < 2 * kChunk; ++i) queue.Insert(i, 2, NewItem());  // Appended: chunks are full.
  queue.Insert(2 * kChunk, 2, NewItem());  // Alone in its chunk: visited once.
  const auto at = [](int64_t i) { return std::tuple<int64_t, int64_t, int64_t>{i, 2, 2 * i}; };
  EXPECT_EQ(AllLater(queue, 9),
            (Later{at(10), at(kChunk - 1), at(kChunk), at(2 * kChunk - 1), at(2 * kChunk)}));
  EXPECT_EQ(AllLater(queue, kChunk - 1), (Later{at(kChunk), at(2 * kChunk - 1), at(2 * kChunk)}));
  EXPECT_TRUE(AllLater(queue, 2 * kChunk).empty());
}

TEST(EdfQueue, StopsVisitingWhenTold) {
  EdfQueue queue;
  for (int64_t i = 0; i < 3 * kChunk; ++i) queue.Insert(i, 1, NewItem());
  int64_t visits = 0;
  EXPECT_FALSE(queue.ForEach([&](const EdfQueue::Entry&) { return ++visits < kChunk + 2; }));
  EXPECT_EQ(visits, kChunk + 2);
  visits = 0;
  EXPECT_FALSE(queue.ForEachLater(0, [&](int64_t, int64_t, int64_t) { return ++visits < 2; }));
  EXPECT_EQ(visits, 2) << "the last of the first chunk";
  visits = 0;
  EXPECT_FALSE(queue.ForEachLater(0, [&](int64_t, int64_t, int64_t) { return ++visits < 3; }));
  EXPECT_EQ(visits, 3) << "the first of the second";
}

TEST(EdfQueue, TakesRowsThatFillAnInt64) {
  EdfQueue queue;
  queue.Insert(1, int64_t{1} << 61, NewItem());
  queue.Insert(2, int64_t{1} << 61, NewItem());
  EXPECT_EQ(queue.rows(), int64_t{1} << 62);
  EXPECT_EQ(queue.RowsBefore(1), int64_t{1} << 61);
}

struct Script {
  uint64_t seed;
  int64_t deadlines;  // So many different ones.
  int inserts;        // Of 10 steps, at first; the rest take out.
};

class EdfQueueScript : public testing::TestWithParam<Script> {};

TEST_P(EdfQueueScript, DoesWhatASortedListDoes) {
  const auto [seed, deadlines, inserts] = GetParam();
  std::mt19937_64 random(seed);
  const auto upto = [&random](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  EdfQueue queue;
  Model model;
  constexpr int kSteps = 6000;
  for (int step = 0; step < kSteps; ++step) {
    // Fills, and then empties.
    const bool insert = upto(10) < (step < kSteps / 2 ? inserts : 10 - inserts);
    if (insert && upto(20) == 0) {
      const ItemPtr item = NewItem();
      queue.InsertFirst(1 + step, item);
      model.InsertFirst(1 + step, item);
    } else if (insert) {
      const ItemPtr item = NewItem();
      const int64_t deadline = upto(2) == 0 ? step : upto(deadlines);
      const int64_t rows = 1 + upto(9);
      queue.Insert(deadline, rows, item);
      model.Insert(deadline, rows, item);
    } else if (!model.entries.empty() && upto(3) == 0) {
      const auto entry = *model.At(static_cast<size_t>(upto(static_cast<int64_t>(model.entries.size()))));
      ASSERT_TRUE(queue.Erase(entry.deadline_ns, entry.item.get()));
      ASSERT_TRUE(model.Erase(entry.deadline_ns, entry.item.get()));
    } else if (!model.entries.empty() && model.entries[0].rows > 1 && upto(2) == 0) {
      const int64_t rows = 1 + upto(model.entries[0].rows - 1);
      queue.ReduceFront(rows);
      model.entries[0].rows -= rows;
    } else if (!model.entries.empty()) {
      queue.PopFront();
      model.entries.erase(model.entries.begin());
    }
    const int64_t deadline = upto(10) == 0 ? kFirst : upto(deadlines);
    ASSERT_EQ(queue.RowsBefore(deadline), model.RowsBefore(deadline)) << step;
    if (step % 10 == 0) {
      ASSERT_NO_FATAL_FAILURE(ExpectSame(queue, model)) << step;
      ASSERT_NO_FATAL_FAILURE(ExpectLater(queue, model, deadline)) << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EdfQueueScript,
                         testing::Values(Script{1, 10, 6}, Script{2, 10'000, 6}, Script{3, 1'000'000, 9},
                                         Script{4, 1, 8}, Script{5, 200, 5}),
                         [](const auto& script) { return "Seed" + std::to_string(script.param.seed); });

}  // namespace
}  // namespace maas
