// Requests whose tensors do not travel as plain bytes of the message, through the whole core.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/base/shared_memory_testing.h"
#include "maas/exec/exec_testing.h"
#include "maas/exec/instance.h"
#include "maas/serving/engine.h"

namespace maas {
namespace {

using testing::HasSubstr;

MessageBuilder Integer(int64_t value) { return MessageBuilder().Number(2, value); }
MessageBuilder Text(std::string_view value) { return MessageBuilder().Bytes(3, value); }

// One model, y [-1] of x [-1], asked through the Open Inference Protocol.
class EngineFormsTest : public testing::Test {
 protected:
  explicit EngineFormsTest(DataType type = DataType::kFp32)
      : version_(MakeVersion(MakeSpec({MakeInput("x", DataType::kInt8, {-1})}, {MakeOutput("y", type, {-1})}),
                             &clock_)),
        engine_({.sweep_interval_ns = 0}, &clock_) {
    auto route = std::make_shared<Route>();
    route->versions = {{1, version_}};
    route->standard = version_;
    engine_.routes().Set("m", route);
  }
  ~EngineFormsTest() override {
    std::vector<std::shared_ptr<QueueItem>> left;
    version_->queue.TakeAll(&left);
  }

  static MessageBuilder& Add(uint32_t field, std::string_view key, const MessageBuilder& value,
                             MessageBuilder* to) {
    return to->Message(field, MessageBuilder().Bytes(1, key).Message(2, value));
  }
  static void Place(uint32_t field, int64_t offset, int64_t size, MessageBuilder* tensor) {
    Add(field, "shared_memory_region", Text("r"), tensor);
    Add(field, "shared_memory_offset", Integer(offset), tensor);
    Add(field, "shared_memory_byte_size", Integer(size), tensor);
  }
  static MessageBuilder Input(int64_t rows) {
    return MessageBuilder().Bytes(1, "x").Bytes(2, "INT8").Packed(3, {rows});
  }

  // The refusal's message, empty if it is taken.
  std::string Submit(const MessageBuilder& request) {
    message_ = MessageBuilder().Bytes(1, "m").Raw(request.str()).str();
    entry_ = nullptr;
    const Status status =
        engine_.Submit(AsBytes(message_), kNever, {&sink_, this, 0, &ModelInferCodec()}, "", &entry_);
    return status.ok() ? "" : status.message();
  }
  std::string Answer(const RunOutput& output) {
    Instance instance(version_);
    EXPECT_TRUE(instance.Next());
    instance.Finish({output});
    instance.Deliver();
    const auto done = sink_.Of(this);
    EXPECT_TRUE(done.status.ok()) << done.status.message();
    return done.bytes;
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  Engine engine_;
  std::string message_;
  std::shared_ptr<Entry> entry_;
};

class EngineHalfTest : public EngineFormsTest {
 protected:
  EngineHalfTest() : EngineFormsTest(DataType::kFp16) {}
};

TEST_F(EngineFormsTest, TensorsComeFromAndGoToSharedMemory) {
  const TestMemory memory("ab..........");
  ASSERT_TRUE(engine_.shared_memory().Register("r", memory.key(), 0, 12).ok());
  MessageBuilder input = Input(2);
  Place(4, 0, 2, &input);
  MessageBuilder output = MessageBuilder().Bytes(1, "y");
  Place(2, 4, 8, &output);
  ASSERT_EQ(Submit(MessageBuilder().Message(5, input).Message(6, output)), "");
  EXPECT_EQ(AsText(entry_->bound.inputs[0].data), "ab");
  // Who is under way keeps its regions.
  engine_.shared_memory().UnregisterAll();
  const std::vector<float> values{1, 2};
  Answer({{2}, reinterpret_cast<const std::byte*>(values.data()), {}});
  EXPECT_EQ(memory.Content(), "ab.." + BytesOf<float>({1, 2}));
  EXPECT_THAT(Submit(MessageBuilder().Message(5, input)),
              HasSubstr("inputs[0].parameters.shared_memory_region"));
}

TEST_F(EngineFormsTest, SharedMemoryIsCheckedBeforeARequestIsTaken) {
  const TestMemory memory("ab");
  ASSERT_TRUE(engine_.shared_memory().Register("r", memory.key(), 0, 2).ok());
  MessageBuilder input = Input(3);
  Place(4, 0, 2, &input);
  EXPECT_EQ(Submit(MessageBuilder().Message(5, input)),
            "inputs[0].data: expected 3 bytes for 'x' (INT8 [3]), got 2");
  MessageBuilder output = MessageBuilder().Bytes(1, "y");
  Place(2, 1, 2, &output);
  EXPECT_EQ(Submit(MessageBuilder().Message(5, Input(1)).Bytes(7, "1").Message(6, output)),
            "outputs[0].parameters.shared_memory_byte_size: expected at most 2 bytes, the size of region "
            "'r', got 2 "
            "from offset 1");
}

TEST_F(EngineFormsTest, NothingIsReadThatTheModelDoesNotTake) {
  TestMemory memory("");
  memory.Resize(kMaxSharedMemoryBytes + 1);  // Takes no pages until somebody writes, or we read.
  ASSERT_TRUE(engine_.shared_memory().Register("r", memory.key(), 0, kMaxSharedMemoryBytes + 1).ok());
  const auto refused = [&](std::string_view name, int64_t rows, int64_t size) {
    MessageBuilder input = MessageBuilder().Bytes(1, name).Bytes(2, "INT8").Packed(3, {rows});
    Place(4, 0, size, &input);
    return Submit(MessageBuilder().Message(5, input));
  };
  EXPECT_EQ(refused("x", 3, int64_t{kMaxSharedMemoryBytes}),
            "inputs[0].data: expected 3 bytes for 'x' (INT8 [3]), got 1073741824");
  EXPECT_THAT(refused("z", 1, 1), HasSubstr("inputs[0].name"));
  ModelSpec spec = version_->spec;
  spec.max_request_rows = int64_t{kMaxSharedMemoryBytes} + 1;
  auto route = std::make_shared<Route>();
  route->standard = MakeVersion(spec, &clock_);
  engine_.routes().Set("m", route);
  EXPECT_EQ(
      refused("x", int64_t{kMaxSharedMemoryBytes} + 1, int64_t{kMaxSharedMemoryBytes} + 1),
      "inputs[0].parameters.shared_memory_byte_size: expected at most 1073741824 bytes, got 1073741825");
}

TEST_F(EngineFormsTest, MemoryThatIsGoneIsSaidOfTheInput) {
  TestMemory memory("0123456789");
  ASSERT_TRUE(engine_.shared_memory().Register("r", memory.key(), 0, 10).ok());
  memory.Resize(4);
  MessageBuilder input = Input(4);
  Place(4, 2, 4, &input);
  EXPECT_EQ(
      Submit(MessageBuilder().Message(5, input)),
      "inputs[0].parameters.shared_memory_region: expected region 'r' to hold 2 bytes more, got the end of "
      "its memory");
}

TEST_F(EngineFormsTest, WhatWasReadFromSharedMemoryIsOurs) {
  const TestMemory memory("ab");
  ASSERT_TRUE(engine_.shared_memory().Register("r", memory.key(), 0, 2).ok());
  MessageBuilder input = Input(2);
  Place(4, 0, 2, &input);
  ASSERT_EQ(Submit(MessageBuilder().Message(5, input)), "");
  ASSERT_TRUE(engine_.shared_memory().List()[0]->Write(0, std::as_bytes(std::span("cd", 2))).ok());
  EXPECT_EQ(AsText(entry_->bound.inputs[0].data), "ab") << "a client may overwrite its memory meanwhile";
}

TEST_F(EngineFormsTest, TypedValuesAreBoundLikeAnyOthers) {
  const MessageBuilder contents = MessageBuilder().Packed(2, {-1, 5});
  MessageBuilder request;
  request.Message(5, Input(2).Message(5, contents));
  Add(4, "binary_data_output", MessageBuilder().Number(1, 0), &request);
  ASSERT_EQ(Submit(request), "");
  EXPECT_EQ(AsText(entry_->bound.inputs[0].data), "\xff\5");
  const std::vector<float> values{1, 2};
  const std::string answer = Answer({{2}, reinterpret_cast<const std::byte*>(values.data()), {}});
  EXPECT_TRUE(Fields(answer).texts[6].empty());
  EXPECT_EQ(Submit(MessageBuilder().Message(5, Input(2))),
            "inputs[0].data: expected 2 bytes for 'x' (INT8 [2]), got 0");
}

TEST_F(EngineHalfTest, AnAnswerThatHasNoTypedFormIsRefusedBeforeTheRun) {
  MessageBuilder request;
  request.Message(5, Input(1)).Bytes(7, "1");
  ASSERT_EQ(Submit(request), "");
  Add(4, "binary_data_output", MessageBuilder().Number(1, 0), &request);
  EXPECT_EQ(
      Submit(request),
      "outputs: expected an answer in raw form for output 'y', as FP16 has no typed form, got a request for "
      "typed values");
  const TestMemory memory("..");
  ASSERT_TRUE(engine_.shared_memory().Register("r", memory.key(), 0, 2).ok());
  MessageBuilder output = MessageBuilder().Bytes(1, "y");
  Place(2, 0, 2, &output);
  EXPECT_EQ(Submit(MessageBuilder(request).Message(6, output)), "") << "shared memory has one form only";
  MessageBuilder quantized = MessageBuilder().Bytes(1, "y");
  Add(2, "quantize", Text("INT8"), &quantized);
  EXPECT_EQ(Submit(MessageBuilder(request).Message(6, quantized)), "");
}

}  // namespace
}  // namespace maas
