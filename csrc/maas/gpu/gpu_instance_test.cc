// The steps of both threads by hand, on one. What they do at a time is in gpu_instance_threads_test.cc, what
// fails in gpu_instance_failures_test.cc.
#include "maas/gpu/gpu_instance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/gpu/gpu_instance_testing.h"

namespace maas {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class GpuInstanceTest : public GpuInstanceFixture {};

class GpuInstanceSlotsTest : public GpuInstanceFixture, public testing::WithParamInterface<size_t> {};
INSTANTIATE_TEST_SUITE_P(Slots, GpuInstanceSlotsTest, testing::Values(1, 2, 3));

TEST_P(GpuInstanceSlotsTest, DeliversInTheOrderOfTheRuns) {
  Make(GetParam());
  std::vector<const Call*> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(Send(8, 3, static_cast<float>(i)));
  size_t launched = 0;
  for (size_t delivered = 0; delivered < calls.size(); ++delivered) {
    while (launched < calls.size() && launched < delivered + GetParam()) {
      NextAndRun();
      ++launched;
    }
    ASSERT_EQ(sink_.total(), static_cast<int64_t>(delivered));
    ASSERT_TRUE(instance_->DeliverNext());
    EXPECT_TRUE(IsDone(calls[delivered]));
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_THAT(AnswerTo(calls[i]), AllOf(SizeIs(24), Each(static_cast<float>(i))));
  }
  Close();
  EXPECT_EQ(sink_.unreturned(), 0u);
  EXPECT_EQ(version_->counters.batches.load(), 10u);
}

TEST_P(GpuInstanceSlotsTest, ARequestLargerThanABatchIsPutTogether) {
  Make(GetParam());
  const Call* large = Send(20, 2, 7);
  const Call* small = Send(1, 2, 8);
  while (!IsDone(large) || !IsDone(small)) RunOne();
  EXPECT_THAT(AnswerTo(large), AllOf(SizeIs(40), Each(7)));
  EXPECT_THAT(AnswerTo(small), ElementsAre(8, 8));
  Close();
}

TEST_P(GpuInstanceSlotsTest, AllocatesNothingOnceItIsWarm) {
  Make(GetParam());
  const auto round = [this](int64_t rows) {
    for (int64_t sent = 0; sent < 8; sent += rows) Send(rows, 16, 1);
    RunOne();
  };
  for (size_t slot = 0; slot < GetParam(); ++slot) round(8);
  const int warm = Allocations();
  for (int i = 0; i < 30; ++i) round(i % 8 + 1);
  EXPECT_EQ(Allocations(), warm);
  EXPECT_THAT(instance_->forgotten(), IsEmpty());
  EXPECT_GT(warm, 0);
}

TEST_P(GpuInstanceSlotsTest, GivesEverythingBack) {
  Make(GetParam());
  Send(3, 3, 1);
  RunOne();
  Close();
  instance_.reset();
  EXPECT_EQ(fake_.InUse(), FakeInUse{});
}

TEST_F(GpuInstanceTest, TellsOfTheRunThatIsPrepared) {
  Make(2);
  EXPECT_FALSE(instance_->running());
  Send(2, 3, 1);
  ASSERT_TRUE(instance_->Next());
  EXPECT_TRUE(instance_->running());
  EXPECT_EQ(instance_->plan().rows, 2);
  EXPECT_NE(instance_->plan().key, 0u);
  EXPECT_NE(instance_->run_number(), 0u);
  const uint64_t key = instance_->plan().key;
  Run();
  EXPECT_FALSE(instance_->running());
  Send(2, 3, 1);
  ASSERT_TRUE(instance_->Next());
  EXPECT_EQ(instance_->plan().key, key) << "slots share the tensors of runs";
  Run();
  EXPECT_NE(instance_->id(), 0u);
  EXPECT_FALSE(instance_->lost());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(instance_->DeliverNext());
}

TEST_F(GpuInstanceTest, TheNextBatchGoesUpWhileTheFirstRuns) {
  Make(2);
  const Call* first = Send(8, 3, 1);
  const Call* second = Send(8, 3, 2);
  NextAndRun();
  const size_t of_one = fake_.Pending(instance_->compute().native());
  EXPECT_EQ(fake_.Calls(FakeCall::kUpload), 1);
  EXPECT_GT(of_one, 0u);
  NextAndRun();
  EXPECT_EQ(fake_.Calls(FakeCall::kUpload), 2);
  EXPECT_EQ(fake_.Pending(instance_->compute().native()), 2 * of_one) << "the first run is not over";
  EXPECT_EQ(fake_.Calls(FakeCall::kSynchronize), 0);
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_TRUE(IsDone(first));
  EXPECT_FALSE(IsDone(second));
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_THAT(AnswerTo(first), Each(1));
  EXPECT_THAT(AnswerTo(second), Each(2));
}

TEST_F(GpuInstanceTest, ARunTookWhatItTookOnTheDevice) {
  Make(2);
  const Call* first = Send(8, 3, 1);
  const Call* second = Send(8, 3, 2);
  NextAndRun();
  clock_.Advance(1'000'000);
  NextAndRun();
  clock_.Advance(50'000'000);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(instance_->DeliverNext());
  const int64_t expected = 2 * FakeProgress::kOperationNs;  // To lay out, and to copy x to y.
  EXPECT_NEAR(static_cast<double>(DecodedAnswer(sink_.Of(first).bytes).receipt.run_ns), expected, 1);
  EXPECT_NEAR(static_cast<double>(DecodedAnswer(sink_.Of(second).bytes).receipt.run_ns), expected, 1)
      << "the wait for the first is not the second's";
}

TEST_F(GpuInstanceTest, ANewShapeForWhichThereIsRoomWaitsForNothing) {
  Make(3);
  const Call* wide = Send(8, 16, 1);
  NextAndRun();
  const int allocations = Allocations();
  const Call* narrow = Send(8, 4, 2);
  NextAndRun();
  EXPECT_GT(Allocations(), allocations) << "the slot's own memory";
  EXPECT_THAT(instance_->forgotten(), IsEmpty());
  EXPECT_EQ(sink_.total(), 0);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_THAT(AnswerTo(wide), AllOf(SizeIs(128), Each(1)));
  EXPECT_THAT(AnswerTo(narrow), AllOf(SizeIs(32), Each(2)));
}

TEST_F(GpuInstanceTest, KeysOfMemoryThatMovedAreForgotten) {
  Make(2);
  Send(8, 4, 1);
  ASSERT_TRUE(instance_->Next());
  const uint64_t key = instance_->plan().key;
  Run();
  ASSERT_TRUE(instance_->DeliverNext());
  const Call* wide = Send(8, 16, 2);
  ASSERT_TRUE(instance_->Next());
  EXPECT_THAT(instance_->forgotten(), ElementsAre(key));
  Run();
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_THAT(AnswerTo(wide), AllOf(SizeIs(128), Each(2)));
}

TEST_F(GpuInstanceTest, OutputsOfUnknownShapeAreTheRunners) {
  ModelSpec spec = CopySpec();
  spec.outputs.push_back(MakeOutput("z", DataType::kFp32, {-1, -1}));
  Make(2, std::move(spec));
  const Call* call = Send(2, 3, 5);
  ASSERT_TRUE(instance_->Next());
  const RunPlan& plan = instance_->plan();
  ASSERT_EQ(plan.outputs[1].data, nullptr);
  ASSERT_TRUE(
      instance_->compute().Copy(plan.outputs[0].data, plan.inputs[0].data, plan.inputs[0].bytes).ok());
  auto z = std::make_shared<const std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  const std::weak_ptr<const std::vector<float>> kept = z;
  RunOutput of_runner{{2, 2}, reinterpret_cast<const std::byte*>(z->data()), {}};
  instance_->Launched({RunOutput{}, of_runner}, std::move(z));
  EXPECT_FALSE(kept.expired());
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_TRUE(kept.expired());
  const DecodedAnswer answer(sink_.Of(call).bytes);
  ASSERT_EQ(answer.outputs.size(), 2u);
  EXPECT_THAT(answer.outputs[0].Floats(), Each(5));
  EXPECT_THAT(answer.outputs[1].Floats(), ElementsAre(1, 2, 3, 4));
}

TEST_F(GpuInstanceTest, AllOutputsMayBeTheRunners) {
  ModelSpec spec = CopySpec();
  spec.outputs = {MakeOutput("z", DataType::kFp32, {-1, -1})};
  Make(2, std::move(spec));
  const Call* call = Send(2, 3, 5);
  ASSERT_TRUE(instance_->Next());
  auto z = std::make_shared<const std::vector<float>>(std::vector<float>{1, 2});
  RunOutput of_runner{{2, 1}, reinterpret_cast<const std::byte*>(z->data()), {}};
  instance_->Launched({of_runner}, std::move(z));
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_THAT(AnswerTo(call), ElementsAre(1, 2));
}

TEST_F(GpuInstanceTest, WhoeverIsGoneIsCompletedOnce) {
  Make(2);
  const Call* gone = Send(8, 3, 1);
  const Call* stays = Send(8, 3, 2);
  NextAndRun();
  NextAndRun();
  std::vector<Interrupt> interrupts;
  EXPECT_FALSE(version_->queue.Cancel(gone->entry.get(), &interrupts));
  ASSERT_EQ(interrupts.size(), 1u);
  EXPECT_EQ(interrupts[0].instance, instance_->id());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_EQ(sink_.Of(gone).completions, 1);
  EXPECT_THAT(AnswerTo(stays), Each(2));
  Close();
}

}  // namespace
}  // namespace maas
