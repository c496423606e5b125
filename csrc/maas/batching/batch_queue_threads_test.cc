// BatchQueue under threads: nothing is lost, nothing is handed out twice, nobody sleeps while work waits.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "maas/batching/batch_queue.h"

namespace maas {
namespace {

using std::chrono::seconds;

struct CountedItem final : QueueItem {
  std::atomic<int64_t> rows_run{0};
  std::atomic<int> completions{0};
};

CountedItem& Counted(const std::shared_ptr<QueueItem>& item) { return static_cast<CountedItem&>(*item); }

class Storm {
 public:
  explicit Storm(BatchQueue::Options options) : queue_(std::move(options), SteadyClock::Get()) {}

  void Run(int producers, int consumers, int items_each) {
    std::vector<std::thread> threads;
    for (int c = 0; c < consumers; ++c) threads.emplace_back([this, c] { Consume(c); });
    std::vector<std::thread> feeding;
    for (int p = 0; p < producers; ++p)
      feeding.emplace_back([this, p, items_each] { Produce(p, items_each); });
    std::atomic<bool> fed{false};
    std::thread sweeper([&] {
      std::vector<std::shared_ptr<QueueItem>> dead;
      while (!fed.load()) {
        queue_.TakeExpired(SteadyClock::Get()->Now(), &dead);
        Complete(dead);
        std::this_thread::yield();
      }
    });
    for (std::thread& thread : feeding) thread.join();
    fed.store(true);
    sweeper.join();
    queue_.Close();
    for (std::thread& thread : threads) thread.join();
  }

  int64_t accepted() const { return accepted_; }
  int64_t completed() const { return completed_; }
  int64_t rows_run() const { return rows_run_; }
  int64_t rows_of_whole() const { return rows_of_whole_; }
  int64_t waiting_rows() { return queue_.waiting_rows(); }

 private:
  void Complete(const std::vector<std::shared_ptr<QueueItem>>& items) {
    for (const auto& item : items) CompleteOne(*item);
  }
  void CompleteOne(QueueItem& item) {
    auto& counted = static_cast<CountedItem&>(item);
    EXPECT_EQ(counted.completions.fetch_add(1), 0) << "completed twice";
    EXPECT_LE(counted.rows_run.load(), counted.rows);
    if (counted.rows_run.load() == counted.rows) rows_of_whole_ += counted.rows;
    ++completed_;
    queue_.OnAnswered(1);
  }

  void Produce(int seed, int count) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<std::shared_ptr<CountedItem>> mine;
    for (int i = 0; i < count; ++i) {
      auto item = std::make_shared<CountedItem>();
      item->rows = 1 + static_cast<int64_t>(random() % 3);
      if (random() % 20 == 0) item->rows = 30;  // Split.
      item->solo = random() % 30 == 0;
      item->priority = random() % 4;
      item->lane_key = std::string(1, static_cast<char>('a' + random() % 4));
      item->accepted_ns = SteadyClock::Get()->Now();
      if (random() % 10 == 0)
        item->deadline_ns = item->accepted_ns + static_cast<int64_t>(random() % 200'000);
      const PushResult pushed = queue_.Push(item);
      if (pushed == PushResult::kOk) {
        ++accepted_;
        mine.push_back(std::move(item));
      } else {
        EXPECT_TRUE(pushed == PushResult::kFull || pushed == PushResult::kLevelFull ||
                    pushed == PushResult::kLate);
        EXPECT_EQ(item.use_count(), 1);
        std::this_thread::yield();
      }
      if (!mine.empty() && random() % 4 == 0) {
        std::vector<Interrupt> interrupts;
        const auto& victim = mine[random() % mine.size()];
        if (queue_.Cancel(victim.get(), &interrupts)) CompleteOne(*victim);
      }
    }
  }

  void Consume(int seed) {
    std::mt19937 random(static_cast<unsigned>(1000 + seed));
    std::vector<Slice> batch;
    std::vector<std::shared_ptr<QueueItem>> dead;
    RunTicket ticket;
    while (queue_.Pop(&batch, &dead, &ticket)) {
      Complete(dead);
      EXPECT_FALSE(batch.empty() && dead.empty());
      if (batch.empty()) continue;
      if (random() % 8 == 0 && batch.size() > 1) {
        // The run failed; in a batch of several none is split.
        std::vector<std::shared_ptr<QueueItem>> again;
        for (const Slice& slice : batch) again.push_back(slice.item);
        queue_.EndRun(ticket, -1, -1);
        queue_.Requeue(again, &dead);
        Complete(dead);
        continue;
      }
      int64_t rows = 0;
      for (const Slice& slice : batch) {
        EXPECT_EQ(slice.item->lane_key, batch[0].item->lane_key);
        rows += slice.rows;
        rows_run_ += slice.rows;
        Counted(slice.item).rows_run += slice.rows;
        if (slice.rows == slice.item->rows || queue_.Return(slice)) CompleteOne(*slice.item);
      }
      EXPECT_TRUE(rows <= 8 || (batch.size() == 1 && batch[0].item->solo));
      queue_.EndRun(ticket, 20'000, -1);
    }
  }

  BatchQueue queue_;
  std::atomic<int64_t> accepted_{0};
  std::atomic<int64_t> completed_{0};
  std::atomic<int64_t> rows_run_{0};
  std::atomic<int64_t> rows_of_whole_{0};
};

struct StormCase {
  const char* name;
  int producers;
  int consumers;
  int64_t delay_ns;
  bool gathers;
  bool policies = false;
};

class BatchQueueStorm : public testing::TestWithParam<StormCase> {};

TEST_P(BatchQueueStorm, CompletesEveryItemExactlyOnce) {
  BatchQueue::Options options;
  options.batch = {8, GetParam().delay_ns};
  options.max_queue_rows = 200;
  if (!GetParam().gathers) options.process_cpu_ns = [] { return int64_t{0}; };
  if (GetParam().policies) {
    options.batch.preferred_rows = {2, 5};
    options.priorities = {.levels = 3, .default_level = 2, .policy = {}, .by_level = {}};
    options.priorities.policy.default_timeout_ns = 300'000;
    options.priorities.by_level[2] = {.default_timeout_ns = 50'000, .timeout_action = TimeoutAction::kDelay};
    options.priorities.by_level[3] = {.max_queue_size = 20};
  }
  Storm storm(std::move(options));
  storm.Run(GetParam().producers, GetParam().consumers, 3000);
  EXPECT_GT(storm.accepted(), 0);
  EXPECT_EQ(storm.completed(), storm.accepted());
  EXPECT_EQ(storm.waiting_rows(), 0);
  EXPECT_GE(storm.rows_run(), storm.rows_of_whole()) << "beyond them only slices of what died half-way";
}

INSTANTIATE_TEST_SUITE_P(All, BatchQueueStorm,
                         testing::Values(StormCase{"one_to_one", 1, 1, 0, false},
                                         StormCase{"four_to_three", 4, 3, 0, false},
                                         StormCase{"with_delay", 4, 3, 100'000, false},
                                         StormCase{"with_gathering", 4, 3, 0, true},
                                         StormCase{"with_policies", 4, 3, 100'000, false, true}),
                         [](const auto& each) { return each.param.name; });

std::shared_ptr<CountedItem> NewItem() {
  auto item = std::make_shared<CountedItem>();
  item->accepted_ns = SteadyClock::Get()->Now();
  return item;
}

// A consumer that takes one batch.
std::future<size_t> PopOne(BatchQueue* queue) {
  return std::async(std::launch::async, [queue] {
    std::vector<Slice> batch;
    std::vector<std::shared_ptr<QueueItem>> dead;
    RunTicket ticket;
    return queue->Pop(&batch, &dead, &ticket) ? batch.size() : 0;
  });
}

// Tells how often the time was asked for: Pop() asks before each wait, and holds the queue's lock until it
// sleeps.
class CountingClock final : public Clock {
 public:
  int64_t Now() const override {
    ++asked_;
    return SteadyClock::Get()->Now();
  }
  int asked() const { return asked_; }

 private:
  mutable std::atomic<int> asked_{0};
};

TEST(BatchQueueWakeUps, AnIdleInstanceIsWokenWhileAnotherThatWatchedTheDelayIsBusy) {
  CountingClock clock;
  BatchQueue::Options options;
  options.batch = {8, 1'000'000};
  options.process_cpu_ns = [] { return int64_t{0}; };
  BatchQueue queue(std::move(options), &clock);
  auto first = PopOne(&queue);
  auto second = PopOne(&queue);
  while (clock.asked() < 2) std::this_thread::yield();
  ASSERT_EQ(queue.waiting_rows(), 0) << "both sleep now";
  ASSERT_EQ(queue.Push(NewItem()), PushResult::kOk);
  // Whoever was woken sleeps until the delay has passed, takes it, and is busy from then on.
  while (queue.waiting_rows() > 0) std::this_thread::yield();
  ASSERT_EQ(queue.Push(NewItem()), PushResult::kOk);
  EXPECT_EQ(first.wait_for(seconds(5)), std::future_status::ready);
  EXPECT_EQ(second.wait_for(seconds(5)), std::future_status::ready) << "asleep while work waits";
  queue.Close();
  EXPECT_EQ(first.get() + second.get(), 2u);
}

TEST(BatchQueueWakeUps, ADeadlineThatPressesEndsTheWaitForCompany) {
  CountingClock clock;
  BatchQueue::Options options;
  options.batch = {8, 3'600'000'000'000};
  options.process_cpu_ns = [] { return int64_t{0}; };
  BatchQueue queue(std::move(options), &clock);
  queue.SeedRun(8, 1'000'000'000);
  auto consumer = PopOne(&queue);
  while (clock.asked() < 1) std::this_thread::yield();
  ASSERT_EQ(queue.Push(NewItem()), PushResult::kOk);
  while (clock.asked() < 3) std::this_thread::yield();
  ASSERT_EQ(queue.waiting_rows(), 1) << "asleep until the delay has passed";
  auto pressed = NewItem();
  pressed->deadline_ns = pressed->accepted_ns + 1'300'000'000;
  ASSERT_EQ(queue.Push(pressed), PushResult::kOk);
  ASSERT_EQ(consumer.wait_for(seconds(20)), std::future_status::ready);
  EXPECT_EQ(consumer.get(), 2u) << "both in one batch, before the deadline";
  queue.Close();
}

TEST(BatchQueueWakeUps, APolicyThatPressesAndAPreferredSizeEndTheWaitForCompany) {
  for (bool preferred : {false, true}) {
    CountingClock clock;
    BatchQueue::Options options;
    options.batch = {8, 3'600'000'000'000};
    if (preferred) {
      options.batch.preferred_rows = {2};
    } else {
      options.priorities = {.levels = 2, .default_level = 2, .policy = {}, .by_level = {}};
      options.priorities.by_level[1] = {.default_timeout_ns = 300'000'000};
    }
    options.process_cpu_ns = [] { return int64_t{0}; };
    BatchQueue queue(std::move(options), &clock);
    auto consumer = PopOne(&queue);
    while (clock.asked() < 1) std::this_thread::yield();
    ASSERT_EQ(queue.Push(NewItem()), PushResult::kOk);
    while (clock.asked() < 3) std::this_thread::yield();
    ASSERT_EQ(queue.waiting_rows(), 1) << "asleep until the delay has passed";
    auto pressing = NewItem();
    pressing->priority = 1;
    ASSERT_EQ(queue.Push(pressing), PushResult::kOk);
    ASSERT_EQ(consumer.wait_for(seconds(20)), std::future_status::ready);
    EXPECT_EQ(consumer.get(), 2u) << "both in one batch";
    queue.Close();
  }
}

TEST(BatchQueueWakeUps, ABurstWakesEveryInstanceThatItNeeds) {
  BatchQueue::Options options;
  options.batch = {2, 0};
  options.process_cpu_ns = [] { return int64_t{0}; };
  BatchQueue queue(std::move(options), SteadyClock::Get());
  for (int round = 0; round < 20; ++round) {
    std::vector<std::future<size_t>> consumers;
    for (int i = 0; i < 3; ++i) consumers.push_back(PopOne(&queue));
    auto large = NewItem();
    large->rows = 6;
    ASSERT_EQ(queue.Push(large), PushResult::kOk);
    for (auto& consumer : consumers) {
      ASSERT_EQ(consumer.wait_for(seconds(20)), std::future_status::ready);
      EXPECT_EQ(consumer.get(), 1u);
    }
  }
}

TEST(BatchQueueWakeUps, ClosingEndsEveryWait) {
  BatchQueue queue({}, SteadyClock::Get());
  std::vector<std::future<size_t>> consumers;
  for (int i = 0; i < 4; ++i) consumers.push_back(PopOne(&queue));
  queue.Close();
  for (auto& consumer : consumers) {
    ASSERT_EQ(consumer.wait_for(seconds(20)), std::future_status::ready);
    EXPECT_EQ(consumer.get(), 0u);
  }
}

}  // namespace
}  // namespace maas
