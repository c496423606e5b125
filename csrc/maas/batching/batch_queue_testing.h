// A queue for tests, stepped by hand.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "maas/batching/batch_queue.h"

namespace maas {

struct TestItem final : QueueItem {
  int id = 0;
};

inline int IdOf(const std::shared_ptr<QueueItem>& item) { return static_cast<const TestItem&>(*item).id; }

inline std::vector<int> IdsOf(const std::vector<std::shared_ptr<QueueItem>>& items) {
  std::vector<int> ids;
  for (const auto& item : items) ids.push_back(IdOf(item));
  return ids;
}

// A queue that is stepped by hand on a clock of its own.
class BatchQueueTest : public testing::Test {
 protected:
  static BatchQueue::Options Options(int64_t max_batch_rows, int64_t delay_ns = 0,
                                     int64_t max_queue_rows = 100) {
    BatchQueue::Options options;
    options.batch = {max_batch_rows, delay_ns};
    options.max_queue_rows = max_queue_rows;
    options.process_cpu_ns = [] { return int64_t{0}; };  // An idle machine: nothing is gathered.
    return options;
  }

  void Make(BatchQueue::Options options) {
    queue_ = std::make_unique<BatchQueue>(std::move(options), &clock_);
  }

  std::shared_ptr<TestItem> Item(int id, int64_t rows = 1, std::string lane = "") {
    auto item = std::make_shared<TestItem>();
    item->id = id;
    item->rows = rows;
    item->lane_key = std::move(lane);
    item->accepted_ns = clock_.Now();
    return item;
  }
  std::shared_ptr<TestItem> Push(int id, int64_t rows = 1, std::string lane = "") {
    auto item = Item(id, rows, std::move(lane));
    EXPECT_EQ(queue_->Push(item), PushResult::kOk);
    return item;
  }
  std::shared_ptr<TestItem> PushUntil(int id, int64_t deadline_ns) {
    auto item = Item(id);
    item->deadline_ns = deadline_ns;
    EXPECT_EQ(queue_->Push(item), PushResult::kOk);
    return item;
  }

  // The ids of the batch that is taken now.
  std::vector<int> Step() {
    decision_ = queue_->Step(clock_.Now(), &batch_, &dead_, &ticket_);
    std::vector<int> ids;
    for (const Slice& slice : batch_) ids.push_back(IdOf(slice.item));
    return ids;
  }
  int64_t BatchRows() const {
    return std::accumulate(batch_.begin(), batch_.end(), int64_t{0},
                           [](int64_t sum, const Slice& slice) { return sum + slice.rows; });
  }

  FakeClock clock_{1'000'000'000'000};
  std::unique_ptr<BatchQueue> queue_;
  Decision decision_;
  RunTicket ticket_;
  std::vector<Interrupt> interrupts_;
  std::vector<Slice> batch_;
  std::vector<std::shared_ptr<QueueItem>> dead_;
};

}  // namespace maas
