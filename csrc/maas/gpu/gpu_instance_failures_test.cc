// What fails on the way of a batch, at every place where it may: each request is completed once, and whatever
// comes after it is as always.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "maas/gpu/gpu_instance.h"
#include "maas/gpu/gpu_instance_testing.h"

namespace maas {
namespace {

using testing::AllOf;
using testing::Each;
using testing::SizeIs;

class GpuInstanceFailuresTest : public GpuInstanceFixture {};

// A function of the table, and which of its calls fails.
class GpuInstanceCallsTest : public GpuInstanceFixture,
                             public testing::WithParamInterface<std::tuple<FakeCall, int>> {
 protected:
  // Batches of two requests, two under way at a time.
  void RunAll(size_t batches) {
    for (size_t i = 0; i < 2 * batches; ++i) Send(4, 3, static_cast<float>(i));
    Start();
    Join();
  }
};
INSTANTIATE_TEST_SUITE_P(
    Calls, GpuInstanceCallsTest,
    testing::Combine(testing::Values(FakeCall::kAllocate, FakeCall::kAllocatePinned, FakeCall::kUpload,
                                     FakeCall::kRecord, FakeCall::kWait, FakeCall::kMove, FakeCall::kCopy,
                                     FakeCall::kDownload, FakeCall::kSynchronize, FakeCall::kElapsed),
                     testing::Values(1, 2, 3, 4, 5)));

TEST_P(GpuInstanceCallsTest, ABatchWhoseCallFailsRunsAgainOneByOne) {
  Make(2);
  const auto [call, nth] = GetParam();
  fake_.FailCall(call, nth, MAAS_DEVICE_FAILED);
  RunAll(6);
  for (size_t i = 0; i < calls_.size(); ++i) {
    EXPECT_THAT(AnswerTo(calls_[i].get()), AllOf(SizeIs(12), Each(static_cast<float>(i))));
  }
  EXPECT_EQ(sink_.total(), 12);
  EXPECT_EQ(sink_.unreturned(), 0u);
}

TEST_P(GpuInstanceCallsTest, ADeviceThatIsLostAtACallFailsTheRest) {
  Make(2);
  const auto [call, nth] = GetParam();
  fake_.FailCall(call, nth, MAAS_DEVICE_LOST);
  RunAll(6);
  const bool called = fake_.Calls(call) >= nth;
  EXPECT_EQ(instance_->lost(), called);
  size_t lost = 0;
  for (size_t i = 0; i < calls_.size(); ++i) {
    const std::string failure = FailureOf(calls_[i].get());
    if (failure.empty()) {
      EXPECT_THAT(AnswerTo(calls_[i].get()), Each(static_cast<float>(i)));
      continue;
    }
    EXPECT_EQ(failure, "DEVICE_LOST");
    EXPECT_EQ(sink_.Of(calls_[i].get()).status.code(), Code::kUnavailable);
    ++lost;
  }
  EXPECT_EQ(lost > 0, called);
  EXPECT_EQ(sink_.total(), 12);
  EXPECT_EQ(sink_.unreturned(), 0u);
  instance_.reset();
  EXPECT_EQ(fake_.InUse(), FakeInUse{}) << "also a lost device gets everything back";
}

TEST_F(GpuInstanceFailuresTest, ARequestAloneFailsWithWhatTheDeviceSays) {
  Make(2);
  const Call* bad = Send(8, 3, 1);
  const Call* good = Send(8, 3, 2);
  fake_.FailCall(FakeCall::kDownload, 1, MAAS_DEVICE_FAILED);
  RunOne();
  RunOne();
  EXPECT_EQ(FailureOf(bad), "DEVICE_FAILED");
  EXPECT_THAT(AnswerTo(good), Each(2));
  EXPECT_FALSE(instance_->lost());
  Close();
}

TEST_F(GpuInstanceFailuresTest, ARunThatFailsDoesSoInItsTurn) {
  Make(3);
  const Call* before = Send(8, 3, 1);
  const Call* bad = Send(8, 3, 2);
  const Call* after = Send(8, 3, 3);
  NextAndRun();
  ASSERT_TRUE(instance_->Next());
  instance_->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
  EXPECT_FALSE(instance_->running());
  NextAndRun();
  EXPECT_EQ(sink_.total(), 0);
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_TRUE(IsDone(before));
  EXPECT_FALSE(IsDone(bad));
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_EQ(FailureOf(bad), "RUN_FAILED");
  EXPECT_FALSE(IsDone(after));
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_THAT(AnswerTo(before), Each(1));
  EXPECT_THAT(AnswerTo(after), Each(3));
  Close();
}

TEST_F(GpuInstanceFailuresTest, TheMemoryOfARunThatFailedIsAtRestBeforeItIsUsedAgain) {
  Make(1);
  for (int round = 0; round < 5; ++round) {
    const Call* bad = Send(8, 3, -1);
    ASSERT_TRUE(instance_->Next());
    instance_->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
    ASSERT_TRUE(instance_->DeliverNext());
    EXPECT_EQ(FailureOf(bad), "RUN_FAILED");
    EXPECT_EQ(fake_.Pending(instance_->compute().native()), 0u);
    const Call* good = Send(8, 3, static_cast<float>(round));
    RunOne();
    EXPECT_THAT(AnswerTo(good), Each(static_cast<float>(round)));
  }
  Close();
}

TEST_F(GpuInstanceFailuresTest, OutputsThatDoNotFitFailTheRun) {
  ModelSpec spec = CopySpec();
  spec.outputs = {MakeOutput("z", DataType::kFp32, {-1, -1})};
  Make(2, std::move(spec));
  const Call* call = Send(2, 3, 5);
  ASSERT_TRUE(instance_->Next());
  const std::vector<float> z(3);
  instance_->Launched({RunOutput{{3, 1}, reinterpret_cast<const std::byte*>(z.data()), {}}});
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_FALSE(FailureOf(call).empty());
  EXPECT_EQ(sink_.Of(call).status.code(), Code::kInternal);
  Close();
}

TEST_F(GpuInstanceFailuresTest, ABatchForWhichThereIsNoMemoryFailsAlone) {
  Make(2);
  const Call* bad = Send(8, 3, 1);
  const Call* good = Send(8, 3, 2);
  // With room for more than the batch needs, and without.
  for (int nth : {1, 2}) fake_.FailCall(FakeCall::kAllocate, nth, MAAS_DEVICE_NO_MEMORY);
  Start();
  Join();
  EXPECT_EQ(FailureOf(bad), "OUT_OF_MEMORY");
  EXPECT_EQ(sink_.Of(bad).status.code(), Code::kResourceExhausted);
  EXPECT_THAT(AnswerTo(good), Each(2));
}

TEST_F(GpuInstanceFailuresTest, WhatIsUnderWayWhenTheDeviceIsLostFailsWithThat) {
  Make(3);
  for (int i = 0; i < 3; ++i) Send(8, 3, 1);
  NextAndRun();
  NextAndRun();
  ASSERT_TRUE(instance_->Next());
  fake_.Lose(0, "it fell off the bus");
  // All that the runner sees is that it cannot run.
  instance_->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(instance_->DeliverNext());
  for (const auto& call : calls_) {
    EXPECT_EQ(FailureOf(call.get()), "DEVICE_LOST");
    EXPECT_THAT(sink_.Of(call.get()).status.message(), testing::HasSubstr("it fell off the bus"));
  }
  EXPECT_TRUE(instance_->lost());
  Close();
}

TEST_F(GpuInstanceFailuresTest, ADeviceThatIsLostWhileItRunsIsFoundOutWhenItIsWaitedFor) {
  Make(2);
  const Call* call = Send(8, 3, 1);
  fake_.LoseWhenRun(FakeCall::kMove, 1);
  NextAndRun();
  EXPECT_FALSE(instance_->lost());
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_EQ(FailureOf(call), "DEVICE_LOST");
  EXPECT_TRUE(instance_->lost());
  Close();
}

TEST_F(GpuInstanceFailuresTest, NothingIsAskedOfALostDevice) {
  Make(2);
  Send(8, 3, 1);
  RunOne();
  fake_.Lose(0, "it fell off the bus");
  MaasDeviceInfo info;
  EXPECT_FALSE(device()->Info(&info).ok());
  const int uploads = fake_.Calls(FakeCall::kUpload);
  const int waits = fake_.Calls(FakeCall::kSynchronize);
  Start();
  for (int64_t i = 0; i < 50; ++i) Send(i % 20 + 1, 3, 3);
  Join();
  for (size_t i = 1; i < calls_.size(); ++i) EXPECT_EQ(FailureOf(calls_[i].get()), "DEVICE_LOST");
  EXPECT_EQ(fake_.Calls(FakeCall::kUpload), uploads);
  EXPECT_EQ(fake_.Calls(FakeCall::kSynchronize), waits);
}

TEST_F(GpuInstanceFailuresTest, WhatCannotBeMadeLeavesNothing) {
  version_ = MakeVersion(CopySpec(), &clock_);
  for (const FakeCall call : {FakeCall::kMakeStream, FakeCall::kMakeEvent}) {
    for (int nth : {1, 3}) {
      fake_.FailCall(call, nth, MAAS_DEVICE_FAILED);
      const Status made = GpuInstance::Make(version_, device(), 2, &instance_);
      ASSERT_FALSE(made.ok());
      EXPECT_EQ(made.reason(), "DEVICE_FAILED");
      EXPECT_EQ(instance_, nullptr);
      EXPECT_EQ(fake_.InUse(), FakeInUse{});
    }
  }
}

}  // namespace
}  // namespace maas
