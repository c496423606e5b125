#include "maas/exec/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/exec/exec_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::byte* At(const std::vector<float>& values) {
  return reinterpret_cast<const std::byte*>(values.data());
}

// A model whose only input is x [-1], with outputs of the test's own.
class AnswerTest : public testing::Test {
 protected:
  void Make(std::vector<OutputSpec> outputs) {
    version_ = MakeVersion(MakeSpec({MakeInput("x", DataType::kFp32, {-1})}, std::move(outputs)), &clock_);
  }
  void Ask(int64_t rows, const std::vector<MessageBuilder>& wanted = {}, uint64_t group = 0) {
    MessageBuilder request = RequestFor(
        TensorMessage("x", 12, {rows}, std::string(static_cast<size_t>(rows) * sizeof(float), '\0')), "id-1");
    for (const MessageBuilder& output : wanted) request.Message(6, output);
    call_ = Send(version_, &sink_, request, group);
  }
  // The encoded answer for the rows from `row` on.
  std::string Encode(std::span<const RunOutput> outputs, int64_t row) {
    const Status status = answer_.Plan(*call_->entry, outputs, row, {5, 6, 7, 1});
    EXPECT_TRUE(status.ok()) << status.message();
    std::string out(answer_.size() + 1, '\xEE');
    answer_.Write(reinterpret_cast<std::byte*>(out.data()));
    EXPECT_EQ(out.back(), '\xEE') << "wrote beyond its size";
    out.pop_back();
    return out;
  }
  DecodedAnswer Answered(std::span<const RunOutput> outputs, int64_t row) {
    encoded_ = Encode(outputs, row);
    return DecodedAnswer(encoded_);
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  std::unique_ptr<Call> call_;
  Answer answer_;
  std::string encoded_;
};

MessageBuilder Quantized(std::string_view name, const MessageBuilder& quantize) {
  return MessageBuilder().Bytes(1, name).Message(2, quantize);
}

TEST_F(AnswerTest, HoldsTheRowsOfItsRequestAndWhoAnswered) {
  Make({MakeOutput("y", DataType::kFp32, {-1, 2})});
  Ask(2);
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8};
  const RunOutput output{{4, 2}, At(values), {}};
  const DecodedAnswer answer = Answered({&output, 1}, 1);
  EXPECT_EQ(answer.id, "id-1");
  EXPECT_EQ(answer.model, "m");
  EXPECT_EQ(answer.version, 1);
  ASSERT_EQ(answer.outputs.size(), 1u);
  EXPECT_EQ(answer.outputs[0].name, "y");
  EXPECT_EQ(answer.outputs[0].datatype, DataType::kFp32);
  EXPECT_THAT(answer.outputs[0].shape, ElementsAre(2, 2));
  EXPECT_THAT(answer.outputs[0].Floats(), ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(answer.receipt.queue_ns, 5);
  EXPECT_EQ(answer.receipt.run_ns, 6);
  EXPECT_EQ(answer.receipt.batch_size, 7);
  EXPECT_EQ(answer.receipt.batches, 1);
}

TEST_F(AnswerTest, TakesRowsFromAnyBatchAxis) {
  OutputSpec output = MakeOutput("y", DataType::kFp32, {2, -1});
  output.batch_axis = 1;
  Make({output});
  Ask(2);
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const RunOutput run{{2, 3}, At(values), {}};
  const DecodedAnswer answer = Answered({&run, 1}, 1);
  EXPECT_THAT(answer.outputs[0].shape, ElementsAre(2, 2));
  EXPECT_THAT(answer.outputs[0].Floats(), ElementsAre(2, 3, 5, 6));
}

TEST_F(AnswerTest, HasTheShapeThatClientsSee) {
  OutputSpec output = MakeOutput("y", DataType::kFp32, {-1, 4});
  output.wire_dims = {-1, 2, 2};
  Make({output});
  Ask(2);
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const RunOutput run{{3, 4}, At(values), {}};
  const DecodedAnswer answer = Answered({&run, 1}, 1);
  EXPECT_THAT(answer.outputs[0].shape, ElementsAre(2, 2, 2));
  EXPECT_THAT(answer.outputs[0].Floats(), ElementsAre(5, 6, 7, 8, 9, 10, 11, 12));
}

TEST_F(AnswerTest, GivesTheOutputsAskedForInTheOrderAskedFor) {
  OutputSpec shared = MakeOutput("s", DataType::kFp32, {1});
  shared.batch_axis = -1;
  Make({MakeOutput("a", DataType::kFp32, {-1}), shared, MakeOutput("b", DataType::kFp32, {-1})});
  Ask(1, {MessageBuilder().Bytes(1, "b"), MessageBuilder().Bytes(1, "s")});
  const std::vector<float> values{1, 2, 3};
  const RunOutput outputs[] = {{{3}, At(values), {}}, {{1}, At(values), {}}, {{3}, At(values), {}}};
  const DecodedAnswer answer = Answered(outputs, 2);
  ASSERT_EQ(answer.outputs.size(), 2u);
  EXPECT_EQ(answer.outputs[0].name, "b");
  EXPECT_THAT(answer.outputs[0].Floats(), ElementsAre(3));
  EXPECT_EQ(answer.outputs[1].name, "s");
  EXPECT_THAT(answer.outputs[1].Floats(), ElementsAre(1)) << "shared by all rows";
}

TEST_F(AnswerTest, ManyOutputsTakeTheirOwnPlace) {
  std::vector<OutputSpec> specs;
  for (int i = 0; i < 20; ++i) specs.push_back(MakeOutput("o" + std::to_string(i), DataType::kFp32, {-1}));
  Make(specs);
  Ask(1);
  std::vector<float> values(20);
  std::vector<RunOutput> outputs;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i);
    outputs.push_back({{1}, reinterpret_cast<const std::byte*>(&values[i]), {}});
  }
  const DecodedAnswer answer = Answered(outputs, 0);
  ASSERT_EQ(answer.outputs.size(), 20u);
  for (size_t i = 0; i < 20; ++i) EXPECT_THAT(answer.outputs[i].Floats(), ElementsAre(values[i]));
}

TEST_F(AnswerTest, EncodesStringsOfItsRowsFromAnyBatchAxis) {
  OutputSpec second = MakeOutput("t", DataType::kBytes, {2, -1});
  second.batch_axis = 1;
  Make({MakeOutput("s", DataType::kBytes, {-1, 2}), second});
  Ask(1);
  const RunOutput outputs[] = {{{2, 2}, nullptr, {"a", "b", "", "d\0d"}},
                               {{2, 2}, nullptr, {"1", "2", "3", "4"}}};
  const DecodedAnswer answer = Answered(outputs, 1);
  EXPECT_THAT(answer.outputs[0].shape, ElementsAre(1, 2));
  EXPECT_EQ(answer.outputs[0].data, Strings({"", "d\0d"}));
  EXPECT_EQ(answer.outputs[1].data, Strings({"2", "4"}));
}

TEST_F(AnswerTest, QuantizesWithTheScalesAskedFor) {
  Make({MakeOutput("y", DataType::kFp32, {-1, 2})});
  const float scales[] = {0.5F, 2.0F};
  Ask(1, {Quantized("y", MessageBuilder().Number(1, 2).Floats(2, scales).Packed(3, {10, 0}).Number(4, 1))});
  const std::vector<float> values{9, 9, 3, 8};
  const RunOutput output{{2, 2}, At(values), {}};
  const DecodedAnswer answer = Answered({&output, 1}, 1);
  EXPECT_EQ(answer.outputs[0].datatype, DataType::kUint8);
  EXPECT_EQ(answer.outputs[0].data, BytesOf<uint8_t>({16, 4}));
  EXPECT_THAT(answer.outputs[0].scales, ElementsAre(0.5F, 2.0F));
  EXPECT_THAT(answer.outputs[0].zero_points, ElementsAre(10, 0));
}

TEST_F(AnswerTest, ChoosesScalesFromItsOwnRowsOnly) {
  OutputSpec across = MakeOutput("z", DataType::kFp32, {2, -1});
  across.batch_axis = 1;
  Make({MakeOutput("y", DataType::kFp32, {-1, 2}), across});
  Ask(1, {Quantized("y", MessageBuilder()), Quantized("z", MessageBuilder().Number(1, 2).Number(4, 0))});
  const std::vector<float> rows{1000, 1000, 254, -127};
  const std::vector<float> columns{1000, 127, 1000, -254};
  const RunOutput outputs[] = {{{2, 2}, At(rows), {}}, {{2, 2}, At(columns), {}}};
  const DecodedAnswer answer = Answered(outputs, 1);
  EXPECT_EQ(answer.outputs[0].datatype, DataType::kInt8);
  EXPECT_THAT(answer.outputs[0].scales, ElementsAre(2.0F))
      << "a neighbour's magnitude is none of its business";
  EXPECT_EQ(answer.outputs[0].data, BytesOf<int8_t>({127, -64}));
  EXPECT_THAT(answer.outputs[1].scales, ElementsAre(1.0F, 2.0F));
  EXPECT_THAT(answer.outputs[1].zero_points, ElementsAre(128, 128));
  EXPECT_EQ(answer.outputs[1].data, BytesOf<uint8_t>({255, 1}));
}

TEST_F(AnswerTest, RefusesScalesForAnotherSizeThanTheRunGave) {
  Make({MakeOutput("y", DataType::kFp32, {-1, -1})});
  const float scales[] = {1, 2, 3};
  Ask(1, {Quantized("y", MessageBuilder().Floats(2, scales).Number(4, 1))});
  const std::vector<float> values(100, 1.0F);
  const RunOutput output{{1, 100}, At(values), {}};
  const Status status = answer_.Plan(*call_->entry, {&output, 1}, 0, {});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  ASSERT_EQ(status.violations().size(), 1u);
  EXPECT_EQ(status.violations()[0].field, "outputs[0].quantize.scales");
  EXPECT_THAT(status.message(), HasSubstr("expected 1 or 100"));
  const RunOutput fits{{1, 3}, At(values), {}};
  EXPECT_TRUE(answer_.Plan(*call_->entry, {&fits, 1}, 0, {}).ok());
}

TEST_F(AnswerTest, OfAStreamIsAnEntryWithItsId) {
  Make({MakeOutput("y", DataType::kFp32, {-1})});
  Ask(1, {}, 77);
  const std::vector<float> values{4};
  const RunOutput output{{1}, At(values), {}};
  const std::string encoded = Encode({&output, 1}, 0);
  Fields message(encoded);
  ASSERT_EQ(message.texts[1].size(), 1u);
  Fields entry(message.texts[1][0]);
  EXPECT_EQ(entry.Text(1), "id-1");
  const std::string response = entry.Text(2);
  EXPECT_THAT(DecodedAnswer(response).outputs[0].Floats(), ElementsAre(4));
}

TEST_F(AnswerTest, CanBeReusedForASmallerAnswer) {
  Make({MakeOutput("y", DataType::kFp32, {-1}), MakeOutput("z", DataType::kFp32, {-1})});
  const std::vector<float> values{127, 254};
  const RunOutput outputs[] = {{{2}, At(values), {}}, {{2}, At(values), {}}};
  Ask(2, {Quantized("y", MessageBuilder()), Quantized("z", MessageBuilder().Number(4, 0))});
  EXPECT_EQ(Answered(outputs, 0).outputs[1].scales.size(), 2u);
  Ask(1, {MessageBuilder().Bytes(1, "z")});
  const DecodedAnswer second = Answered(outputs, 1);
  ASSERT_EQ(second.outputs.size(), 1u);
  EXPECT_THAT(second.outputs[0].Floats(), ElementsAre(254));
  EXPECT_TRUE(second.outputs[0].scales.empty());
}

TEST(CheckOutputs, NamesTheOutputAndWhatWasExpected) {
  const std::vector<float> values(64);
  const ModelSpec spec = MakeSpec({}, {MakeOutput("y", DataType::kFp32, {-1, 4, -1})});
  struct Row {
    RunOutput output;
    const char* message;
  };
  const Row rows[] = {
      {{{2, 4, 1}, At(values), {}}, ""},
      {{{2, 4, 0}, nullptr, {}}, ""},
      {{{2, 4}, At(values), {}}, "output 'y' of shape [2,4], expected [2,4,-1]"},
      {{{3, 4, 1}, At(values), {}}, "output 'y' of shape [3,4,1], expected [2,4,-1]"},
      {{{2, 5, 1}, At(values), {}}, "output 'y' of shape [2,5,1], expected [2,4,-1]"},
      {{{}, nullptr, {}}, "output 'y' of shape [], expected [2,4,-1]"},
      {{{2, 4, 1}, nullptr, {}}, "output 'y' without the data of its shape [2,4,1]"},
      {{{2, 4, INT64_MAX}, At(values), {}}, "without the data of its shape"},
  };
  for (const Row& row : rows) {
    const Status status = CheckOutputs(spec, {&row.output, 1}, 2);
    EXPECT_EQ(status.ok(), *row.message == '\0') << ToString(row.output.dims);
    if (status.ok()) continue;
    EXPECT_EQ(status.code(), Code::kInternal);
    EXPECT_EQ(status.reason(), "BAD_MODEL_OUTPUT");
    EXPECT_THAT(status.message(), HasSubstr(row.message));
  }
}

TEST(CheckOutputs, TakesAnyShapeWhereOnlyTheRunTellsIt) {
  const std::vector<float> values(6);
  ModelSpec spec = MakeSpec({}, {MakeOutput("y", DataType::kFp32, {2})});
  spec.outputs[0].batch_axis = -1;
  spec.outputs[0].any_shape = true;
  for (const Dims& dims : {Dims{6}, Dims{2, 3}, Dims{1, 2, 3}, Dims{}}) {
    const RunOutput output{dims, At(values), {}};
    EXPECT_TRUE(CheckOutputs(spec, {&output, 1}, 1).ok()) << ToString(dims);
  }
  const RunOutput empty{{2, 3}, nullptr, {}};
  EXPECT_FALSE(CheckOutputs(spec, {&empty, 1}, 1).ok()) << "the data must be there all the same";
}

TEST(CheckOutputs, CountsStrings) {
  const ModelSpec spec = MakeSpec({}, {MakeOutput("s", DataType::kBytes, {-1})});
  const RunOutput two{{2}, nullptr, {"a", "b"}};
  const RunOutput one{{2}, nullptr, {"a"}};
  EXPECT_TRUE(CheckOutputs(spec, {&two, 1}, 2).ok());
  EXPECT_FALSE(CheckOutputs(spec, {&one, 1}, 2).ok());
}

class SplitTest : public AnswerTest {
 protected:
  // x of 10 rows; the model's largest batch is 8.
  void SetUp() override {
    OutputSpec shared = MakeOutput("c", DataType::kFp32, {1});
    shared.batch_axis = -1;
    OutputSpec across = MakeOutput("z", DataType::kFp32, {2, -1});
    across.batch_axis = 1;
    Make({MakeOutput("y", DataType::kFp32, {-1, -1}), shared, across,
          MakeOutput("s", DataType::kBytes, {-1})});
    Ask(10);
  }
  Slice SliceOf(int64_t begin, int64_t rows) { return {call_->entry, begin, rows}; }

  std::vector<SplitAnswer::Output> parts_;
};

TEST_F(SplitTest, RejoinsSlicesInAnyOrder) {
  const std::vector<float> tail{8, 9};
  const std::vector<float> head{0, 1, 2, 3, 4, 5, 6, 7};
  const std::vector<float> across_tail{8, 9, 108, 109};
  std::vector<float> across_head;
  for (int i = 0; i < 16; ++i) across_head.push_back(static_cast<float>(i < 8 ? i : 92 + i));
  const RunOutput second[] = {
      {{2, 1}, At(tail), {}}, {{1}, At(tail), {}}, {{2, 2}, At(across_tail), {}}, {{2}, nullptr, {"8", "9"}}};
  const RunOutput first[] = {{{8, 1}, At(head), {}},
                             {{1}, At(head), {}},
                             {{2, 8}, At(across_head), {}},
                             {{8}, nullptr, {"0", "1", "2", "3", "4", "5", "6", "7"}}};
  ASSERT_TRUE(OpenSplit(*call_->entry, second, &parts_).ok());
  WriteSlice(*call_->entry, SliceOf(8, 2), second, 0, parts_);
  ASSERT_TRUE(OpenSplit(*call_->entry, first, &parts_).ok());
  WriteSlice(*call_->entry, SliceOf(0, 8), first, 0, parts_);
  const auto* y = reinterpret_cast<const float*>(parts_[0].data.data());
  const auto* z = reinterpret_cast<const float*>(parts_[2].data.data());
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(y[i], static_cast<float>(i));
    EXPECT_EQ(z[i], static_cast<float>(i));
    EXPECT_EQ(z[10 + i], static_cast<float>(100 + i));
    EXPECT_EQ(parts_[3].strings[i], std::to_string(i));
  }
  EXPECT_EQ(*reinterpret_cast<const float*>(parts_[1].data.data()), 0) << "the first slice's value";
  EXPECT_EQ(parts_[2].dims, (Dims{2, 10}));
}

TEST_F(SplitTest, RefusesSlicesThatDoNotFitTogether) {
  const std::vector<float> values(16);
  const RunOutput first[] = {
      {{2, 1}, At(values), {}}, {{1}, At(values), {}}, {{2, 2}, At(values), {}}, {{2}, nullptr, {"8", "9"}}};
  RunOutput second[] = {first[0], first[1], first[2], first[3]};
  second[0].dims = {2, 5};
  ASSERT_TRUE(OpenSplit(*call_->entry, first, &parts_).ok());
  const Status status = OpenSplit(*call_->entry, second, &parts_);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("output 'y' of shape [10,1] and of [10,5]"));
}

TEST_F(SplitTest, SaysWhenThereIsNoMemory) {
  const std::vector<float> values(16);
  RunOutput outputs[] = {
      {{2, 1}, At(values), {}}, {{1}, At(values), {}}, {{2, 2}, At(values), {}}, {{2}, nullptr, {"8", "9"}}};
  outputs[0].dims = {2, int64_t{1} << 36};
  const Status status = OpenSplit(*call_->entry, outputs, &parts_);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.reason(), "OUT_OF_MEMORY");
}

}  // namespace
}  // namespace maas
