#include "maas/wire/model_infer_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "maas/wire/decoding.h"
#include "maas/wire/golden_testing.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/view_text_testing.h"

namespace maas {
namespace {

using testing::AnyOf;
using testing::Not;
using testing::SizeIs;

// On the heap and exactly as large as the message, so that a sanitizer sees the first byte read beyond it.
std::vector<std::byte> Exactly(std::string_view message) {
  const auto bytes = AsBytes(message);
  return {bytes.begin(), bytes.end()};
}

bool EndsBetweenFields(std::string_view prefix) {
  Reader in(AsBytes(prefix));
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag) || !in.Skip(tag)) return false;
  }
  return true;
}

MessageBuilder Input(std::string_view name, std::string_view datatype, std::initializer_list<int64_t> shape) {
  return MessageBuilder().Bytes(1, name).Bytes(2, datatype).Packed(3, shape);
}
MessageBuilder Entry(std::string_view key, const MessageBuilder& value) {
  return MessageBuilder().Bytes(1, key).Message(2, value);
}
MessageBuilder Integer(int64_t value) { return MessageBuilder().Number(2, value); }
MessageBuilder Text(std::string_view value) { return MessageBuilder().Bytes(3, value); }

// The error's message, empty if there is none.
std::string Refusal(const MessageBuilder& message) {
  PredictRequestView view;
  const Status status = DecodeModelInferRequest(message.bytes(), &view);
  return status.ok() ? "" : status.message();
}

TEST(ModelInferDecoder, ReadsAndRefusesWhatProtobufAndTheLimitsSay) {
  const std::vector<GoldenCase> cases = GoldenCases("model_infer");
  ASSERT_THAT(cases, Not(SizeIs(0)));
  PredictRequestView view;  // One for all: nothing of a case may be left for the next.
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    const std::vector<std::byte> message = Exactly(c.message);
    const Status status = DecodeModelInferRequest(message, &view);
    if (c.valid) {
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(ViewText::Of(view), c.expect);
    } else {
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.code(), Code::kInvalidArgument);
      ASSERT_THAT(status.violations(), SizeIs(1));
      EXPECT_EQ(status.violations()[0].field, c.expect);
    }
  }
}

TEST(ModelInferDecoder, TakesAPrefixOnlyWhenItEndsBetweenFields) {
  PredictRequestView view;
  int taken = 0;
  for (const GoldenCase& c : GoldenCases("model_infer")) {
    SCOPED_TRACE(c.name);
    for (size_t size = 0; size < c.message.size(); ++size) {
      const std::string_view prefix = std::string_view(c.message).substr(0, size);
      const std::vector<std::byte> message = Exactly(prefix);
      const Status status = DecodeModelInferRequest(message, &view);
      if (!c.valid) continue;
      // Between fields it may lack a tensor's raw contents still, or the entry that overrides a bad one.
      if (!EndsBetweenFields(prefix)) {
        EXPECT_FALSE(status.ok()) << size;
      } else if (!status.ok()) {
        EXPECT_THAT(status.violations()[0].field, AnyOf("raw_input_contents", "parameters.timeout")) << size;
      }
      taken += status.ok() ? 1 : 0;
    }
  }
  EXPECT_GT(taken, 100);
}

TEST(ModelInferDecoder, SurvivesRandomBytesAndBitFlips) {
  std::mt19937 random(22);  // The same bytes in every run.
  PredictRequestView view;
  const std::vector<GoldenCase> cases = GoldenCases("model_infer");
  ASSERT_THAT(cases, Not(SizeIs(0)));
  int taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = cases[random() % cases.size()].message;
    for (size_t flips = 1 + random() % 4; flips > 0 && !text.empty(); --flips) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const std::vector<std::byte> message = Exactly(text);
    taken += DecodeModelInferRequest(message, &view).ok() ? 1 : 0;
    EXPECT_LE(view.inputs.size(), kMaxTensors);
  }
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, 20000);
}

TEST(ModelInferDecoder, BorrowsPayloadsAndTextsFromTheMessage) {
  const std::string message =
      MessageBuilder().Bytes(1, "m").Message(5, Input("x", "FP32", {2})).Bytes(7, "12345678").str();
  PredictRequestView view;
  ASSERT_TRUE(DecodeModelInferRequest(AsBytes(message), &view).ok());
  EXPECT_EQ(view.model.data(), message.data() + 2);
  EXPECT_EQ(view.inputs[0].data.data(), AsBytes(message).data() + message.size() - 8);
  EXPECT_TRUE(view.inputs[0].owned.empty());
}

TEST(ModelInferDecoder, WhatWasConvertedMovesWithTheView) {
  const MessageBuilder contents = MessageBuilder().Packed(2, {1, -1});
  const MessageBuilder message = MessageBuilder()
                                     .Message(5, Input("x", "INT8", {2}).Message(5, contents))
                                     .Message(5, Input("y", "INT8", {0}));
  PredictRequestView view;
  ASSERT_TRUE(DecodeModelInferRequest(message.bytes(), &view).ok());
  const PredictRequestView moved = std::move(view);
  EXPECT_EQ(AsText(moved.inputs[0].data), "\x01\xff");
}

TEST(ModelInferDecoder, KeepsTheMemoryOfAViewThatIsUsedAgainAndNothingElse) {
  const std::string full =
      MessageBuilder()
          .Message(4, Entry("priority", Integer(2)))
          .Message(4, Entry("binary_data_output", MessageBuilder().Number(1, 0)))
          .Message(4, Entry("timeout", Integer(5)))
          .Message(5, Input("x", "INT8", {2}).Message(4, Entry("scale", Integer(1))))
          .Message(6, MessageBuilder().Bytes(1, "y").Message(2, Entry("classification", Integer(3))))
          .Bytes(7, "12")
          .str();
  PredictRequestView view;
  ASSERT_TRUE(DecodeModelInferRequest(AsBytes(full), &view).ok());
  EXPECT_EQ(view.priority, 2U);
  EXPECT_TRUE(view.typed);
  EXPECT_EQ(view.outputs[0].classification, 3);
  const TensorView* const memory = view.inputs.data();
  const std::string plain = MessageBuilder().Message(5, Input("x", "INT8", {2})).Bytes(7, "12").str();
  ASSERT_TRUE(DecodeModelInferRequest(AsBytes(plain), &view).ok());
  EXPECT_EQ(view.inputs.data(), memory);
  EXPECT_EQ(view.priority, 0U);
  EXPECT_FALSE(view.typed);
  EXPECT_EQ(view.timeout_us, 0);
  EXPECT_EQ(view.inputs[0].quantization, nullptr);
  EXPECT_THAT(view.outputs, SizeIs(0));
}

TEST(ModelInferDecoder, BinaryDataOutputDecidesTheFormOfTheAnswer) {
  PredictRequestView view;
  for (const int64_t binary : {0, 1}) {
    const MessageBuilder message =
        MessageBuilder().Message(4, Entry("binary_data_output", MessageBuilder().Number(1, binary)));
    ASSERT_TRUE(DecodeModelInferRequest(message.bytes(), &view).ok());
    EXPECT_EQ(view.typed, binary == 0);
  }
}

TEST(ModelInferDecoder, FindsSharedMemoryOfInputsAndOutputs) {
  const auto placed = [](MessageBuilder tensor, uint32_t field, int64_t offset) {
    return tensor.Message(field, Entry("shared_memory_region", Text("in")))
        .Message(field, Entry("shared_memory_byte_size", MessageBuilder().Number(5, 8)))
        .Message(field, Entry("shared_memory_offset", Integer(offset)));
  };
  const MessageBuilder message = MessageBuilder()
                                     .Message(5, placed(Input("x", "FP32", {2}), 4, 16))
                                     .Message(5, Input("y", "UINT8", {1}))
                                     .Message(6, placed(MessageBuilder().Bytes(1, "z"), 2, 0))
                                     .Bytes(7, "1");
  PredictRequestView view;
  const Status status = DecodeModelInferRequest(message.bytes(), &view);
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_NE(view.inputs[0].shared, nullptr);
  EXPECT_EQ(view.inputs[0].shared->region, "in");
  EXPECT_EQ(view.inputs[0].shared->offset, 16U);
  EXPECT_EQ(view.inputs[0].shared->size, 8U);
  EXPECT_TRUE(view.inputs[0].data.empty());
  EXPECT_EQ(view.inputs[1].shared, nullptr);
  EXPECT_EQ(AsText(view.inputs[1].data), "1") << "the first that is not in shared memory";
  ASSERT_NE(view.outputs[0].shared, nullptr);
  EXPECT_EQ(view.outputs[0].shared->size, 8U);
}

TEST(ModelInferDecoder, SaysWhatWasExpectedAndWhatCame) {
  const MessageBuilder x = Input("x", "INT8", {2});
  const MessageBuilder typed = Input("x", "INT8", {2}).Message(5, MessageBuilder().Packed(2, {1, 2}));
  EXPECT_EQ(
      Refusal(MessageBuilder().Message(5, Input("x", "FLOAT", {1}))),
      "inputs[0].datatype: expected BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, "
      "BF16, FP32, FP64 or BYTES, got 'FLOAT'");
  EXPECT_EQ(Refusal(MessageBuilder().Message(5, x).Bytes(7, "").Bytes(7, "")),
            "raw_input_contents: expected 1 entries, one per input that is not in shared memory, got 2");
  EXPECT_EQ(Refusal(MessageBuilder().Message(5, typed).Bytes(7, "12")),
            "inputs[0].contents: expected none, as the request has raw_input_contents, got 2 elements");
  EXPECT_EQ(Refusal(MessageBuilder().Message(
                5, Input("x", "INT8", {1}).Message(5, MessageBuilder().Packed(2, {300})))),
            "inputs[0].contents.int_contents[0]: expected -128 to 127, got 300");
  EXPECT_EQ(Refusal(MessageBuilder().Bytes(2, "0")),
            "model_version: expected a number from 1 to 9223372036854775807, a label or none, got 0");
  EXPECT_EQ(Refusal(MessageBuilder().Message(4, Entry("timeout", Integer(-5)))),
            "parameters.timeout: expected 0 to 86400000000, got -5");
  EXPECT_EQ(Refusal(MessageBuilder().Message(4, Entry("priority", Text("high")))),
            "parameters.priority: expected an integer, got 'high'");
  EXPECT_EQ(
      Refusal(MessageBuilder().Message(6, MessageBuilder().Message(2, Entry("quantize", Text("FP16"))))),
      "outputs[0].parameters.quantize: expected INT8 or UINT8, got 'FP16'");
  EXPECT_EQ(
      Refusal(MessageBuilder().Message(6, MessageBuilder().Message(2, Entry("axis", Integer(1))))),
      "outputs[0].parameters.quantize: expected INT8 or UINT8 beside scale, zero_point and axis, got none");
  EXPECT_EQ(
      Refusal(MessageBuilder().Message(
          6, MessageBuilder().Message(2, Entry("shared_memory_byte_size", Integer(1))))),
      "outputs[0].parameters.shared_memory_region: expected one beside shared_memory_byte_size, got none");
  EXPECT_EQ(
      Refusal(MessageBuilder().Message(5, MessageBuilder(typed)
                                              .Message(4, Entry("shared_memory_region", Text("r")))
                                              .Message(4, Entry("shared_memory_byte_size", Integer(1))))),
      "inputs[0].contents: expected none beside shared_memory_region, got 2 elements");
}

}  // namespace
}  // namespace maas
