// The memory of an Instance, and seen through one: which runs share a plan, when keys are forgotten, and what
// sizes are refused.
#include "maas/exec/run_plans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"
#include "maas/exec/tensor_memory_testing.h"

namespace maas {
namespace {

using testing::Contains;
using testing::IsEmpty;

OutputSpec LikeInput(OutputSpec output) {
  for (size_t axis = 0; axis < output.dims.size(); ++axis) output.sources[axis] = {0, static_cast<int>(axis)};
  return output;
}

class RunPlansTest : public testing::Test {
 protected:
  void Make(ModelSpec spec) {
    version_ = MakeVersion(std::move(spec), &clock_);
    instance_ = std::make_unique<Instance>(version_);
  }
  static ModelSpec CopySpec() {
    return MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})},
                    {LikeInput(MakeOutput("y", DataType::kFp32, {-1, -1}))});
  }
  // Sends x of the shape, all ones, and prepares its run.
  const Call* Begin(const MessageBuilder& request) {
    calls_.push_back(Send(version_, &sink_, request));
    clock_.Advance(1);
    EXPECT_TRUE(instance_->Next());
    return calls_.back().get();
  }
  static MessageBuilder Ones(int64_t rows, int64_t columns) {
    const std::vector<float> values(static_cast<size_t>(rows * columns), 1.0F);
    return RequestFor(TensorMessage("x", 12, {rows, columns},
                                    {reinterpret_cast<const char*>(values.data()), values.size() * 4}));
  }
  // y = x, touching every byte that the plan promises.
  void End() {
    const RunPlan& plan = instance_->plan();
    ASSERT_EQ(plan.inputs[0].bytes, plan.outputs[0].bytes);
    std::copy_n(plan.inputs[0].data, plan.inputs[0].bytes, plan.outputs[0].data);
    instance_->Finish({RunOutput{}});
    instance_->Deliver();
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  std::unique_ptr<Instance> instance_;
  std::vector<std::unique_ptr<Call>> calls_;
};

TEST_F(RunPlansTest, RunsOfOneShapeShareAKeyAndItsMemory) {
  Make(CopySpec());
  Begin(Ones(2, 3));
  const uint64_t key = instance_->plan().key;
  const std::byte* data = instance_->plan().inputs[0].data;
  End();
  Begin(Ones(2, 3));
  EXPECT_EQ(instance_->plan().key, key);
  EXPECT_EQ(instance_->plan().inputs[0].data, data);
  EXPECT_THAT(instance_->forgotten(), IsEmpty());
  End();
  Begin(Ones(1, 3));
  EXPECT_NE(instance_->plan().key, key) << "as many rows are part of the shape";
  End();
}

TEST_F(RunPlansTest, SoloRequestsOfDifferentShapesNeverShareAPlan) {
  // Their lane has no key that would tell the shapes apart.
  ModelSpec spec = CopySpec();
  spec.batching = false;
  Make(std::move(spec));
  for (int64_t columns : {2, 5000, 3, 100'000}) {
    const Call* call = Begin(Ones(1, columns));
    EXPECT_EQ(instance_->plan().inputs[0].dims, (Dims{1, columns}));
    End();
    EXPECT_TRUE(sink_.Of(call).status.ok());
    EXPECT_EQ(DecodedAnswer(sink_.Of(call).bytes).outputs[0].data.size(), static_cast<size_t>(columns) * 4);
  }
}

TEST_F(RunPlansTest, ValuesOfSharedInputsDoNotMakePlans) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1}), MakeInput("t", DataType::kFp32, {1}, -1)},
                {LikeInput(MakeOutput("y", DataType::kFp32, {-1, -1}))}));
  std::set<uint64_t> keys;
  for (float t : {1.0F, 2.0F, 3.0F}) {
    Begin(MessageBuilder(Ones(1, 2)).Message(5, TensorMessage("t", 12, {1}, BytesOf({t}))));
    keys.insert(instance_->plan().key);
    EXPECT_EQ(*reinterpret_cast<const float*>(instance_->plan().inputs[1].data), t);
    End();
  }
  EXPECT_EQ(keys.size(), 1u);
}

TEST_F(RunPlansTest, ForgetsEveryKeyWhenMemoryMoves) {
  Make(CopySpec());
  std::set<uint64_t> keys;
  for (int64_t rows : {1, 2}) {
    Begin(Ones(rows, 4));
    keys.insert(instance_->plan().key);
    EXPECT_THAT(instance_->forgotten(), IsEmpty()) << "staging grew at once to the largest batch";
    End();
  }
  Begin(Ones(1, 4000));
  for (uint64_t key : keys) EXPECT_THAT(instance_->forgotten(), Contains(key));
  EXPECT_EQ(instance_->forgotten().size(), keys.size());
  EXPECT_FALSE(keys.contains(instance_->plan().key));
  End();
  Begin(Ones(1, 4));
  EXPECT_THAT(instance_->forgotten(), IsEmpty()) << "told once";
  EXPECT_FALSE(keys.contains(instance_->plan().key)) << "keys do not come back";
  End();
}

TEST_F(RunPlansTest, KeepsABoundedNumberOfPlans) {
  Make(CopySpec());
  Begin(Ones(1, 3000));
  End();
  size_t kept = 1;
  size_t most = 0;
  for (int64_t columns = 1; columns <= 1500; ++columns) {
    Begin(Ones(1, columns));
    ASSERT_LE(instance_->forgotten().size(), kept);
    kept = kept + 1 - instance_->forgotten().size();
    most = std::max(most, kept);
    End();
  }
  EXPECT_LE(most, 512u);
  EXPECT_GE(most, 256u) << "nor does it forget all the time";
}

TEST_F(RunPlansTest, RefusesATensorThatNoMemoryHoldsAndGoesOn) {
  // x has no bytes; padded it would be 4 * 2^40 of them.
  InputSpec x = MakeInput("x", DataType::kFp32, {-1, -1, -1});
  x.pad_group = 0;
  x.pad_axis = 1;
  ModelSpec spec = MakeSpec({x}, {MakeOutput("y", DataType::kFp32, {-1, 1})});
  spec.pad_groups = {{{1}}};
  Make(std::move(spec));
  const auto hostile =
      Send(version_, &sink_, RequestFor(TensorMessage("x", 12, {1, 0, int64_t{1} << 40}, "")));
  clock_.Advance(1);
  const Call* good = Begin(RequestFor(TensorMessage("x", 12, {1, 1, 1}, BytesOf({1.0F}))));
  EXPECT_EQ(sink_.Of(hostile.get()).status.reason(), "OUT_OF_MEMORY");
  EXPECT_EQ(sink_.Of(hostile.get()).completions, 1);
  End();
  EXPECT_TRUE(sink_.Of(good).status.ok());
}

TEST_F(RunPlansTest, RefusesAnOutputThatNoMemoryHoldsAndGoesOn) {
  // y = outer(x, x) of an x without elements but with a long side.
  OutputSpec y = MakeOutput("y", DataType::kFp32, {-1, -1, -1});
  y.sources = {{}, {0, 2}, {0, 2}};
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1, -1})}, {y}));
  const auto hostile =
      Send(version_, &sink_, RequestFor(TensorMessage("x", 12, {1, 0, int64_t{1} << 31}, "")));
  clock_.Advance(1);
  const Call* good = Begin(RequestFor(TensorMessage("x", 12, {1, 1, 1}, BytesOf({1.0F}))));
  EXPECT_EQ(sink_.Of(hostile.get()).status.reason(), "OUT_OF_MEMORY");
  End();
  EXPECT_TRUE(sink_.Of(good).status.ok());
}

TEST_F(RunPlansTest, TakesTensorsWithoutElements) {
  Make(CopySpec());
  const Call* call = Begin(Ones(3, 0));
  EXPECT_EQ(instance_->plan().inputs[0].bytes, 0u);
  EXPECT_NE(instance_->plan().inputs[0].data, nullptr);
  End();
  EXPECT_TRUE(sink_.Of(call).status.ok());
  EXPECT_THAT(DecodedAnswer(sink_.Of(call).bytes).outputs[0].shape, testing::ElementsAre(3, 0));
}

// The plans alone, in memory of which there is not much.
class RunPlansMemoryTest : public RunPlansTest {
 protected:
  RunPlansMemoryTest() { Make(CopySpec()); }
  // The plan of a run of so many rows and columns.
  const RunPlan* For(RunPlans* plans, int64_t rows, int64_t columns) {
    calls_.push_back(Send(version_, &sink_, Ones(rows, columns)));
    return plans->For(calls_.back()->entry->bound, rows);
  }
  CountingMemory memory_;
};

TEST_F(RunPlansMemoryTest, TensorsLieInTheMemoryThatWasGiven) {
  {
    RunPlans plans(&version_->spec, &memory_);
    EXPECT_EQ(memory_.allocations(), 0);
    const RunPlan* plan = For(&plans, 2, 16);
    ASSERT_NE(plan, nullptr);
    EXPECT_TRUE(memory_.Holds(plan->inputs[0].data));
    EXPECT_TRUE(memory_.Holds(plan->outputs[0].data));
    EXPECT_EQ(memory_.largest(), 8u * 16u * 4u) << "room for the largest batch";
    for (int64_t rows : {1, 8, 3, 2}) EXPECT_NE(For(&plans, rows, 16), nullptr);
    EXPECT_EQ(memory_.allocations(), 2) << "one for x and one for y";
  }
  EXPECT_EQ(memory_.held(), 0u);
}

TEST_F(RunPlansMemoryTest, WhatTheMemoryRefusesIsRefusedAndTheRestGoesOn) {
  memory_.LimitTo(1024);
  RunPlans plans(&version_->spec, &memory_);
  EXPECT_NE(For(&plans, 1, 256), nullptr) << "not for the largest batch, but for this one";
  EXPECT_EQ(For(&plans, 2, 256), nullptr);
  EXPECT_EQ(plans.forgotten().size(), 1u) << "the memory of the first plan went";
  EXPECT_NE(For(&plans, 1, 256), nullptr);
}

TEST_F(RunPlansMemoryTest, AnswersWithoutMovingMemoryWhereItNeedNotMove) {
  RunPlans plans(&version_->spec, &memory_);
  const auto stays = [&](int64_t rows, int64_t columns) {
    calls_.push_back(Send(version_, &sink_, Ones(rows, columns)));
    return plans.ForIfAllStays(calls_.back()->entry->bound, rows);
  };
  EXPECT_EQ(stays(2, 16), nullptr);
  EXPECT_EQ(memory_.allocations(), 0);
  const RunPlan* first = For(&plans, 2, 16);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(stays(2, 16), first);
  const RunPlan* other = stays(8, 16);
  ASSERT_NE(other, nullptr) << "a new shape, for which there is room";
  EXPECT_EQ(other->rows, 8);
  EXPECT_EQ(stays(8, 17), nullptr);
  EXPECT_EQ(stays(2, 16), first) << "nothing was dropped meanwhile";
  EXPECT_THAT(plans.forgotten(), IsEmpty());
  EXPECT_EQ(memory_.allocations(), 2);
}

TEST_F(RunPlansMemoryTest, ForgetsNoKeyWhereAllIsToStay) {
  RunPlans plans(&version_->spec, &memory_);
  const Call* call = nullptr;
  // The largest first, so that memory is not what runs out.
  for (int64_t columns = 600; columns > 80; --columns) {
    calls_.push_back(Send(version_, &sink_, Ones(1, columns)));
    call = calls_.back().get();
    if (plans.ForIfAllStays(call->entry->bound, 1) == nullptr && columns < 600) break;
    plans.For(call->entry->bound, 1);
  }
  EXPECT_THAT(plans.forgotten(), IsEmpty());
  EXPECT_EQ(plans.ForIfAllStays(call->entry->bound, 1), nullptr) << "as many plans as there may be";
  EXPECT_NE(plans.For(call->entry->bound, 1), nullptr);
  EXPECT_EQ(plans.forgotten().size(), 512u);
}

}  // namespace
}  // namespace maas
