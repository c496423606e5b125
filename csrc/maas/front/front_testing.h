// A model, an engine and a sink for tests: y = 2x, run when a test says so; a loop that runs when it is told.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"
#include "maas/front/loop_sink.h"
#include "maas/net/chunk_testing.h"
#include "maas/serving/engine.h"

namespace maas {

// A PredictRequest of one row.
inline std::string AskFor(float x, std::string_view id = "", std::string_view model = "m") {
  return MessageBuilder()
      .Bytes(1, id)
      .Bytes(2, model)
      .Message(5, TensorMessage("x", 12, {1}, BytesOf({x})))
      .str();
}
// The same as a ModelInferRequest.
inline std::string InferFor(float x, std::string_view id = "", std::string_view model = "m",
                            std::string_view version = "") {
  return MessageBuilder()
      .Bytes(1, model)
      .Bytes(2, version)
      .Bytes(3, id)
      .Message(5, MessageBuilder().Bytes(1, "x").Bytes(2, "FP32").Packed(3, {1}))
      .Bytes(7, BytesOf({x}))
      .str();
}

inline ModelSpec TwiceSpec() {
  OutputSpec y = MakeOutput("y", DataType::kFp32, {-1});
  y.sources = {{0, 0}};
  return MakeSpec({MakeInput("x", DataType::kFp32, {-1})}, {y});
}
// What a runner of that model does with a batch.
inline void RunTwice(const RunPlan& plan) {
  const auto* x = reinterpret_cast<const float*>(plan.inputs[0].data);
  auto* y = reinterpret_cast<float*>(plan.outputs[0].data);
  for (int64_t i = 0; i < plan.rows; ++i) y[i] = 2 * x[i];
}
inline std::shared_ptr<Route> RouteTo(const std::shared_ptr<Version>& version) {
  auto route = std::make_shared<Route>();
  route->versions = {{1, version}};
  route->standard = version;
  return route;
}

class ServedModel {
 public:
  explicit ServedModel(LoopSink::Options options = {}, int64_t max_queue_rows = 10'000)
      : version_(MakeVersion(TwiceSpec(), &clock, max_queue_rows)),
        engine({.sweep_interval_ns = 0}, &clock),
        sink(
            options, &engine, &clock,
            [this](std::function<void()> drain) { posted_.push_back(std::move(drain)); },
            [this](const std::vector<Interrupt>& runs) {
              interrupted.insert(interrupted.end(), runs.begin(), runs.end());
            }) {
    const std::shared_ptr<Route> route = RouteTo(version_);
    route->known = {1, 2};
    engine.routes().Set("m", route);
    engine.routes().Set("empty", std::make_shared<Route>());
  }
  ServedModel(const ServedModel&) = delete;
  ServedModel& operator=(const ServedModel&) = delete;
  ~ServedModel() {
    instance_.reset();
    AbortVersion(version_.get(), Status(Code::kUnavailable, "GONE", "the test is over"));
    Loop();
    EXPECT_EQ(sink.under_way(), 0u);
  }

  // What an instance does with the next batch: take it, ...
  void Begin() {
    instance_ = std::make_unique<Instance>(version_);
    ASSERT_TRUE(instance_->Next());
    RunTwice(instance_->plan());
  }
  // ... and answer it, or not.
  void End() {
    instance_->Finish({RunOutput{}});
    instance_->Deliver();
  }
  void Fail() {
    instance_->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
    instance_->Deliver();
  }
  void RunBatch() {
    Begin();
    End();
  }
  // The loop's turn: what was posted by now.
  void Loop() {
    for (auto& work : std::exchange(posted_, {})) work();
  }
  // Runs and tells until nothing waits.
  void RunAll() {
    while (version_->queue.waiting_rows() > 0) {
      RunBatch();
      Loop();
    }
    Loop();
  }
  size_t posts() const { return posted_.size(); }
  int64_t waiting() const { return version_->queue.waiting_rows(); }
  // What still waits completes with an error.
  void Abort(const Status& status) {
    AbortVersion(version_.get(), status);
    Loop();
  }

  FakeClock clock{1'000'000'000};

 private:
  std::shared_ptr<Version> version_;
  std::unique_ptr<Instance> instance_;
  std::vector<std::function<void()>> posted_;

 public:
  std::vector<Interrupt> interrupted;
  Engine engine;
  LoopSink sink;
};

}  // namespace maas
