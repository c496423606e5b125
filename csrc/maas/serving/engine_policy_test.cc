// Engine with a model that has priority levels and queue policies: what a request says reaches the queue, and
// what the queue refuses or drops reaches the caller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"
#include "maas/serving/engine.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// ModelInferRequest with one row, and `parameters` as (name, int64).
std::string Infer(const std::string& id, const std::vector<std::pair<std::string, int64_t>>& parameters) {
  MessageBuilder request;
  request.Bytes(1, "m").Bytes(3, id);
  for (const auto& [name, value] : parameters) {
    MessageBuilder number;
    number.Number(2, value);
    request.Message(4, MessageBuilder().Bytes(1, name).Message(2, number));
  }
  MessageBuilder input;
  input.Bytes(1, "x").Bytes(2, "FP32").Packed(3, {1});
  return request.Message(5, input).Bytes(7, std::string(sizeof(float), '\0')).str();
}

class EnginePolicyTest : public testing::Test {
 protected:
  EnginePolicyTest() : engine_({.sweep_interval_ns = 0}, &clock_) {}
  ~EnginePolicyTest() override {
    std::vector<std::shared_ptr<QueueItem>> left;
    version_->queue.TakeAll(&left);
  }

  void Serve(PriorityOptions priorities) {
    ModelSpec spec = MakeSpec({MakeInput("x", DataType::kFp32, {-1})}, {});
    spec.max_batch_size = 1;
    BatchQueue::Options options;
    options.batch = {1, 0};
    options.priorities = std::move(priorities);
    options.process_cpu_ns = [] { return int64_t{0}; };
    version_ = std::make_shared<Version>(std::move(spec), std::move(options), &clock_);
    auto route = std::make_shared<Route>();
    route->versions = {{1, version_}};
    route->standard = version_;
    engine_.routes().Set("m", route);
  }
  Status Submit(const std::string& id, const std::vector<std::pair<std::string, int64_t>>& parameters = {}) {
    messages_.push_back(std::make_unique<std::string>(Infer(id, parameters)));
    std::shared_ptr<Entry> entry;
    const ReplyTo reply{&sink_, messages_.back().get(), 0, &ModelInferCodec()};
    return engine_.Submit(AsBytes(*messages_.back()), kNever, reply, "", &entry);
  }
  CollectingSink::Done Last() { return sink_.Of(messages_.back().get()); }
  std::vector<std::string> Order() {
    std::vector<Slice> batch;
    std::vector<std::shared_ptr<QueueItem>> dead;
    std::vector<std::string> ids;
    RunTicket ticket;
    while (version_->queue.Step(clock_.Now(), &batch, &dead, &ticket).action == Action::kRun) {
      ids.emplace_back(static_cast<const Entry&>(*batch[0].item).view.id);
    }
    return ids;
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  Engine engine_;
  std::vector<std::unique_ptr<std::string>> messages_;
};

TEST_F(EnginePolicyTest, ARequestsPriorityDecidesWhenItRuns) {
  Serve({.levels = 3, .default_level = 2, .policy = {}, .by_level = {}});
  ASSERT_TRUE(Submit("none").ok());
  ASSERT_TRUE(Submit("low", {{"priority", 3}}).ok());
  ASSERT_TRUE(Submit("high", {{"priority", 1}}).ok());
  ASSERT_TRUE(Submit("beyond", {{"priority", 9}}).ok());
  EXPECT_THAT(Order(), ElementsAre("high", "none", "beyond", "low"));
}

TEST_F(EnginePolicyTest, ALevelThatIsFullRefusesAndSaysSo) {
  PriorityOptions priorities{.levels = 2, .default_level = 2, .policy = {}, .by_level = {}};
  priorities.by_level[2].max_queue_size = 1;
  Serve(std::move(priorities));
  ASSERT_TRUE(Submit("a").ok());
  const Status status = Submit("b");
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.reason(), "QUEUE_FULL");
  EXPECT_THAT(status.message(), HasSubstr("of this priority"));
  EXPECT_GT(status.retry_after_ns(), 0);
  EXPECT_EQ(version_->counters.rejected.load(), 1u);
  EXPECT_TRUE(Submit("c", {{"priority", 1}}).ok()) << "the other level has room";
}

TEST_F(EnginePolicyTest, WhatWaitedAsLongAsItsPolicyAllowsIsAnswered) {
  PriorityOptions priorities;
  priorities.policy = {.default_timeout_ns = 10'000'000, .allow_timeout_override = true};
  Serve(std::move(priorities));
  ASSERT_TRUE(Submit("a", {{"timeout", 3000}}).ok());
  engine_.Sweep(clock_.Now() + 3'000'000 - 1);
  EXPECT_EQ(Last().completions, 0);
  engine_.Sweep(clock_.Now() + 3'000'000);
  EXPECT_EQ(Last().status.reason(), "QUEUE_TIMEOUT");
  ASSERT_TRUE(Submit("b").ok());
  engine_.Sweep(clock_.Now() + 10'000'000);
  EXPECT_EQ(Last().status.reason(), "QUEUE_TIMEOUT");
  EXPECT_THAT(Last().status.message(), HasSubstr("m:1"));
  EXPECT_EQ(version_->counters.timed_out.load(), 2u);
}

}  // namespace
}  // namespace maas
