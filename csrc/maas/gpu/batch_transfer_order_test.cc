#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "maas/base/mutex.h"
#include "maas/gpu/batch_transfer_testing.h"

namespace maas {
namespace {

// Every shape at most once larger than before, so that nothing but events keeps batches apart: what frees
// memory waits for everything.
ModelSpec OneShape() {
  InputSpec ids = MakePadded("ids");
  ids.datatype = DataType::kFp16;
  ModelSpec spec =
      EchoSpec({MakeInput("x", DataType::kFp32, {-1, 3, 5}), ids, MakePadded("mask", AutoFill::kMask)});
  spec.pad_groups = {{{8}}};
  return spec;
}

// Calls visit with each order of `batches` launches and as many waits that so many slots allow: true is a
// launch.
void ForEachOrder(int batches, int slots, const std::function<void(const std::vector<bool>&)>& visit) {
  std::vector<bool> order;
  const std::function<void(int, int)> extend = [&](int launched, int awaited) {
    if (awaited == batches) return visit(order);
    if (launched < batches && launched - awaited < slots) {
      order.push_back(true);
      extend(launched + 1, awaited);
      order.pop_back();
    }
    if (awaited < launched) {
      order.push_back(false);
      extend(launched, awaited + 1);
      order.pop_back();
    }
  };
  extend(0, 0);
}

// What the device does by itself between two calls.
enum class Progress : uint8_t { kNone, kSome, kAll };

class BatchTransferOrderTest : public testing::Test {
 protected:
  BatchTransferOrderTest() {
    for (int i = 0; i < 3; ++i) transfers_.push_back(rig_.Transfer());
    for (const auto& transfer : transfers_) {
      EXPECT_EQ(Text(rig_.Serve(BatchByChance(rig_.spec, &chance_, 8, 3), transfer.get())), "ok");
    }
    for (int i = 0; i < kBatches; ++i) {
      batches_.push_back(BatchByChance(rig_.spec, &chance_, chance_.Of(1, 8), 3));
      // Plans are made before, as they are once all shapes were seen.
      EXPECT_NE(rig_.PlanOf(batches_.back()), nullptr);
    }
  }

  void Proceed(Progress progress) {
    if (progress == Progress::kAll) return rig_.fake.RunAll();
    if (progress == Progress::kNone) return;
    const BatchTransfer::Streams& streams = rig_.streams;
    const uint64_t native[] = {streams.up.native(), streams.compute.native(), streams.down.native()};
    for (int64_t steps = chance_.Of(0, 8); steps > 0; --steps) rig_.fake.Step(native[chance_.Of(0, 2)]);
  }
  void Serve(const std::vector<bool>& order, int slots, Progress progress) {
    size_t launched = 0;
    size_t awaited = 0;
    const auto slot_of = [&](size_t batch) { return transfers_[batch % static_cast<size_t>(slots)].get(); };
    for (const bool is_launch : order) {
      if (is_launch) {
        const TestBatch& batch = batches_[launched];
        const RunPlan& plan = *rig_.PlanOf(batch);
        ASSERT_EQ(Text(slot_of(launched)->Begin(plan, batch.slices)), "ok");
        Proceed(progress);
        ASSERT_EQ(Text(rig_.Run(plan)), "ok");
        Proceed(progress);
        ASSERT_EQ(Text(slot_of(launched)->Fetch()), "ok");
        ++launched;
      } else {
        const TestBatch& batch = batches_[awaited];
        ASSERT_EQ(Text(rig_.Await(batch, slot_of(awaited), *rig_.PlanOf(batch))), "ok");
        ++awaited;
      }
      Proceed(progress);
    }
  }

  static constexpr int kBatches = 6;

  Chance chance_{11};
  TransferRig rig_{OneShape()};
  std::vector<std::unique_ptr<BatchTransfer>> transfers_;
  std::vector<TestBatch> batches_;
};

TEST_F(BatchTransferOrderTest, BatchesDoNotMeetInAnyOrderThatTheSlotsAllow) {
  const int allocations = rig_.Allocations();
  int orders = 0;
  for (const int slots : {1, 2, 3}) {
    ForEachOrder(kBatches, slots, [&](const std::vector<bool>& order) {
      ++orders;
      for (const Progress progress : {Progress::kNone, Progress::kSome, Progress::kSome, Progress::kAll}) {
        SCOPED_TRACE(testing::Message() << slots << " slots, order " << testing::PrintToString(order));
        Serve(order, slots, progress);
      }
    });
  }
  EXPECT_EQ(orders, 1 + 32 + 89);
  EXPECT_EQ(rig_.Allocations(), allocations);
}

TEST_F(BatchTransferOrderTest, ABatchThatWasGivenUpDoesNotMeetTheNext) {
  BatchTransfer* const transfer = transfers_[0].get();
  for (const Progress progress : {Progress::kNone, Progress::kSome, Progress::kAll}) {
    for (size_t i = 0; i + 1 < batches_.size(); ++i) {
      // The run failed before it began; and nobody waited for one that had.
      ASSERT_EQ(Text(transfer->Begin(*rig_.PlanOf(batches_[i]), batches_[i].slices)), "ok");
      Proceed(progress);
      ASSERT_EQ(Text(rig_.Launch(batches_[i + 1], transfer)), "ok");
      Proceed(progress);
      ASSERT_EQ(Text(rig_.Serve(batches_[i], transfer)), "ok");
    }
  }
}

// One thread launches and another waits, as those of an instance do.
TEST_F(BatchTransferOrderTest, AnotherThreadMayWait) {
  constexpr size_t kRounds = 60;
  Mutex mu;
  CondVar changed;
  size_t launched = 0;
  size_t awaited = 0;
  const auto wait_until = [&](const auto& done) {
    MutexLock lock(&mu);
    while (!done()) changed.Wait(&mu);
  };
  const auto advance = [&](size_t* count) {
    MutexLock lock(&mu);
    ++*count;
    changed.SignalAll();
  };
  // Plans are of the thread that launches.
  std::vector<const RunPlan*> plans;
  for (const TestBatch& batch : batches_) plans.push_back(rig_.PlanOf(batch));
  std::thread deliverer([&] {
    for (size_t i = 0; i < kRounds; ++i) {
      wait_until([&] { return launched > i; });
      const size_t b = i % batches_.size();
      EXPECT_EQ(Text(rig_.Await(batches_[b], transfers_[i % 3].get(), *plans[b])), "ok");
      advance(&awaited);
    }
  });
  for (size_t i = 0; i < kRounds; ++i) {
    wait_until([&] { return i < awaited + 3; });
    EXPECT_EQ(Text(rig_.Launch(batches_[i % batches_.size()], transfers_[i % 3].get())), "ok");
    advance(&launched);
  }
  deliverer.join();
}

}  // namespace
}  // namespace maas
