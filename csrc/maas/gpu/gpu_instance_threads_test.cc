// Both threads at a time: what each waits for, and that every request is completed once, whatever fails
// meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <random>
#include <thread>

#include "maas/gpu/gpu_instance.h"
#include "maas/gpu/gpu_instance_testing.h"

namespace maas {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Each;
using testing::SizeIs;

template <typename Condition>
void WaitUntil(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

// A thread that does not wait for what it should gets far in that time.
void LetOthersRun() {
  for (int i = 0; i < 5000; ++i) std::this_thread::yield();
}

class GpuInstanceThreadsTest : public GpuInstanceFixture, public testing::WithParamInterface<size_t> {
 protected:
  static constexpr int kRequests = 600;

  int Any(int most) { return std::uniform_int_distribution(1, most)(random_); }
  // Of a few shapes, some larger than a batch.
  const Call* SendAny() {
    const std::array<int64_t, 3> columns = {3, 16, 40};
    const auto i = static_cast<int64_t>(calls_.size());
    const int64_t rows = i % 10 == 0 ? 20 : Any(4);
    return Send(rows, columns[static_cast<size_t>(i / 50 % 3)], static_cast<float>(i));
  }
  void ExpectAnswer(size_t i) {
    EXPECT_THAT(AnswerTo(calls_[i].get()),
                AllOf(testing::Not(testing::IsEmpty()), Each(static_cast<float>(i))));
  }
  // As whoever submitted it does.
  void Cancel(const std::shared_ptr<Entry>& entry) {
    std::vector<Interrupt> interrupts;
    if (!version_->queue.Cancel(entry.get(), &interrupts)) return;
    std::vector<std::shared_ptr<QueueItem>> one = {entry};
    CompleteUnrun(&one, Status(Code::kCancelled, "CANCELLED", "the caller went away"), Outcome::kCancelled);
  }

  std::mt19937 random_{20240607};
};
INSTANTIATE_TEST_SUITE_P(Slots, GpuInstanceThreadsTest, testing::Values(1, 2, 3));

TEST_P(GpuInstanceThreadsTest, EveryRequestGetsItsOwnAnswer) {
  Make(GetParam());
  Start();
  for (int i = 0; i < kRequests; ++i) SendAny();
  Join();
  for (size_t i = 0; i < calls_.size(); ++i) ExpectAnswer(i);
  EXPECT_EQ(sink_.total(), kRequests);
  EXPECT_EQ(sink_.unreturned(), 0u);
  EXPECT_EQ(version_->counters.succeeded.load(), static_cast<uint64_t>(kRequests));
}

TEST_P(GpuInstanceThreadsTest, EveryRequestIsCompletedOnceWhateverFails) {
  const std::array<FakeCall, 9> failing = {
      FakeCall::kAllocate, FakeCall::kAllocatePinned, FakeCall::kUpload,
      FakeCall::kRecord,   FakeCall::kMove,           FakeCall::kCopy,
      FakeCall::kDownload, FakeCall::kSynchronize,    FakeCall::kElapsed};
  Make(GetParam());
  Start();
  for (int i = 0; i < kRequests; ++i) {
    SendAny();
    if (Any(5) == 1) {
      fake_.FailCall(failing[static_cast<size_t>(Any(9) - 1)], Any(4),
                     Any(2) == 1 ? MAAS_DEVICE_FAILED : MAAS_DEVICE_NO_MEMORY);
    }
    if (Any(5) == 1) Cancel(calls_[calls_.size() - static_cast<size_t>(Any(std::min(20, i + 1)))]->entry);
  }
  Join();
  size_t answered = 0;
  for (size_t i = 0; i < calls_.size(); ++i) {
    const std::string failure = FailureOf(calls_[i].get());
    EXPECT_THAT(failure, AnyOf("", "DEVICE_FAILED", "DEVICE_OUT_OF_MEMORY", "OUT_OF_MEMORY", "RUN_FAILED",
                               "CANCELLED"));
    if (!failure.empty()) continue;
    ExpectAnswer(i);
    ++answered;
  }
  EXPECT_GT(answered, 0u);
  EXPECT_EQ(sink_.total(), kRequests);
  EXPECT_EQ(sink_.unreturned(), 0u);
  EXPECT_FALSE(instance_->lost());
}

TEST_P(GpuInstanceThreadsTest, ADeviceThatIsLostFailsAllFromThenOn) {
  Make(GetParam());
  Start();
  const auto half = static_cast<size_t>(kRequests / 2);
  while (calls_.size() < half) SendAny();
  WaitUntil([this] { return sink_.total() > 0; });
  fake_.Lose(0, "it fell off the bus");
  while (calls_.size() < kRequests) SendAny();
  Join();
  for (size_t i = 0; i < calls_.size(); ++i) {
    const std::string failure = FailureOf(calls_[i].get());
    if (failure.empty()) {
      EXPECT_LT(i, half);
      ExpectAnswer(i);
    } else {
      EXPECT_EQ(failure, "DEVICE_LOST");
    }
  }
  EXPECT_EQ(sink_.total(), kRequests);
  EXPECT_EQ(sink_.unreturned(), 0u);
  EXPECT_TRUE(instance_->lost());
}

TEST_P(GpuInstanceThreadsTest, AsManyBatchesGoUpAsThereAreSlotsBeforeTheFirstRunIsOver) {
  Make(GetParam());
  fake_.Pause();
  const auto slots = static_cast<int>(GetParam());
  for (int i = 0; i < slots + 2; ++i) Send(8, 3, static_cast<float>(i));
  Start();
  WaitUntil([&] { return fake_.Calls(FakeCall::kUpload) == slots && fake_.Waiting() == 1; });
  EXPECT_EQ(sink_.total(), 0);
  EXPECT_EQ(fake_.Calls(FakeCall::kSynchronize), 1) << "one sleeps, for the oldest";
  EXPECT_EQ(fake_.Calls(FakeCall::kQuery), 0);
  fake_.Resume();
  Join();
  for (size_t i = 0; i < calls_.size(); ++i) ExpectAnswer(i);
}

TEST_F(GpuInstanceFixture, MemoryThatMustMoveWaitsForWhatIsUnderWay) {
  Make(3);
  const Call* narrow = Send(8, 3, 1);
  NextAndRun();
  const Call* wide = Send(8, 50, 2);
  std::thread runs([this, narrow] {
    ASSERT_TRUE(instance_->Next());
    EXPECT_TRUE(IsDone(narrow));
    EXPECT_THAT(instance_->forgotten(), SizeIs(1));
    Run();
  });
  LetOthersRun();
  EXPECT_EQ(fake_.Calls(FakeCall::kRelease), 0);
  ASSERT_TRUE(instance_->DeliverNext());
  runs.join();
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_THAT(AnswerTo(narrow), Each(1));
  EXPECT_THAT(AnswerTo(wide), AllOf(SizeIs(400), Each(2)));
  Close();
}

TEST_F(GpuInstanceFixture, WhatComesBackToAClosedQueueIsRunAgain) {
  Make(2);
  const Call* one = Send(1, 3, 1);
  const Call* two = Send(1, 3, 2);
  ASSERT_TRUE(instance_->Next());
  EXPECT_EQ(instance_->plan().rows, 2);
  instance_->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
  version_->queue.Close();
  std::thread runs([this] {
    while (instance_->Next()) Run();
  });
  // It finds the queue empty meanwhile, and that is not the end.
  LetOthersRun();
  ASSERT_TRUE(instance_->DeliverNext());
  EXPECT_EQ(sink_.total(), 0);
  while (instance_->DeliverNext()) {
  }
  runs.join();
  EXPECT_THAT(AnswerTo(one), Each(1));
  EXPECT_THAT(AnswerTo(two), Each(2));
}

}  // namespace
}  // namespace maas
