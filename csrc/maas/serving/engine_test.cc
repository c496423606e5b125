#include "maas/serving/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"

namespace maas {
namespace {

using testing::HasSubstr;

ModelSpec DoublingSpec(int64_t version = 1) {
  OutputSpec y = MakeOutput("y", DataType::kFp32, {-1});
  ModelSpec spec = MakeSpec({MakeInput("x", DataType::kFp32, {-1})}, {y});
  spec.version = version;
  return spec;
}

MessageBuilder Ask(int64_t rows = 1) {
  return RequestFor(
      TensorMessage("x", 12, {rows}, std::string(static_cast<size_t>(rows) * sizeof(float), '\0')), "id");
}

class EngineTest : public testing::Test {
 protected:
  EngineTest() : engine_({.sweep_interval_ns = 0}, &clock_) { Route("m", version_); }

  ~EngineTest() override {
    std::vector<std::shared_ptr<QueueItem>> left;
    for (const auto& version : engine_.routes().Versions()) version->queue.TakeAll(&left);
  }

  void Route(const std::string& model, const std::shared_ptr<Version>& version) {
    auto route = std::make_shared<maas::Route>();
    route->versions = {{version->spec.version, version}};
    route->standard = version;
    engine_.routes().Set(model, route);
  }
  // The entry is null unless the status is ok.
  Status Submit(const MessageBuilder& request, int64_t deadline_ns = kNever) {
    messages_.push_back(std::make_unique<std::string>(request.str()));
    entry_ = nullptr;
    const Status status = engine_.Submit(AsBytes(*messages_.back()), deadline_ns,
                                         {&sink_, messages_.back().get(), 0}, "", &entry_);
    EXPECT_EQ(status.ok(), entry_ != nullptr);
    return status;
  }
  const void* last() const { return messages_.back().get(); }
  void RunOnce(const std::shared_ptr<Version>& version) {
    Instance instance(version);
    ASSERT_TRUE(instance.Next());
    instance.Finish({RunOutput{}});
    instance.Deliver();
  }
  uint64_t Count(std::atomic<uint64_t> VersionCounters::*counter) {
    return (version_->counters.*counter).load();
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_ = MakeVersion(DoublingSpec(), &clock_, 10);
  Engine engine_;
  std::vector<std::unique_ptr<std::string>> messages_;
  std::shared_ptr<Entry> entry_;
  std::vector<Interrupt> interrupts_;
};

TEST_F(EngineTest, AnswersWhatItAccepts) {
  ASSERT_TRUE(Submit(Ask(2)).ok());
  EXPECT_EQ(Count(&VersionCounters::accepted), 1u);
  EXPECT_EQ(sink_.total(), 0);
  RunOnce(version_);
  const auto done = sink_.Of(last());
  EXPECT_EQ(done.completions, 1);
  const DecodedAnswer answer(done.bytes);
  EXPECT_EQ(answer.id, "id");
  EXPECT_THAT(answer.outputs.at(0).shape, testing::ElementsAre(2));
}

TEST_F(EngineTest, RefusesWithCodeReasonAndField) {
  struct Row {
    MessageBuilder request;
    Code code;
    const char* reason;
    const char* field;
    const char* message;
  };
  const Row rows[] = {
      {MessageBuilder().Raw("\xFF"), Code::kInvalidArgument, "INVALID_REQUEST", "", ""},
      {MessageBuilder().Bytes(2, "n"), Code::kNotFound, "MODEL_NOT_FOUND", nullptr, "'n'"},
      {MessageBuilder().Bytes(2, "m").Number(3, 5), Code::kNotFound, "VERSION_NOT_FOUND", nullptr,
       "version 5"},
      {MessageBuilder().Bytes(2, "m").Bytes(4, "l"), Code::kNotFound, "LABEL_NOT_FOUND", nullptr, "'l'"},
      {MessageBuilder().Bytes(2, "m"), Code::kInvalidArgument, "INVALID_REQUEST", "inputs", "'x'"},
      {MessageBuilder().Bytes(2, "m").Number(7, -1), Code::kInvalidArgument, "INVALID_REQUEST", "timeout_us",
       ""},
      {RequestFor(TensorMessage("x", 13, {1}, BytesOf<double>({1}))), Code::kInvalidArgument,
       "INVALID_REQUEST", "inputs[0].datatype", "expected FP32"},
      {RequestFor(TensorMessage("x", 12, {2}, BytesOf<float>({1}))), Code::kInvalidArgument,
       "INVALID_REQUEST", "inputs[0].data", "expected 8 bytes"},
      {Ask(65), Code::kInvalidArgument, "INVALID_REQUEST", "inputs[0].shape[0]", "at most 64 rows"},
  };
  for (const Row& row : rows) {
    const Status status = Submit(row.request);
    ASSERT_FALSE(status.ok()) << row.message;
    EXPECT_EQ(status.code(), row.code) << status.message();
    EXPECT_EQ(status.reason(), row.reason);
    EXPECT_THAT(status.message(), HasSubstr(row.message));
    EXPECT_EQ(status.violations().size(), row.field == nullptr ? 0u : 1u) << status.message();
    if (row.field == nullptr || *row.field == '\0') continue;
    EXPECT_EQ(status.violations().at(0).field, row.field);
  }
  EXPECT_EQ(sink_.total(), 0) << "who is refused is told by the return alone";
  EXPECT_EQ(Count(&VersionCounters::accepted), 0u);
}

TEST_F(EngineTest, RefusesWhatExpiredOnArrival) {
  for (int64_t ago : {0, 1, 1'000'000}) {
    const Status status = Submit(Ask(), clock_.Now() - ago);
    EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
    EXPECT_EQ(status.reason(), "EXPIRED_ON_ARRIVAL");
  }
  EXPECT_TRUE(Submit(Ask(), clock_.Now() + 1).ok());
}

TEST_F(EngineTest, TheEarlierOfDeadlineAndTimeoutHolds) {
  ASSERT_TRUE(Submit(MessageBuilder(Ask()).Number(7, 500)).ok());
  EXPECT_EQ(entry_->deadline_ns, clock_.Now() + 500'000);
  ASSERT_TRUE(Submit(MessageBuilder(Ask()).Number(7, 500), clock_.Now() + 9).ok());
  EXPECT_EQ(entry_->deadline_ns, clock_.Now() + 9);
  ASSERT_TRUE(Submit(Ask()).ok());
  EXPECT_EQ(entry_->deadline_ns, kNever);
}

TEST_F(EngineTest, SweepsWhatExpiredInTheQueue) {
  ASSERT_TRUE(Submit(Ask(), clock_.Now() + 10).ok());
  const void* first = last();
  ASSERT_TRUE(Submit(Ask(), clock_.Now() + 20).ok());
  engine_.Sweep(clock_.Now() + 9);
  EXPECT_EQ(sink_.total(), 0);
  engine_.Sweep(clock_.Now() + 10);
  EXPECT_EQ(sink_.Of(first).status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(sink_.Of(first).status.reason(), "EXPIRED_IN_QUEUE");
  engine_.Sweep(clock_.Now() + 30);
  engine_.Sweep(clock_.Now() + 40);
  EXPECT_EQ(sink_.total(), 2);
  EXPECT_EQ(Count(&VersionCounters::expired), 2u);
}

TEST_F(EngineTest, SweepsByItselfWhenToldTo) {
  Engine engine({.sweep_interval_ns = 1'000'000}, SteadyClock::Get());
  auto route = std::make_shared<maas::Route>();
  route->standard = MakeVersion(DoublingSpec(), SteadyClock::Get());
  route->versions = {{1, route->standard}};
  engine.routes().Set("m", route);
  const std::string message = MessageBuilder(Ask()).Number(7, 1000).str();
  std::shared_ptr<Entry> entry;
  ASSERT_TRUE(engine.Submit(AsBytes(message), kNever, {&sink_, this, 0}, "", &entry).ok());
  const int64_t give_up = SteadyClock::Get()->Now() + 20'000'000'000;
  while (sink_.total() == 0 && SteadyClock::Get()->Now() < give_up) std::this_thread::yield();
  EXPECT_EQ(sink_.Of(this).status.reason(), "EXPIRED_IN_QUEUE");
  std::vector<std::shared_ptr<QueueItem>> left;
  route->standard->queue.TakeAll(&left);
  EXPECT_TRUE(left.empty());
}

TEST_F(EngineTest, CancelsWhatWaitsAndNothingElse) {
  ASSERT_TRUE(Submit(Ask()).ok());
  const auto waiting = entry_;
  engine_.Cancel(waiting, &interrupts_);
  engine_.Cancel(waiting, &interrupts_);
  EXPECT_EQ(sink_.Of(last()).completions, 1);
  EXPECT_EQ(sink_.Of(last()).status.code(), Code::kCancelled);
  EXPECT_EQ(Count(&VersionCounters::cancelled), 1u);
  ASSERT_TRUE(Submit(Ask()).ok());
  Instance instance(version_);
  ASSERT_TRUE(instance.Next());
  engine_.Cancel(entry_, &interrupts_);
  EXPECT_EQ(sink_.Of(last()).completions, 0) << "it runs";
  instance.Finish({RunOutput{}});
  instance.Deliver();
  engine_.Cancel(entry_, &interrupts_);
  EXPECT_EQ(sink_.Of(last()).completions, 1);
  EXPECT_TRUE(sink_.Of(last()).status.ok());
}

TEST_F(EngineTest, SaysWhenToComeBackWhenTheQueueIsFull) {
  version_->queue.SeedRun(8, 5'000'000);
  ASSERT_TRUE(Submit(Ask(10)).ok());
  const Status status = Submit(Ask());
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.reason(), "QUEUE_FULL");
  EXPECT_THAT(status.message(), HasSubstr("10 rows wait"));
  EXPECT_EQ(status.retry_after_ns(), 10'000'000) << "two batches of 5 ms";
  EXPECT_EQ(Count(&VersionCounters::rejected), 1u);
  EXPECT_EQ(Count(&VersionCounters::accepted), 1u);
  EXPECT_EQ(sink_.total(), 0);
}

TEST_F(EngineTest, NamesALeastTimeToComeBackWhenNothingIsKnown) {
  ASSERT_TRUE(Submit(Ask(10)).ok());
  EXPECT_EQ(Submit(Ask()).retry_after_ns(), 1'000'000);
}

TEST_F(EngineTest, RefusesWhileTheRouteNamesAClosedVersionOnly) {
  const auto next = MakeVersion(DoublingSpec(2), &clock_);
  CloseVersion(version_.get());
  // The route still names the closed version.
  EXPECT_EQ(Submit(Ask()).reason(), "VERSION_NOT_AVAILABLE");
  Route("m", next);
  ASSERT_TRUE(Submit(Ask()).ok());
  EXPECT_EQ(entry_->version, next);
}

TEST_F(EngineTest, SplitsOnlyWhatTheVersionCannotTakeWhole) {
  ASSERT_TRUE(Submit(Ask(8)).ok());
  EXPECT_EQ(entry_->split, nullptr);
  engine_.Cancel(entry_, &interrupts_);
  ASSERT_TRUE(Submit(Ask(9)).ok());
  EXPECT_NE(entry_->split, nullptr);
  ModelSpec spec = DoublingSpec();
  spec.batching = false;
  Route("solo", MakeVersion(std::move(spec), &clock_));
  ASSERT_TRUE(
      Submit(MessageBuilder().Bytes(2, "solo").Message(5, TensorMessage("x", 12, {9}, std::string(36, '\0'))))
          .ok());
  EXPECT_EQ(entry_->split, nullptr);
}

TEST_F(EngineTest, AbortingCompletesAllThatWaits) {
  ASSERT_TRUE(Submit(Ask()).ok());
  const void* first = last();
  ASSERT_TRUE(Submit(Ask(9)).ok());
  AbortVersion(version_.get(), Status(Code::kUnavailable, "DRAIN_TIMEOUT", "too late"));
  for (const void* tag : {first, last()}) {
    EXPECT_EQ(sink_.Of(tag).completions, 1);
    EXPECT_EQ(sink_.Of(tag).status.reason(), "DRAIN_TIMEOUT");
  }
  EXPECT_EQ(Count(&VersionCounters::failed), 2u);
  Instance instance(version_);
  EXPECT_FALSE(instance.Next());
}

}  // namespace
}  // namespace maas
