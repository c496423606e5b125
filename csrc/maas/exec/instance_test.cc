#include "maas/exec/instance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "maas/exec/exec_testing.h"

// Sanitizers end the process where malloc would say no, unless told otherwise.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace maas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

OutputSpec LikeInput(OutputSpec output) {
  for (size_t axis = 0; axis < output.dims.size(); ++axis) output.sources[axis] = {0, static_cast<int>(axis)};
  return output;
}

// x [-1, -1] in, y = 2x out.
ModelSpec DoublingSpec() {
  return MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})},
                  {LikeInput(MakeOutput("y", DataType::kFp32, {-1, -1}))});
}

MessageBuilder Ask(std::initializer_list<int64_t> shape, const std::vector<float>& values,
                   std::string_view id = "") {
  return RequestFor(
      TensorMessage("x", 12, shape,
                    {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}),
      id);
}
std::vector<float> Ramp(size_t count, float from = 1) {
  std::vector<float> values(count);
  for (float& value : values) value = from++;
  return values;
}

// Drives one instance by hand, as a runner's thread would.
class InstanceTest : public testing::Test {
 protected:
  void Make(ModelSpec spec) {
    version_ = MakeVersion(std::move(spec), &clock_);
    instance_ = std::make_unique<Instance>(version_);
  }
  const Call* Send(const MessageBuilder& request, uint64_t group = 0) {
    calls_.push_back(maas::Send(version_, &sink_, request, group));
    clock_.Advance(1);
    return calls_.back().get();
  }

  // What the model does: y = 2x, into the memory of the plan.
  void Double() {
    const RunPlan& plan = instance_->plan();
    const auto* x = reinterpret_cast<const float*>(plan.inputs[0].data);
    auto* y = reinterpret_cast<float*>(plan.outputs[0].data);
    for (size_t i = 0; i < plan.inputs[0].bytes / sizeof(float); ++i) y[i] = 2 * x[i];
    clock_.Advance(1000);
    Finish({RunOutput{}});
  }
  void Finish(std::vector<RunOutput> outputs) {
    instance_->Finish(std::move(outputs));
    instance_->Deliver();
  }
  void Fail() {
    instance_->Fail(Status(Code::kInternal, "RUN_FAILED", "it broke"));
    instance_->Deliver();
  }

  CollectingSink::Done Done(const Call* call) { return sink_.Of(call); }
  DecodedAnswer AnswerTo(const Call* call) {
    const auto done = Done(call);
    EXPECT_EQ(done.completions, 1);
    EXPECT_TRUE(done.status.ok()) << done.status.message();
    kept_.push_back(std::make_unique<std::string>(done.bytes));
    return DecodedAnswer(*kept_.back());
  }
  uint64_t Count(std::atomic<uint64_t> VersionCounters::*counter) {
    return (version_->counters.*counter).load();
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  std::unique_ptr<Instance> instance_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<std::unique_ptr<std::string>> kept_;
};

TEST_F(InstanceTest, AnswersEveryRequestOfABatchWithItsOwnRows) {
  Make(DoublingSpec());
  const Call* one = Send(Ask({1, 2}, {1, 2}, "one"));
  const Call* two = Send(Ask({2, 2}, {3, 4, 5, 6}, "two"));
  EXPECT_FALSE(instance_->running());
  ASSERT_TRUE(instance_->Next());
  EXPECT_TRUE(instance_->running());
  EXPECT_EQ(instance_->plan().inputs[0].dims, (Dims{3, 2}));
  EXPECT_EQ(instance_->plan().outputs[0].dims, (Dims{3, 2}));
  EXPECT_NE(instance_->plan().key, 0u);
  Double();
  EXPECT_FALSE(instance_->running());
  EXPECT_THAT(AnswerTo(one).outputs[0].Floats(), ElementsAre(2, 4));
  const DecodedAnswer answer = AnswerTo(two);
  EXPECT_EQ(answer.id, "two");
  EXPECT_THAT(answer.outputs[0].shape, ElementsAre(2, 2));
  EXPECT_THAT(answer.outputs[0].Floats(), ElementsAre(6, 8, 10, 12));
  EXPECT_EQ(answer.receipt.queue_ns, 1);
  EXPECT_EQ(answer.receipt.run_ns, 1000);
  EXPECT_EQ(answer.receipt.batch_size, 3);
  EXPECT_EQ(answer.receipt.batches, 1);
  EXPECT_EQ(sink_.calls(), 1) << "one wake-up for the batch";
  EXPECT_EQ(sink_.unreturned(), 0u);
  EXPECT_EQ(Count(&VersionCounters::batches), 1u);
  EXPECT_EQ(Count(&VersionCounters::rows), 3u);
  EXPECT_EQ(Count(&VersionCounters::run_ns), 1000u);
  EXPECT_EQ(Count(&VersionCounters::queue_ns), 2u + 1u);
  EXPECT_EQ(Count(&VersionCounters::succeeded), 2u);
}

TEST_F(InstanceTest, MeasuresWhatEachPartOfABatchTook) {
  Make(DoublingSpec());
  Send(Ask({1, 2}, {1, 2}));
  Send(Ask({2, 2}, {3, 4, 5, 6}));
  const int64_t last_accepted = clock_.Now() - 1;
  ASSERT_TRUE(instance_->Next());
  const int64_t began = clock_.Now();
  clock_.Advance(1000);
  instance_->Finish({RunOutput{}});
  clock_.Advance(300);
  instance_->Deliver();
  const auto after = static_cast<uint64_t>(began + 1300 - last_accepted);
  EXPECT_EQ(Count(&VersionCounters::succeeded_ns), 2 * after + 1) << "the first came 1 ns before the second";
  EXPECT_EQ(version_->counters.last_run_ns.load(), began + 1000);
  const RunStatistics::Snapshot got = version_->statistics.Read();
  EXPECT_EQ(got.batches.run_ns, 1000u);
  EXPECT_EQ(got.batches.answer_ns, 300u);
  EXPECT_EQ(got.requests.run_ns, 2000u);
  EXPECT_EQ(got.requests.answer_ns, 600u);
  ASSERT_EQ(got.sizes.size(), 1u);
  EXPECT_EQ(got.sizes[0].rows, 3);
  EXPECT_EQ(got.sizes[0].batches, 1u);
  EXPECT_EQ(got.latency.back(), 2u);
}

TEST_F(InstanceTest, AnswersOfOneStreamShareABuffer) {
  Make(DoublingSpec());
  const Call* a1 = Send(Ask({1, 1}, {1}, "a1"), 5);
  const Call* unary = Send(Ask({1, 1}, {2}, "u"));
  const Call* b1 = Send(Ask({1, 1}, {3}, "b1"), 6);
  const Call* a2 = Send(Ask({1, 1}, {4}, "a2"), 5);
  ASSERT_TRUE(instance_->Next());
  Double();
  EXPECT_THAT(AnswerTo(unary).outputs[0].Floats(), ElementsAre(4));
  EXPECT_TRUE(Done(a1).carries);
  EXPECT_FALSE(Done(a2).carries);
  EXPECT_TRUE(Done(a2).status.ok());
  const auto entries = [this](const Call* call) {
    std::vector<std::pair<std::string, float>> out;
    kept_.push_back(std::make_unique<std::string>(Done(call).bytes));
    Fields message(*kept_.back());
    for (std::string_view bytes : message.texts[1]) {
      Fields entry(bytes);
      const std::string response = entry.Text(2);
      out.emplace_back(entry.Text(1), DecodedAnswer(response).outputs[0].Floats().at(0));
    }
    return out;
  };
  EXPECT_THAT(entries(a1), ElementsAre(testing::Pair("a1", 2), testing::Pair("a2", 8)));
  EXPECT_THAT(entries(b1), ElementsAre(testing::Pair("b1", 6)));
  EXPECT_EQ(sink_.unreturned(), 0u);
}

TEST_F(InstanceTest, AnswersOfOneStreamThatAreLargeTogetherLeaveInSeveralBuffers) {
  Make(DoublingSpec());
  const int64_t columns = kMaxSharedBytes / sizeof(float) / 2 - 100;  // Two fit, three do not.
  const std::vector<float> values = Ramp(static_cast<size_t>(columns));
  std::vector<const Call*> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(Send(Ask({1, columns}, values, "a"), 5));
  ASSERT_TRUE(instance_->Next());
  Double();
  std::vector<bool> carries;
  for (const Call* call : calls) {
    EXPECT_TRUE(Done(call).status.ok());
    EXPECT_LE(Done(call).bytes.size(), kMaxSharedBytes);
    carries.push_back(Done(call).carries);
  }
  EXPECT_THAT(carries, ElementsAre(true, false, true, false, true));
  EXPECT_EQ(sink_.unreturned(), 0u);
}

TEST_F(InstanceTest, TellsEachSinkAboutItsOwn) {
  Make(DoublingSpec());
  CollectingSink other;
  const Call* first = Send(Ask({1, 1}, {1}));
  const auto second = maas::Send(version_, &other, Ask({1, 1}, {2}));
  const Call* third = Send(Ask({1, 1}, {3}));
  ASSERT_TRUE(instance_->Next());
  Double();
  EXPECT_THAT(AnswerTo(first).outputs[0].Floats(), ElementsAre(2));
  EXPECT_THAT(AnswerTo(third).outputs[0].Floats(), ElementsAre(6));
  EXPECT_EQ(other.Of(second.get()).completions, 1);
  EXPECT_EQ(other.total(), 1);
  EXPECT_EQ(other.unreturned(), 0u);
}

TEST_F(InstanceTest, RunsEachBatchOfSeveralThatFailedOneByOneAndOnlyTheGuiltyFails) {
  Make(DoublingSpec());
  std::vector<const Call*> calls;
  for (float value : {1.0F, 2.0F, 666.0F, 4.0F}) calls.push_back(Send(Ask({1, 1}, {value})));
  version_->queue.Close();
  int runs = 0;
  while (instance_->Next()) {
    ++runs;
    const RunPlan& plan = instance_->plan();
    const auto* x = reinterpret_cast<const float*>(plan.inputs[0].data);
    std::find(x, x + plan.rows, 666.0F) != x + plan.rows ? Fail() : Double();
  }
  EXPECT_EQ(runs, 5);
  EXPECT_THAT(AnswerTo(calls[0]).outputs[0].Floats(), ElementsAre(2));
  EXPECT_THAT(AnswerTo(calls[1]).outputs[0].Floats(), ElementsAre(4));
  EXPECT_THAT(AnswerTo(calls[3]).outputs[0].Floats(), ElementsAre(8));
  EXPECT_EQ(Done(calls[2]).completions, 1);
  EXPECT_EQ(Done(calls[2]).status.reason(), "RUN_FAILED");
  EXPECT_EQ(Count(&VersionCounters::failed), 1u);
  EXPECT_EQ(Count(&VersionCounters::succeeded), 3u);
}

TEST_F(InstanceTest, FailsALoneRequestAtOnce) {
  Make(DoublingSpec());
  const Call* call = Send(Ask({1, 1}, {1}));
  ASSERT_TRUE(instance_->Next());
  Fail();
  EXPECT_EQ(Done(call).status.code(), Code::kInternal);
  EXPECT_EQ(version_->queue.waiting_rows(), 0);
}

TEST_F(InstanceTest, OutputsThatDoNotFitFailTheRunAndTheInstanceGoesOn) {
  Make(DoublingSpec());
  const Call* bad = Send(Ask({2, 2}, Ramp(4)));
  ASSERT_TRUE(instance_->Next());
  const std::vector<float> values = Ramp(6);
  Finish({RunOutput{{3, 2}, reinterpret_cast<const std::byte*>(values.data()), {}}});
  EXPECT_EQ(Done(bad).status.reason(), "BAD_MODEL_OUTPUT");
  EXPECT_EQ(Count(&VersionCounters::batches), 0u);
  const Call* good = Send(Ask({1, 1}, {4}));
  ASSERT_TRUE(instance_->Next());
  Double();
  EXPECT_THAT(AnswerTo(good).outputs[0].Floats(), ElementsAre(8));
}

TEST_F(InstanceTest, OutputsThatArePointedToNeedNotBeInThePlansMemory) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})}, {MakeOutput("y", DataType::kFp32, {-1, -1})}));
  const Call* call = Send(Ask({2, 2}, Ramp(4)));
  ASSERT_TRUE(instance_->Next());
  EXPECT_EQ(instance_->plan().outputs[0].data, nullptr) << "only the run tells its shape";
  const std::vector<float> values = Ramp(6, 10);
  Finish({RunOutput{{2, 3}, reinterpret_cast<const std::byte*>(values.data()), {}}});
  EXPECT_THAT(AnswerTo(call).outputs[0].shape, ElementsAre(2, 3));
  EXPECT_THAT(AnswerTo(call).outputs[0].Floats(), ElementsAre(10, 11, 12, 13, 14, 15));
}

TEST_F(InstanceTest, CompletesWhatExpiredBeforeItRan) {
  Make(DoublingSpec());
  const auto expired = std::make_unique<Call>();
  auto entry = std::make_shared<Entry>();
  entry->version = version_;
  entry->reply = {&sink_, expired.get(), 0};
  entry->accepted_ns = clock_.Now();
  entry->deadline_ns = clock_.Now() + 10;
  ASSERT_EQ(version_->queue.Push(entry), PushResult::kOk);
  clock_.Advance(10);
  version_->queue.Close();
  EXPECT_FALSE(instance_->Next());
  EXPECT_EQ(Done(expired.get()).status.reason(), "EXPIRED_IN_QUEUE");
  EXPECT_EQ(Count(&VersionCounters::expired), 1u);
  EXPECT_EQ(Count(&VersionCounters::expired_ns), 10u);
}

TEST_F(InstanceTest, SaysWhenTheSinkHasNoMemory) {
  Make(DoublingSpec());
  sink_.RunOutOfMemory();
  const Call* unary = Send(Ask({1, 1}, {1}));
  const Call* stream = Send(Ask({1, 1}, {1}), 3);
  const Call* split = Send(Ask({9, 1}, Ramp(9)));
  version_->queue.Close();
  while (instance_->Next()) Double();
  for (const Call* call : {unary, stream, split}) {
    EXPECT_EQ(Done(call).completions, 1);
    EXPECT_EQ(Done(call).status.reason(), "OUT_OF_MEMORY");
  }
  EXPECT_EQ(Count(&VersionCounters::failed), 3u);
  EXPECT_EQ(Count(&VersionCounters::succeeded), 0u);
  EXPECT_GE(Count(&VersionCounters::failed_ns), 3000u) << "each waited for a run at least";
  EXPECT_EQ(Count(&VersionCounters::succeeded_ns), 0u);
  EXPECT_EQ(version_->statistics.Read().latency.back(), 0u) << "only answers have a latency";
}

TEST_F(InstanceTest, PadsToTheBucketFillsTheMaskAndCutsTheAnswer) {
  InputSpec x = MakePadded("x");
  x.datatype = DataType::kFp32;
  OutputSpec y = LikeInput(MakeOutput("y", DataType::kFp32, {-1, -1}));
  y.pad_group = 0;
  y.pad_axis = 1;
  ModelSpec spec = MakeSpec({x, MakePadded("mask", AutoFill::kMask)}, {y});
  spec.pad_groups = {{{2, 4}}};
  Make(std::move(spec));
  const Call* three = Send(Ask({1, 3}, {1, 2, 3}));
  const Call* four = Send(Ask({1, 4}, {4, 5, 6, 7}));
  const Call* two = Send(Ask({1, 2}, {8, 9}));
  ASSERT_TRUE(instance_->Next());
  EXPECT_EQ(instance_->plan().inputs[0].dims, (Dims{2, 4})) << "the short one is of another bucket";
  const auto* mask = reinterpret_cast<const int64_t*>(instance_->plan().inputs[1].data);
  EXPECT_THAT(std::vector<int64_t>(mask, mask + 8), ElementsAre(1, 1, 1, 0, 1, 1, 1, 1));
  Double();
  ASSERT_TRUE(instance_->Next());
  Double();
  EXPECT_THAT(AnswerTo(three).outputs[0].shape, ElementsAre(1, 3));
  EXPECT_THAT(AnswerTo(three).outputs[0].Floats(), ElementsAre(2, 4, 6));
  EXPECT_THAT(AnswerTo(four).outputs[0].Floats(), ElementsAre(8, 10, 12, 14));
  EXPECT_THAT(AnswerTo(two).outputs[0].Floats(), ElementsAre(16, 18));
}

TEST_F(InstanceTest, TakesAndGivesStrings) {
  Make(MakeSpec({MakeInput("s", DataType::kBytes, {-1})}, {MakeOutput("t", DataType::kBytes, {-1})}));
  const Call* one = Send(RequestFor(TensorMessage("s", 14, {1}, Strings({"a"}))));
  const Call* two = Send(RequestFor(TensorMessage("s", 14, {2}, Strings({"b", ""}))));
  ASSERT_TRUE(instance_->Next());
  EXPECT_EQ(instance_->plan().key, 0u) << "strings have no memory to keep";
  EXPECT_THAT(instance_->strings(0), ElementsAre("a", "b", ""));
  Finish({RunOutput{{3}, nullptr, {"A", "B", "-"}}});
  EXPECT_EQ(AnswerTo(one).outputs[0].data, Strings({"A"}));
  EXPECT_EQ(AnswerTo(two).outputs[0].data, Strings({"B", "-"}));
}

TEST_F(InstanceTest, DequantizesInputsAndQuantizesOutputs) {
  Make(DoublingSpec());
  const float scale[] = {0.5F};
  MessageBuilder request =
      MessageBuilder().Message(5, MessageBuilder(TensorMessage("x", 6, {1, 2}, BytesOf<int8_t>({10, -4})))
                                      .Message(5, MessageBuilder().Floats(1, scale)));
  request.Message(6, MessageBuilder().Bytes(1, "y").Message(2, MessageBuilder().Floats(2, scale)));
  const Call* call = Send(request);
  ASSERT_TRUE(instance_->Next());
  Double();
  EXPECT_EQ(AnswerTo(call).outputs[0].data, BytesOf<int8_t>({20, -8}));
}

TEST_F(InstanceTest, ARequestWhoseScalesDoNotFitTheRunFailsAlone) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})}, {MakeOutput("y", DataType::kFp32, {-1, -1})}));
  const float scales[] = {1, 1, 1, 1};
  const auto quantize =
      MessageBuilder().Bytes(1, "y").Message(2, MessageBuilder().Floats(2, scales).Number(4, 1));
  const Call* bad = Send(MessageBuilder(Ask({1, 1}, {1})).Message(6, quantize), 9);
  const Call* good = Send(Ask({1, 1}, {2}), 9);
  ASSERT_TRUE(instance_->Next());
  const std::vector<float> values = Ramp(2);
  Finish({RunOutput{{2, 1}, reinterpret_cast<const std::byte*>(values.data()), {}}});
  EXPECT_EQ(Done(bad).status.code(), Code::kInvalidArgument);
  EXPECT_FALSE(Done(bad).carries);
  EXPECT_TRUE(Done(good).status.ok());
  EXPECT_TRUE(Done(good).carries) << "the first of the group that has an answer";
  EXPECT_EQ(Count(&VersionCounters::succeeded), 1u);
  EXPECT_EQ(Count(&VersionCounters::failed), 1u);
}

TEST_F(InstanceTest, BindsALargeLoneRequestDirectly) {
  Make(DoublingSpec());
  constexpr int64_t kColumns = 128 * 1024;
  bool direct = false;
  for (size_t id = 1; id <= 4; ++id) {
    const Call* call = Send(Ask({1, kColumns}, Ramp(kColumns), std::string(id, 'i')));
    ASSERT_TRUE(instance_->Next());
    const std::byte* data = call->entry->bound.inputs[0].data.data();
    if (instance_->plan().inputs[0].data == data) {
      EXPECT_EQ(instance_->plan().key, 0u) << "its memory is not there next time";
      direct = true;
    } else {
      EXPECT_NE(reinterpret_cast<uintptr_t>(data) % sizeof(float), 0u);
      EXPECT_NE(instance_->plan().key, 0u);
    }
    Double();
    const std::vector<float> y = AnswerTo(call).outputs[0].Floats();
    ASSERT_EQ(y.size(), size_t{kColumns});
    EXPECT_EQ(y[0], 2);
    EXPECT_EQ(y[kColumns - 1], 2 * static_cast<float>(kColumns));
  }
  EXPECT_TRUE(direct);
}

}  // namespace
}  // namespace maas
