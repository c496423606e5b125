// One batch at a time is what the tests of Instance see; here are its steps alone, on several threads, and
// several batches of one lane under way.
#include "maas/exec/running_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "maas/batching/device.h"
#include "maas/exec/batch_pack.h"
#include "maas/exec/exec_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;

constexpr uint64_t kInstance = 7;

MessageBuilder Ask(const std::vector<float>& values) {
  return RequestFor(TensorMessage("x", 12, {static_cast<int64_t>(values.size()), 1},
                                  {reinterpret_cast<const char*>(values.data()), values.size() * 4}));
}

ModelSpec ColumnSpec() {
  return MakeSpec({MakeInput("x", DataType::kFp32, {-1, 1})}, {MakeOutput("y", DataType::kFp32, {-1, 1})});
}

// A batch and the memory of its run, y = 2x.
struct Lane {
  explicit Lane(const std::shared_ptr<Version>& v) : version(v), batch(v, kInstance) {}

  bool Begin() {
    if (!batch.Take()) return false;
    y.resize(static_cast<size_t>(batch.rows()));
    PackInput(version->spec, 0, batch.slices(), {batch.rows(), 1}, reinterpret_cast<std::byte*>(y.data()));
    batch.Begin();
    return true;
  }
  void Finish() {
    for (float& value : y) value *= 2;
    batch.Finish({RunOutput{{batch.rows(), 1}, reinterpret_cast<const std::byte*>(y.data()), {}}});
  }
  void End() {
    Finish();
    batch.Deliver();
  }

  const std::shared_ptr<Version> version;
  RunningBatch batch;
  std::vector<float> y;
};

class RunningBatchTest : public testing::Test {
 protected:
  void Make(ModelSpec spec) { version_ = MakeVersion(std::move(spec), &clock_); }
  const Call* Send(const std::vector<float>& values) { return Send(Ask(values)); }
  const Call* Send(const MessageBuilder& request) {
    calls_.push_back(maas::Send(version_, &sink_, request));
    clock_.Advance(1);
    return calls_.back().get();
  }
  std::vector<float> AnswerTo(const Call* call) {
    const auto done = sink_.Of(call);
    EXPECT_EQ(done.completions, 1);
    EXPECT_TRUE(done.status.ok()) << done.status.message();
    return done.status.ok() ? DecodedAnswer(done.bytes).outputs.at(0).Floats() : std::vector<float>();
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_ = MakeVersion(ColumnSpec(), &clock_);
  std::vector<std::unique_ptr<Call>> calls_;
};

TEST_F(RunningBatchTest, TellsWhatItTookUntilItIsDelivered) {
  Lane lane(version_);
  EXPECT_TRUE(lane.batch.empty());
  const Call* one = Send({1});
  const Call* two = Send({2, 3});
  ASSERT_TRUE(lane.batch.Take());
  EXPECT_FALSE(lane.batch.empty());
  EXPECT_EQ(lane.batch.rows(), 3);
  ASSERT_EQ(lane.batch.slices().size(), 2u);
  EXPECT_EQ(lane.batch.slices()[0].item, one->entry);
  EXPECT_EQ(lane.batch.slices()[1].item, two->entry);
  EXPECT_EQ(lane.batch.any().inputs[0].dims, (Dims{1, 1}));
  EXPECT_NE(lane.batch.run_number(), 0u);
  lane.batch.Begin();
  lane.y = {1, 2, 3};
  lane.End();
  EXPECT_TRUE(lane.batch.empty());
  EXPECT_THAT(AnswerTo(one), ElementsAre(2));
  EXPECT_THAT(AnswerTo(two), ElementsAre(4, 6));
  version_->queue.Close();
  EXPECT_FALSE(lane.batch.Take());
}

TEST_F(RunningBatchTest, ReadsTheStringsOfAllSlices) {
  Make(MakeSpec({MakeInput("s", DataType::kBytes, {-1})}, {MakeOutput("t", DataType::kBytes, {-1})}));
  RunningBatch batch(version_, kInstance);
  for (const std::string& data : {Strings({"a"}), Strings({"", "bc"})}) {
    Send(RequestFor(TensorMessage("s", 14, {data.size() < 6 ? 1 : 2}, data)));
  }
  ASSERT_TRUE(batch.Take());
  batch.ReadStrings(0, {3});
  EXPECT_THAT(batch.strings(0), ElementsAre("a", "", "bc"));
  batch.Begin();
  batch.Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
  batch.Deliver();
}

TEST_F(RunningBatchTest, MayFailBeforeItsRunBegins) {
  Lane lane(version_);
  const Call* bad = Send({1});
  ASSERT_TRUE(lane.batch.Take());
  lane.batch.Fail(Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "none"));
  lane.batch.Deliver();
  EXPECT_EQ(sink_.Of(bad).completions, 1);
  EXPECT_EQ(sink_.Of(bad).status.reason(), "OUT_OF_MEMORY");
  EXPECT_EQ(version_->counters.batches.load(), 0u);
  const Call* good = Send({2});
  ASSERT_TRUE(lane.Begin());
  lane.End();
  EXPECT_THAT(AnswerTo(good), ElementsAre(4));
}

TEST_F(RunningBatchTest, EachBatchHasTheSinksOfItsOwnRequests) {
  Lane lane(version_);
  CollectingSink other;
  for (int round = 0; round < 2; ++round) {
    const Call* call = Send({1});
    ASSERT_TRUE(lane.Begin());
    lane.End();
    EXPECT_THAT(AnswerTo(call), ElementsAre(2));
    const auto others = maas::Send(version_, &other, Ask({3}), 5);
    ASSERT_TRUE(lane.Begin());
    lane.End();
    EXPECT_EQ(other.Of(others.get()).completions, 1);
    EXPECT_TRUE(other.Of(others.get()).carries);
  }
  EXPECT_EQ(sink_.unreturned() + other.unreturned(), 0u);
}

TEST_F(RunningBatchTest, SeveralUnderWayKeepApart) {
  Lane first(version_);
  Lane second(version_);
  const Call* one = Send(std::vector<float>(8, 1));
  const Call* two = Send(std::vector<float>(8, 2));
  ASSERT_TRUE(first.Begin());
  clock_.Advance(100);
  ASSERT_TRUE(second.Begin());
  EXPECT_NE(first.batch.run_number(), second.batch.run_number());
  clock_.Advance(100);
  first.Finish();
  clock_.Advance(100);
  second.Finish();
  first.batch.Deliver();
  second.batch.Deliver();
  EXPECT_THAT(AnswerTo(one), testing::Each(2));
  EXPECT_THAT(AnswerTo(two), testing::Each(4));
  EXPECT_EQ(DecodedAnswer(sink_.Of(one).bytes).receipt.run_ns, 200);
  EXPECT_EQ(DecodedAnswer(sink_.Of(two).bytes).receipt.run_ns, 200);
  EXPECT_EQ(version_->counters.batches.load(), 2u);
}

TEST_F(RunningBatchTest, TheWaitForTheDeviceIsNotTheRuns) {
  Lane lane(version_);
  const Call* call = Send({1});
  clock_.Advance(5);
  ASSERT_TRUE(lane.Begin());
  clock_.Advance(1000);
  lane.batch.Finish({RunOutput{{1, 1}, reinterpret_cast<const std::byte*>(lane.y.data()), {}}}, 300);
  clock_.Advance(20);
  lane.batch.Deliver();
  const Receipt receipt = DecodedAnswer(sink_.Of(call).bytes).receipt;
  EXPECT_EQ(receipt.queue_ns, 6);
  EXPECT_EQ(receipt.run_ns, 300);
  EXPECT_EQ(version_->counters.run_ns.load(), 300u);
  const BatchTimes times = version_->statistics.Read().batches;
  EXPECT_EQ(times.pack_ns, 700u);
  EXPECT_EQ(times.run_ns, 300u);
  EXPECT_EQ(times.answer_ns, 20u);
}

TEST_F(RunningBatchTest, ARunMayTakeLongerByTheClockOfTheDevice) {
  Lane lane(version_);
  const Call* call = Send({1});
  ASSERT_TRUE(lane.Begin());
  clock_.Advance(100);
  lane.batch.Finish({RunOutput{{1, 1}, reinterpret_cast<const std::byte*>(lane.y.data()), {}}}, 101);
  lane.batch.Deliver();
  EXPECT_EQ(DecodedAnswer(sink_.Of(call).bytes).receipt.run_ns, 101);
  EXPECT_EQ(version_->statistics.Read().batches.pack_ns, 0u);
}

TEST_F(RunningBatchTest, OneOfSeveralIsInterruptedByItsNumber) {
  Lane first(version_);
  Lane second(version_);
  const Call* one = Send(std::vector<float>(8, 1));
  const Call* two = Send(std::vector<float>(8, 2));
  ASSERT_TRUE(first.Begin());
  ASSERT_TRUE(second.Begin());
  std::vector<Interrupt> interrupts;
  EXPECT_FALSE(version_->queue.Cancel(two->entry.get(), &interrupts));
  ASSERT_EQ(interrupts.size(), 1u);
  EXPECT_EQ(interrupts[0].instance, kInstance);
  EXPECT_EQ(interrupts[0].number, second.batch.run_number());
  second.batch.Fail(Status(Code::kInternal, "INTERRUPTED", "ended"));
  second.batch.Deliver();
  first.End();
  EXPECT_THAT(AnswerTo(one), testing::Each(2));
  EXPECT_EQ(sink_.Of(two).status.code(), Code::kCancelled);
  EXPECT_EQ(version_->counters.interrupted.load(), 1u);
}

TEST_F(RunningBatchTest, TheFailureOfOneOfSeveralRunsOnlyItsOwnAgain) {
  Lane first(version_);
  Lane second(version_);
  std::vector<const Call*> calls;
  for (float value : {1.0F, 2.0F, 3.0F, 4.0F}) calls.push_back(Send(std::vector<float>(4, value)));
  ASSERT_TRUE(first.Begin());
  ASSERT_TRUE(second.Begin());
  first.batch.Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
  first.batch.Deliver();
  second.End();
  EXPECT_EQ(sink_.total(), 2);
  for (int run = 0; run < 2; ++run) {
    ASSERT_TRUE(first.Begin());
    EXPECT_EQ(first.batch.rows(), 4);
    first.End();
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_THAT(AnswerTo(calls[i]), testing::Each(2 * static_cast<float>(i + 1)));
  }
}

// Three batches under way at most: one thread takes and begins them, another ends them in that order.
class Pipeline {
 public:
  explicit Pipeline(const std::shared_ptr<Version>& version)
      : lanes_{Lane(version), Lane(version), Lane(version)} {}

  // Until the queue is closed and empty.
  void TakeAll() {
    for (size_t i = 0;; i = (i + 1) % lanes_.size()) {
      {
        MutexLock lock(&mu_);
        while (under_way_ == lanes_.size()) changed_.Wait(&mu_);
      }
      const bool more = lanes_[i].Begin();
      MutexLock lock(&mu_);
      more ? ++under_way_ : ended_ = true;
      changed_.SignalAll();
      if (!more) return;
    }
  }
  void EndAll() {
    for (size_t i = 0;; i = (i + 1) % lanes_.size()) {
      {
        MutexLock lock(&mu_);
        while (under_way_ == 0 && !ended_) changed_.Wait(&mu_);
        if (under_way_ == 0) return;
      }
      lanes_[i].End();
      MutexLock lock(&mu_);
      --under_way_;
      changed_.SignalAll();
    }
  }

 private:
  std::array<Lane, 3> lanes_;
  Mutex mu_;
  CondVar changed_;
  size_t under_way_ MAAS_GUARDED_BY(mu_) = 0;
  bool ended_ MAAS_GUARDED_BY(mu_) = false;
};

TEST_F(RunningBatchTest, OneThreadMayBeginRunsThatAnotherEnds) {
  Pipeline pipeline(version_);
  std::thread takes([&pipeline] { pipeline.TakeAll(); });
  std::thread ends([&pipeline] { pipeline.EndAll(); });
  std::vector<const Call*> calls;
  // Every tenth is split.
  for (size_t i = 0; i < 300; ++i) {
    calls.push_back(Send(std::vector<float>(i % 10 == 0 ? 20 : 1 + i % 3, static_cast<float>(i))));
  }
  version_->queue.Close();
  takes.join();
  ends.join();
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::vector<float> answer = AnswerTo(calls[i]);
    ASSERT_EQ(answer.size(), i % 10 == 0 ? 20 : 1 + i % 3);
    EXPECT_THAT(answer, testing::Each(2 * static_cast<float>(i)));
  }
  EXPECT_EQ(sink_.unreturned(), 0u);
  EXPECT_EQ(version_->counters.succeeded.load(), 300u);
}

// Runs that compute next to nothing of their time leave room for others on their device, once it knows.
class RunningBatchCpuTest : public RunningBatchTest {
 protected:
  RunningBatchCpuTest() {
    BatchQueue::Options options;
    options.batch = {8, 0};
    options.process_cpu_ns = [] { return int64_t{0}; };
    options.device = std::make_shared<Device>(1);
    version_ = std::make_shared<Version>(ColumnSpec(), std::move(options), &clock_);
  }
  // Many runs of 10 s that only wait, then whether two may run at a time.
  template <typename Begin>
  bool TwoRunAfter(Begin begin) {
    Lane lane(version_);
    for (int run = 0; run < 30; ++run) {
      Send({1});
      begin(&lane);
      clock_.Advance(10'000'000'000);
      lane.End();
    }
    for (int i = 0; i < 2; ++i) Send(std::vector<float>(8, 1));
    std::array<std::vector<Slice>, 2> batches;
    std::vector<std::shared_ptr<QueueItem>> dead;
    RunTicket ticket;
    for (auto& batch : batches) version_->queue.Step(clock_.Now(), &batch, &dead, &ticket);
    EXPECT_FALSE(batches[0].empty());
    return !batches[1].empty();
  }
};

TEST_F(RunningBatchCpuTest, IsMeasuredOnTheThreadOfTheRun) {
  EXPECT_TRUE(TwoRunAfter([](Lane* lane) { ASSERT_TRUE(lane->Begin()); }));
}

TEST_F(RunningBatchCpuTest, IsNotKnownWhenAnotherThreadEndsTheRun) {
  EXPECT_FALSE(TwoRunAfter([](Lane* lane) { std::thread([lane] { ASSERT_TRUE(lane->Begin()); }).join(); }))
      << "the CPU times of two threads were subtracted";
}

}  // namespace
}  // namespace maas
