// Requests larger than the largest batch: their slices run on any instance, in any order, and may die
// half-way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"

namespace maas {
namespace {

using testing::HasSubstr;

// Two instances of a model y = 2x whose largest batch has 8 rows, driven by hand.
class InstanceSplitTest : public testing::Test {
 protected:
  InstanceSplitTest() {
    OutputSpec y = MakeOutput("y", DataType::kFp32, {-1, -1});
    y.sources = {{0, 0}, {0, 1}};
    version_ = MakeVersion(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})}, {y}), &clock_);
    a_ = std::make_unique<Instance>(version_);
    b_ = std::make_unique<Instance>(version_);
  }

  const Call* Ask(int64_t rows, uint64_t group = 0) {
    std::vector<float> values(static_cast<size_t>(rows));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    calls_.push_back(Send(
        version_, &sink_,
        RequestFor(
            TensorMessage("x", 12, {rows, 1}, {reinterpret_cast<char*>(values.data()), values.size() * 4}),
            "id"),
        group));
    clock_.Advance(1);
    return calls_.back().get();
  }
  void Double(Instance* instance) {
    const RunPlan& plan = instance->plan();
    const auto* x = reinterpret_cast<const float*>(plan.inputs[0].data);
    std::transform(x, x + plan.rows, reinterpret_cast<float*>(plan.outputs[0].data),
                   [](float v) { return 2 * v; });
    clock_.Advance(1000);
    instance->Finish({RunOutput{}});
    instance->Deliver();
  }
  void Fail(Instance* instance) {
    instance->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
    instance->Deliver();
  }
  void ExpectDoubled(std::string_view response, size_t rows) {
    const DecodedAnswer answer(response);
    const std::vector<float> y = answer.outputs.at(0).Floats();
    ASSERT_EQ(y.size(), rows);
    for (size_t i = 0; i < rows; ++i) EXPECT_EQ(y[i], 2 * static_cast<float>(i));
  }
  CollectingSink::Done Done(const Call* call) { return sink_.Of(call); }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  std::unique_ptr<Instance> a_;
  std::unique_ptr<Instance> b_;
  std::vector<std::unique_ptr<Call>> calls_;
};

TEST_F(InstanceSplitTest, SlicesOnTwoInstancesAreRejoined) {
  const Call* call = Ask(20);
  ASSERT_TRUE(a_->Next());
  ASSERT_TRUE(b_->Next());
  EXPECT_EQ(a_->plan().rows, 8);
  EXPECT_EQ(b_->plan().rows, 8);
  Double(b_.get());
  ASSERT_TRUE(b_->Next());
  EXPECT_EQ(b_->plan().rows, 4);
  Double(b_.get());
  EXPECT_EQ(Done(call).completions, 0);
  Double(a_.get());
  const auto done = Done(call);
  ASSERT_EQ(done.completions, 1);
  ASSERT_TRUE(done.status.ok());
  ExpectDoubled(done.bytes, 20);
  const Receipt receipt = DecodedAnswer(done.bytes).receipt;
  EXPECT_EQ(receipt.batches, 3);
  EXPECT_EQ(receipt.batch_size, 8);
  EXPECT_GE(receipt.run_ns, 3000);
  EXPECT_EQ(receipt.queue_ns, 1) << "until the first slice was taken";
  EXPECT_EQ(version_->counters.succeeded.load(), 1u);
  EXPECT_EQ(version_->counters.batches.load(), 3u);
  EXPECT_EQ(version_->counters.rows.load(), 20u);
  EXPECT_GE(version_->counters.succeeded_ns.load(), 3001u);
  const RunStatistics::Snapshot statistics = version_->statistics.Read();
  EXPECT_EQ(statistics.latency.back(), 1u) << "one answer";
  ASSERT_EQ(statistics.sizes.size(), 2u);
  EXPECT_EQ(statistics.sizes[0].rows, 4);
  EXPECT_EQ(statistics.sizes[1].batches, 2u);
}

TEST_F(InstanceSplitTest, OfAStreamAnswersWithAnEntryOfItsOwn) {
  const Call* call = Ask(9, 4);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(a_->Next());
    Double(a_.get());
  }
  const auto done = Done(call);
  Fields message(done.bytes);
  ASSERT_EQ(message.texts[1].size(), 1u);
  Fields entry(message.texts[1][0]);
  const std::string response = entry.Text(2);
  ExpectDoubled(response, 9);
}

TEST_F(InstanceSplitTest, CancelledBetweenSlicesItIsCompletedByTheLastOneBack) {
  const Call* call = Ask(20);
  ASSERT_TRUE(a_->Next());
  ASSERT_TRUE(b_->Next());
  std::vector<Interrupt> interrupts;
  EXPECT_FALSE(version_->queue.Cancel(call->entry.get(), &interrupts));
  Double(a_.get());
  EXPECT_EQ(Done(call).completions, 0) << "a slice is still out and reads the request's bytes";
  Double(b_.get());
  EXPECT_EQ(Done(call).completions, 1);
  EXPECT_EQ(Done(call).status.code(), Code::kCancelled);
  EXPECT_EQ(version_->counters.cancelled.load(), 1u);
  EXPECT_EQ(version_->queue.waiting_rows(), 0);
}

TEST_F(InstanceSplitTest, ExpiredBetweenSlicesItSaysSo) {
  const Call* call = Ask(20);
  call->entry->deadline_ns = clock_.Now() + 10;
  ASSERT_TRUE(a_->Next());
  clock_.Advance(10);
  const Call* other = Ask(1);
  ASSERT_TRUE(b_->Next());
  Double(b_.get());
  EXPECT_TRUE(Done(other).status.ok());
  Double(a_.get());
  EXPECT_EQ(Done(call).completions, 1);
  EXPECT_EQ(Done(call).status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(version_->counters.expired.load(), 1u);
}

TEST_F(InstanceSplitTest, AbortedBetweenSlicesItSaysSo) {
  const Call* call = Ask(20);
  ASSERT_TRUE(a_->Next());
  std::vector<std::shared_ptr<QueueItem>> left;
  version_->queue.TakeAll(&left);
  EXPECT_TRUE(left.empty());
  Double(a_.get());
  EXPECT_EQ(Done(call).completions, 1);
  EXPECT_EQ(Done(call).status.code(), Code::kUnavailable);
  EXPECT_EQ(version_->counters.failed.load(), 1u);
}

TEST_F(InstanceSplitTest, TheFailureOfOneSliceFailsItOnceAndSparesTheRest) {
  const Call* call = Ask(40);
  const Call* next = Ask(1);
  ASSERT_TRUE(a_->Next());
  ASSERT_TRUE(b_->Next());
  Fail(a_.get());
  EXPECT_EQ(Done(call).completions, 0) << "a slice is still out";
  Double(b_.get());
  EXPECT_EQ(Done(call).completions, 1);
  EXPECT_EQ(Done(call).status.reason(), "RUN_FAILED");
  ASSERT_TRUE(a_->Next());
  EXPECT_EQ(a_->plan().rows, 1) << "what was left of it is not run";
  Double(a_.get());
  EXPECT_TRUE(Done(next).status.ok());
  EXPECT_EQ(version_->counters.failed.load(), 1u);
}

TEST_F(InstanceSplitTest, TwoFailuresAreReportedAsOne) {
  const Call* call = Ask(16);
  ASSERT_TRUE(a_->Next());
  ASSERT_TRUE(b_->Next());
  Fail(b_.get());
  Fail(a_.get());
  EXPECT_EQ(Done(call).completions, 1);
  EXPECT_EQ(sink_.total(), 1);
}

TEST_F(InstanceSplitTest, SlicesThatDoNotFitTogetherFailItWithoutRunningTheRest) {
  OutputSpec y = MakeOutput("y", DataType::kFp32, {-1, -1});
  version_ = MakeVersion(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})}, {y}), &clock_);
  a_ = std::make_unique<Instance>(version_);
  const Call* call = Ask(40);
  const std::vector<float> values(64);
  for (int64_t columns : {1, 2}) {
    ASSERT_TRUE(a_->Next());
    a_->Finish({RunOutput{{8, columns}, reinterpret_cast<const std::byte*>(values.data()), {}}});
    a_->Deliver();
  }
  EXPECT_EQ(Done(call).completions, 1);
  EXPECT_THAT(Done(call).status.message(), HasSubstr("send at most 8 rows at a time"));
  EXPECT_EQ(version_->queue.waiting_rows(), 0);
}

}  // namespace
}  // namespace maas
