// What an Answer does besides copying elements: typed values, classes, shared memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "maas/base/shared_memory_testing.h"
#include "maas/exec/answer.h"
#include "maas/exec/exec_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

template <typename T>
const std::byte* At(const std::vector<T>& values) {
  return reinterpret_cast<const std::byte*>(values.data());
}

// A ModelInferResponse.
struct InferAnswer {
  struct Output {
    std::string name;
    std::string datatype;
    std::vector<int64_t> shape;
    std::map<std::string, std::string> parameters;  // The InferParameter as it is.
    std::string contents;
  };

  explicit InferAnswer(std::string_view message) {
    Fields fields(message);
    for (std::string_view bytes : fields.texts[5]) {
      Fields in(bytes);
      Output& output = outputs.emplace_back();
      output = {in.Text(1), in.Text(2), in.Packed(3), {}, in.Text(5)};
      for (std::string_view entry : in.texts[4]) {
        Fields parameter(entry);
        output.parameters[parameter.Text(1)] = parameter.Text(2);
      }
    }
    for (std::string_view bytes : fields.texts[6]) raw.emplace_back(bytes);
  }

  std::vector<Output> outputs;
  std::vector<std::string> raw;
};

// A model whose only input is x [-1], asked through the Open Inference Protocol.
class AnswerFormsTest : public testing::Test {
 protected:
  static MessageBuilder Entry(std::string_view key, const MessageBuilder& value) {
    return MessageBuilder().Bytes(1, key).Message(2, value);
  }
  static MessageBuilder Integer(int64_t value) { return MessageBuilder().Number(2, value); }
  static MessageBuilder Text(std::string_view value) { return MessageBuilder().Bytes(3, value); }
  static MessageBuilder Wanted(std::string_view name, const std::vector<MessageBuilder>& entries) {
    MessageBuilder output;
    output.Bytes(1, name);
    for (const MessageBuilder& entry : entries) output.Message(2, entry);
    return output;
  }
  static std::vector<MessageBuilder> Placed(int64_t offset, int64_t size) {
    return {Entry("shared_memory_region", Text("r")), Entry("shared_memory_offset", Integer(offset)),
            Entry("shared_memory_byte_size", Integer(size))};
  }

  void Make(std::vector<OutputSpec> outputs) {
    version_ = MakeVersion(MakeSpec({MakeInput("x", DataType::kFp32, {-1})}, std::move(outputs)), &clock_);
  }
  void Ask(int64_t rows, const std::vector<MessageBuilder>& wanted, bool typed = false) {
    MessageBuilder request;
    request.Bytes(1, "m")
        .Message(5, MessageBuilder().Bytes(1, "x").Bytes(2, "FP32").Packed(3, {rows}))
        .Bytes(7, std::string(static_cast<size_t>(rows) * sizeof(float), '\0'));
    for (const MessageBuilder& output : wanted) request.Message(6, output);
    if (typed) request.Message(4, Entry("binary_data_output", MessageBuilder().Number(1, 0)));
    call_ = Send(version_, &sink_, request, 0, &ModelInferCodec());
    for (BoundOutput& output : call_->entry->bound.outputs) {
      if (output.shared != nullptr) output.shared->memory = region_;
    }
  }
  void Share(const TestMemory& memory, uint64_t size) {
    const Status status = SharedRegion::Open("r", memory.key(), 0, size, &region_);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  InferAnswer Answered(std::span<const RunOutput> outputs, int64_t row) {
    const Status status = answer_.Plan(*call_->entry, outputs, row, {});
    EXPECT_TRUE(status.ok()) << status.message();
    std::string out(answer_.size() + 1, '\xEE');
    answer_.Write(reinterpret_cast<std::byte*>(out.data()));
    EXPECT_EQ(out.back(), '\xEE') << "wrote beyond its size";
    out.pop_back();
    return InferAnswer(out);
  }
  std::string Refused(std::span<const RunOutput> outputs, int64_t row) {
    const Status status = answer_.Plan(*call_->entry, outputs, row, {});
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    return status.ok() ? "" : status.message();
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  std::shared_ptr<SharedRegion> region_;
  std::unique_ptr<Call> call_;
  Answer answer_;
};

TEST_F(AnswerFormsTest, WhatARefusedAnswerLeftUndoneIsNotDoneForTheNext) {
  const TestMemory memory("........");
  Share(memory, 8);
  Make({MakeOutput("y", DataType::kFp32, {-1}), MakeOutput("z", DataType::kFp32, {-1})});
  const std::vector<float> values{1, 2};
  const std::vector<RunOutput> outputs(2, RunOutput{{2}, At(values), {}});
  Ask(2, {Wanted("y", {Entry("quantize", Text("INT8"))}), Wanted("z", Placed(0, 4))});
  EXPECT_NE(Refused(outputs, 0), "");
  // Scales were to be chosen for y; no sanitizer may see that happen now.
  Ask(2, {Wanted("y", Placed(0, 8))});
  EXPECT_EQ(Answered(outputs, 0).outputs[0].datatype, "FP32");
  EXPECT_EQ(memory.Content(), BytesOf<float>({1, 2}));
}

TEST_F(AnswerFormsTest, AnAnswerLargerThanTheFrontSendsIsRefusedByItsSize) {
  Make({MakeOutput("y", DataType::kInt8, {-1})});
  const std::vector<int8_t> values(50, -1);
  const RunOutput output{{50}, reinterpret_cast<const std::byte*>(values.data()), {}};
  for (const bool typed : {false, true}) {
    Ask(50, {}, typed);
    ASSERT_TRUE(answer_.Plan(*call_->entry, {&output, 1}, 0, {}).ok());
    const size_t size = answer_.size();
    for (const size_t limit : {size, size - 1, size_t{49}}) {
      call_->entry->reply.max_bytes = limit;
      const Status status = answer_.Plan(*call_->entry, {&output, 1}, 0, {});
      EXPECT_EQ(status.ok(), limit == size) << limit;
      if (status.ok()) continue;
      EXPECT_EQ(status.code(), Code::kResourceExhausted);
      EXPECT_EQ(status.reason(), "ANSWER_TOO_LARGE");
      EXPECT_NE(status.message().find("at most " + std::to_string(limit) + " bytes"), std::string::npos);
    }
  }
}

// Sanitizers have an allocator of their own, of which this tells nothing.
size_t MappedBytes() { return mallinfo2().hblkhd; }

TEST_F(AnswerFormsTest, ALargeAnswerLeavesNoMemoryBehind) {
  constexpr size_t kLarge = size_t{64} << 20;  // Always in a mapping of its own.
  const std::string text(kLarge, 't');
  Make({MakeOutput("y", DataType::kBytes, {-1})});
  Ask(1, {});
  const size_t before = MappedBytes();
  EXPECT_EQ(Answered({{{{1}, nullptr, {text}}}}, 0).raw[0].size(), kLarge + sizeof(uint32_t));
  EXPECT_LT(MappedBytes(), before + kLarge);
}

TEST_F(AnswerFormsTest, TypedValuesHoldTheRowsOfTheirRequest) {
  OutputSpec across = MakeOutput("n", DataType::kInt32, {2, -1});
  across.batch_axis = 1;
  Make({MakeOutput("f", DataType::kFp32, {-1}), across, MakeOutput("s", DataType::kBytes, {-1}),
        MakeOutput("b", DataType::kBool, {-1})});
  Ask(2, {}, true);
  const std::vector<float> floats{9, 1.5F, -2};
  const std::vector<int32_t> numbers{9, 1, -1, 9, 300, 4};
  const std::vector<uint8_t> bools{0, 0x80, 0};  // A model may pass on what it was given.
  const RunOutput outputs[] = {{{3}, At(floats), {}},
                               {{2, 3}, At(numbers), {}},
                               {{3}, nullptr, {"9", "ab", ""}},
                               {{3}, At(bools), {}}};
  const InferAnswer answer = Answered(outputs, 1);
  EXPECT_THAT(answer.raw, IsEmpty());
  ASSERT_EQ(answer.outputs.size(), 4U);
  const float wanted[] = {1.5F, -2};
  EXPECT_EQ(answer.outputs[0].contents, MessageBuilder().Floats(6, wanted).str());
  EXPECT_EQ(answer.outputs[1].contents, MessageBuilder().Packed(2, {1, -1, 300, 4}).str());
  EXPECT_EQ(answer.outputs[2].contents, MessageBuilder().Bytes(8, "ab").Bytes(8, "").str());
  EXPECT_EQ(answer.outputs[3].contents, MessageBuilder().Packed(1, {1, 0}).str());
}

TEST_F(AnswerFormsTest, TypedValuesMayBeQuantized) {
  Make({MakeOutput("y", DataType::kFp32, {-1, 2})});
  Ask(1, {Wanted("y", {Entry("quantize", Text("INT8"))})}, true);
  const std::vector<float> values{1000, 1000, 254, -127};
  const RunOutput output{{2, 2}, At(values), {}};
  const InferAnswer answer = Answered({&output, 1}, 1);
  EXPECT_EQ(answer.outputs[0].datatype, "INT8");
  EXPECT_EQ(answer.outputs[0].contents, MessageBuilder().Packed(2, {127, -64}).str());
  const double scale = 2.0;
  EXPECT_EQ(answer.outputs[0].parameters.at("scale"),
            MessageBuilder()
                .Tag(4, WireType::kFixed64)
                .Raw({reinterpret_cast<const char*>(&scale), sizeof(scale)})
                .str());
  EXPECT_EQ(answer.outputs[0].parameters.at("zero_point"), Integer(0).str());
}

TEST_F(AnswerFormsTest, ScalesChosenPerAxisFitTheSizeThatWasPlanned) {
  Make({MakeOutput("y", DataType::kFp32, {-1, 2})});
  Ask(1, {Wanted("y", {Entry("quantize", Text("UINT8")), Entry("axis", Integer(1))})});
  const std::vector<float> values{1.27e-30F, 1.27e30F};
  const RunOutput output{{1, 2}, At(values), {}};
  const InferAnswer answer = Answered({&output, 1}, 0);
  EXPECT_EQ(answer.outputs[0].datatype, "UINT8");
  EXPECT_EQ(answer.raw[0], "\xff\xff");
  EXPECT_EQ(answer.outputs[0].parameters.at("zero_point"), Text("128,128").str());
  EXPECT_EQ(answer.outputs[0].parameters.at("scale").size(), Text(std::string(29, ' ')).str().size());
}

TEST_F(AnswerFormsTest, ClassesAreGivenPerRow) {
  OutputSpec scores = MakeOutput("y", DataType::kFp32, {-1, 3});
  scores.labels = {"cat", "dog"};
  OutputSpec across = MakeOutput("n", DataType::kInt64, {2, -1});
  across.batch_axis = 1;
  OutputSpec whole = MakeOutput("w", DataType::kFp32, {2, 2});
  whole.batch_axis = -1;
  Make({scores, across, whole});
  const std::vector<MessageBuilder> two{Entry("classification", Integer(2))};
  Ask(2, {Wanted("y", two), Wanted("n", two), Wanted("w", two)});
  const std::vector<float> values{9, 9, 9, 0.5F, 0.25F, 0.125F, 1, 3, 2};
  const std::vector<int64_t> numbers{9, 1, 4, 9, 2, 3};
  const std::vector<float> shared{1, 4, 3, 2};
  const RunOutput outputs[] = {{{3, 3}, At(values), {}}, {{2, 3}, At(numbers), {}}, {{2, 2}, At(shared), {}}};
  const InferAnswer answer = Answered(outputs, 1);
  EXPECT_EQ(answer.outputs[0].datatype, "BYTES");
  EXPECT_THAT(answer.outputs[0].shape, ElementsAre(2, 2));
  EXPECT_EQ(answer.raw[0], Strings({"0.500000:0:cat", "0.250000:1:dog", "3.000000:1:dog", "2.000000:2"}));
  EXPECT_THAT(answer.outputs[1].shape, ElementsAre(2, 2));
  EXPECT_EQ(answer.raw[1], Strings({"2:1", "1:0", "4:0", "3:1"}));
  EXPECT_THAT(answer.outputs[2].shape, ElementsAre(2)) << "there are no rows to tell apart";
  EXPECT_EQ(answer.raw[2], Strings({"4.000000:1", "3.000000:2"}));
}

TEST_F(AnswerFormsTest, FewerClassesThanAskedForAndNoneAtAll) {
  Make({MakeOutput("y", DataType::kFp32, {-1, -1})});
  Ask(1, {Wanted("y", {Entry("classification", Integer(5))})}, true);
  const std::vector<float> values{1, 2};
  const RunOutput some{{1, 2}, At(values), {}};
  const InferAnswer answer = Answered({&some, 1}, 0);
  EXPECT_THAT(answer.outputs[0].shape, ElementsAre(1, 2));
  EXPECT_EQ(answer.outputs[0].contents, MessageBuilder().Bytes(8, "2.000000:1").Bytes(8, "1.000000:0").str());
  const RunOutput none{{1, 0}, nullptr, {}};
  EXPECT_THAT(Answered({&none, 1}, 0).outputs[0].shape, ElementsAre(1, 0));
}

TEST_F(AnswerFormsTest, SharedMemoryTakesTheDataAndTheAnswerSaysWhere) {
  Make({MakeOutput("y", DataType::kFp32, {-1}), MakeOutput("s", DataType::kBytes, {-1}),
        MakeOutput("z", DataType::kFp32, {-1})});
  const TestMemory memory(std::string(32, '.'));
  Share(memory, 32);
  const std::vector<float> values{1, 2, 3};
  const RunOutput outputs[] = {{{3}, At(values), {}}, {{3}, nullptr, {"9", "ab", ""}}, {{3}, At(values), {}}};
  for (const bool typed : {false, true}) {
    Ask(2, {Wanted("y", Placed(2, 10)), Wanted("s", Placed(12, 20)), Wanted("z", {})}, typed);
    const InferAnswer answer = Answered(outputs, 1);
    EXPECT_EQ(memory.Content(), ".." + BytesOf<float>({2, 3}) + ".." + Strings({"ab", ""}) + "..........");
    EXPECT_THAT(answer.outputs[0].shape, ElementsAre(2));
    EXPECT_EQ(answer.outputs[0].parameters.at("shared_memory_region"), Text("r").str());
    EXPECT_EQ(answer.outputs[0].parameters.at("shared_memory_offset"), Integer(2).str());
    EXPECT_EQ(answer.outputs[0].parameters.at("shared_memory_byte_size"), Integer(8).str());
    EXPECT_EQ(answer.outputs[1].parameters.at("shared_memory_byte_size"), Integer(10).str());
    EXPECT_THAT(answer.outputs[2].parameters, IsEmpty());
    if (!typed) {
      EXPECT_THAT(answer.raw, ElementsAre("", "", BytesOf<float>({2, 3})))
          << "clients find theirs by its index";
    }
  }
}

TEST_F(AnswerFormsTest, QuantizedDataGoesToSharedMemoryWithTheScalesOfTheAnswer) {
  Make({MakeOutput("y", DataType::kFp32, {-1, 2})});
  const TestMemory memory("....");
  Share(memory, 4);
  std::vector<MessageBuilder> entries = Placed(1, 2);
  entries.push_back(Entry("quantize", Text("INT8")));
  Ask(1, {Wanted("y", entries)});
  const std::vector<float> values{254, -127};
  const RunOutput output{{1, 2}, At(values), {}};
  const InferAnswer answer = Answered({&output, 1}, 0);
  EXPECT_EQ(memory.Content(), "." + BytesOf<int8_t>({127, -64}) + ".");
  EXPECT_TRUE(answer.outputs[0].parameters.contains("scale"));
}

TEST_F(AnswerFormsTest, RefusesSharedMemoryThatIsTooSmallOrGone) {
  Make({MakeOutput("y", DataType::kFp32, {-1})});
  TestMemory memory(std::string(16, '.'));
  Share(memory, 16);
  const std::vector<float> values{1, 2, 3};
  const RunOutput output{{3}, At(values), {}};
  Ask(3, {Wanted("y", Placed(0, 11))});
  EXPECT_EQ(Refused({&output, 1}, 0),
            "outputs[0].parameters.shared_memory_byte_size: expected at least 12 for output 'y', got 11");
  Ask(3, {Wanted("y", Placed(4, 12))});
  memory.Resize(8);
  EXPECT_EQ(Refused({&output, 1}, 0),
            "outputs[0].parameters.shared_memory_region: expected region 'r' to have room for 12 bytes, got "
            "the end "
            "of its memory");
  EXPECT_EQ(memory.Content(), "........") << "not a byte of it";
}

TEST_F(AnswerFormsTest, LeavesNothingForTheNextAnswer) {
  Make({MakeOutput("y", DataType::kFp32, {-1})});
  const TestMemory memory("................");
  Share(memory, 16);
  const std::vector<float> values{1, 2};
  const RunOutput output{{2}, At(values), {}};
  Ask(1, {Wanted("y", Placed(0, 16))});
  Answered({&output, 1}, 0);
  Ask(1, {Wanted("y", {Entry("classification", Integer(1))})});
  EXPECT_THAT(Answered({&output, 1}, 1).raw, ElementsAre(Strings({"2.000000:0"})));
  Ask(1, {});
  const InferAnswer plain = Answered({&output, 1}, 1);
  EXPECT_THAT(plain.raw, ElementsAre(BytesOf<float>({2})));
  EXPECT_EQ(plain.outputs[0].datatype, "FP32");
  EXPECT_THAT(plain.outputs[0].parameters, IsEmpty());
}

}  // namespace
}  // namespace maas
