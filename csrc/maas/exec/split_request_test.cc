// How slices that come back in any order make one answer; through instances: instance_split_test.cc.
#include "maas/exec/split_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "maas/exec/exec_testing.h"

namespace maas {
namespace {

// x of 20 rows, y of one column; the model's largest batch is 8.
class SplitRequestTest : public testing::Test {
 protected:
  SplitRequestTest() {
    version_ = MakeVersion(
        MakeSpec({MakeInput("x", DataType::kFp32, {-1, 1})}, {MakeOutput("y", DataType::kFp32, {-1, -1})}),
        &clock_);
    const std::vector<float> values(20);
    call_ =
        Send(version_, &sink_,
             RequestFor(TensorMessage("x", 12, {20, 1}, {reinterpret_cast<const char*>(values.data()), 80})));
  }
  // Takes the next slice as a batch of its own.
  Slice Take() {
    std::vector<Slice> batch;
    std::vector<std::shared_ptr<QueueItem>> dead;
    RunTicket ticket;
    version_->queue.Step(clock_.Now(), &batch, &dead, &ticket);
    EXPECT_EQ(batch.size(), 1u);
    version_->queue.EndRun(ticket, 1000, -1);
    return batch.at(0);
  }
  // The rows of the slice, each as its number in the request, behind `row` rows of others.
  static Status File(const Slice& slice, int64_t row = 0, const Receipt& receipt = {}) {
    std::vector<float> y(static_cast<size_t>(row), -1);
    for (int64_t i = 0; i < slice.rows; ++i) y.push_back(static_cast<float>(slice.begin + i));
    const RunOutput output{{row + slice.rows, 1}, reinterpret_cast<const std::byte*>(y.data()), {}};
    return FileSlice(slice, {&output, 1}, row, receipt);
  }
  CollectingSink::Done Done() { return sink_.Of(call_.get()); }
  void ExpectWholeAnswer() {
    ASSERT_EQ(Done().completions, 1);
    ASSERT_TRUE(Done().status.ok()) << Done().status.message();
    const std::vector<float> y = DecodedAnswer(Done().bytes).outputs.at(0).Floats();
    ASSERT_EQ(y.size(), 20u);
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], static_cast<float>(i));
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  std::unique_ptr<Call> call_;
};

TEST_F(SplitRequestTest, TheLastSliceBackAnswers) {
  const Slice slices[] = {Take(), Take(), Take()};
  for (size_t i : {size_t{2}, size_t{0}, size_t{1}}) {
    EXPECT_EQ(Done().completions, 0);
    ASSERT_TRUE(File(slices[i], static_cast<int64_t>(i)).ok());
    EXPECT_EQ(Done().completions, 0) << "filed is not back";
    ReturnSlice(slices[i]);
  }
  ExpectWholeAnswer();
  EXPECT_EQ(version_->counters.succeeded.load(), 1u);
}

TEST_F(SplitRequestTest, TheReceiptIsThatOfAllItsRuns) {
  const Receipt receipts[] = {{10, 100, 8, 1, 7, 500}, {20, 200, 5, 1, 7, 600}, {30, 300, 4, 1, 7, 700}};
  for (const Receipt& receipt : receipts) {
    const Slice slice = Take();
    ASSERT_TRUE(File(slice, 0, receipt).ok());
    ReturnSlice(slice);
  }
  ASSERT_TRUE(Done().status.ok());
  const Receipt got = DecodedAnswer(Done().bytes).receipt;
  EXPECT_EQ(got.queue_ns, 10) << "until the first run";
  EXPECT_EQ(got.run_ns, 600);
  EXPECT_EQ(got.batch_size, 8);
  EXPECT_EQ(got.batches, 3);
  EXPECT_EQ(version_->counters.queue_ns.load(), 10u);
}

TEST_F(SplitRequestTest, FailsWithTheFirstFailureOnceNoSliceIsOut) {
  const Slice first = Take();
  const Slice second = Take();
  FailSlice(second, Status(Code::kInternal, "RUN_FAILED", "first to fail"));
  EXPECT_EQ(Done().completions, 0) << "the other still reads the request's bytes";
  EXPECT_EQ(version_->queue.waiting_rows(), 0) << "the third does not run";
  const Status filed = File(first);
  EXPECT_EQ(filed.reason(), "RUN_FAILED") << "nothing is copied for a request that failed";
  FailSlice(first, filed);
  EXPECT_EQ(Done().completions, 1);
  EXPECT_EQ(Done().status.message(), "first to fail");
  EXPECT_EQ(version_->counters.failed.load(), 1u);
}

TEST_F(SplitRequestTest, SaysWhenTheSinkHasNoMemory) {
  sink_.RunOutOfMemory();
  for (int i = 0; i < 3; ++i) {
    const Slice slice = Take();
    ASSERT_TRUE(File(slice).ok());
    ReturnSlice(slice);
  }
  EXPECT_EQ(Done().status.reason(), "OUT_OF_MEMORY");
  EXPECT_EQ(version_->counters.failed.load(), 1u);
}

TEST_F(SplitRequestTest, SlicesMayComeBackAtATime) {
  const Slice slices[] = {Take(), Take(), Take()};
  std::vector<std::thread> threads;
  for (const Slice& slice : slices) {
    threads.emplace_back([&slice] {
      EXPECT_TRUE(File(slice).ok());
      ReturnSlice(slice);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectWholeAnswer();
}

}  // namespace
}  // namespace maas
