// An instance on a fake device for tests, and the model that it runs there: y = x.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "maas/exec/exec_testing.h"
#include "maas/gpu/fake_device_testing.h"
#include "maas/gpu/gpu_instance.h"

namespace maas {

// y = x of any number of columns, whose shape is known before the run.
inline ModelSpec CopySpec() {
  OutputSpec y = MakeOutput("y", DataType::kFp32, {-1, -1});
  y.sources = {{0, 0}, {0, 1}};
  return MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})}, {std::move(y)});
}

// `rows` rows of so many columns, all `value`.
inline MessageBuilder Constant(int64_t rows, int64_t columns, float value) {
  const std::vector<float> values(static_cast<size_t>(rows * columns), value);
  return RequestFor(TensorMessage("x", 12, {rows, columns},
                                  {reinterpret_cast<const char*>(values.data()), values.size() * 4}));
}

class GpuInstanceFixture : public testing::Test {
 protected:
  GpuInstanceFixture() { EXPECT_TRUE(DeviceTable::Make(fake_.api(), &table_).ok()); }

  GpuDevice* device() { return table_->device(0); }
  void Make(size_t slots, ModelSpec spec = CopySpec()) {
    version_ = MakeVersion(std::move(spec), &clock_);
    const Status made = GpuInstance::Make(version_, device(), slots, &instance_);
    ASSERT_TRUE(made.ok()) << made.message();
  }
  const Call* Send(const MessageBuilder& request) {
    calls_.push_back(maas::Send(version_, &sink_, request));
    clock_.Advance(1);
    return calls_.back().get();
  }
  const Call* Send(int64_t rows, int64_t columns, float value) {
    return Send(Constant(rows, columns, value));
  }

  // Begins the run as a runner does, which may fail at it. REQUIRES: Next() returned true.
  void Run() {
    const RunPlan& plan = instance_->plan();
    ASSERT_EQ(plan.inputs[0].bytes, plan.outputs[0].bytes);
    const Status begun =
        instance_->compute().Copy(plan.outputs[0].data, plan.inputs[0].data, plan.inputs[0].bytes);
    begun.ok() ? instance_->Launched() : instance_->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
  }
  void NextAndRun() {
    ASSERT_TRUE(instance_->Next());
    Run();
  }
  // One batch all the way.
  void RunOne() {
    NextAndRun();
    ASSERT_TRUE(instance_->DeliverNext());
  }
  // Both threads, until the queue is closed; then Join().
  void Start() {
    runs_ = std::thread([this] {
      while (instance_->Next()) Run();
    });
    delivers_ = std::thread([this] {
      while (instance_->DeliverNext()) {
      }
    });
  }
  void Join() {
    version_->queue.Close();
    runs_.join();
    delivers_.join();
  }
  // What is to be said to both threads once everything was delivered.
  void Close() {
    version_->queue.Close();
    EXPECT_FALSE(instance_->Next());
    EXPECT_FALSE(instance_->DeliverNext());
  }

  bool IsDone(const Call* call) { return sink_.Of(call).completions > 0; }
  std::vector<float> AnswerTo(const Call* call) {
    const auto done = sink_.Of(call);
    EXPECT_EQ(done.completions, 1);
    EXPECT_TRUE(done.status.ok()) << done.status.message();
    return done.status.ok() ? DecodedAnswer(done.bytes).outputs.at(0).Floats() : std::vector<float>();
  }
  // The reason that the one completion of a call gives; empty: an answer.
  std::string FailureOf(const Call* call) {
    const auto done = sink_.Of(call);
    EXPECT_EQ(done.completions, 1);
    return done.status.ok() ? "" : done.status.reason();
  }
  int Allocations() {
    return fake_.Calls(FakeCall::kAllocate) + fake_.Calls(FakeCall::kAllocatePinned) +
           fake_.Calls(FakeCall::kMakeEvent) + fake_.Calls(FakeCall::kMakeStream);
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  FakeDevices fake_;
  std::unique_ptr<DeviceTable> table_;
  std::shared_ptr<Version> version_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::unique_ptr<GpuInstance> instance_;
  std::thread runs_;
  std::thread delivers_;
};

}  // namespace maas
