#include "maas/wire/predict_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "maas/wire/golden_testing.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/reader.h"
#include "maas/wire/view_text_testing.h"

namespace maas {
namespace {

using testing::Not;
using testing::SizeIs;

// On the heap and exactly as large as the message, so that a sanitizer sees the first byte read beyond it.
std::vector<std::byte> Exactly(std::string_view message) {
  const auto bytes = AsBytes(message);
  return {bytes.begin(), bytes.end()};
}

// Whether `prefix` ends where a field of the outermost message ends: then it is a message itself.
bool EndsBetweenFields(std::string_view prefix) {
  Reader in(AsBytes(prefix));
  while (!in.done()) {
    uint32_t tag;
    if (!in.ReadTag(&tag) || !in.Skip(tag)) return false;
  }
  return true;
}

TEST(PredictDecoder, ReadsAndRefusesWhatProtobufAndTheLimitsSay) {
  const std::vector<GoldenCase> cases = GoldenCases("predict");
  ASSERT_THAT(cases, Not(SizeIs(0)));
  PredictRequestView view;  // One for all: nothing of a case may be left for the next.
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    const std::vector<std::byte> message = Exactly(c.message);
    const Status status = DecodePredictRequest(message, &view);
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

TEST(PredictDecoder, TakesAPrefixOfAMessageExactlyWhenItEndsBetweenFields) {
  PredictRequestView view;
  for (const GoldenCase& c : GoldenCases("predict")) {
    SCOPED_TRACE(c.name);
    for (size_t size = 0; size < c.message.size(); ++size) {
      const std::string_view prefix = std::string_view(c.message).substr(0, size);
      const std::vector<std::byte> message = Exactly(prefix);
      const bool ok = DecodePredictRequest(message, &view).ok();
      PeekRequestId(message);
      if (c.valid) {
        EXPECT_EQ(ok, EndsBetweenFields(prefix)) << size;
      }
    }
  }
}

TEST(PredictDecoder, SurvivesRandomBytesAndBitFlips) {
  std::mt19937 random(20);  // The same bytes in every run.
  PredictRequestView view;
  std::vector<std::span<const std::byte>> requests;
  const std::vector<GoldenCase> cases = GoldenCases("predict");
  ASSERT_THAT(cases, Not(SizeIs(0)));
  int taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = cases[random() % cases.size()].message;
    for (size_t flips = 1 + random() % 4; flips > 0 && !text.empty(); --flips) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const std::vector<std::byte> message = Exactly(text);
    taken += DecodePredictRequest(message, &view).ok() ? 1 : 0;
    EXPECT_LE(view.inputs.size(), kMaxTensors);
    (void)SplitPredictStreamRequest(message, &requests);
    EXPECT_LE(PeekRequestId(message).size(), kMaxNameBytes);
  }
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, 20000);
}

TEST(PredictDecoder, BorrowsPayloadsAndTextsFromTheMessage) {
  const std::string message =
      MessageBuilder().Bytes(1, "id").Message(5, TensorMessage("x", 12, {2}, "12345678")).str();
  PredictRequestView view;
  ASSERT_TRUE(DecodePredictRequest(AsBytes(message), &view).ok());
  EXPECT_EQ(view.id.data(), message.data() + 2);
  EXPECT_EQ(view.inputs[0].data.data(), AsBytes(message).data() + message.size() - 8);
}

TEST(PredictDecoder, KeepsTheMemoryOfAViewThatIsUsedAgain) {
  const std::string message = MessageBuilder().Message(5, TensorMessage("x", 12, {2}, "12345678")).str();
  PredictRequestView view;
  ASSERT_TRUE(DecodePredictRequest(AsBytes(message), &view).ok());
  const TensorView* const memory = view.inputs.data();
  ASSERT_TRUE(DecodePredictRequest(AsBytes(message), &view).ok());
  EXPECT_EQ(view.inputs.data(), memory);
  EXPECT_THAT(view.inputs, SizeIs(1));
}

TEST(PredictDecoder, TakesTheMostThatEachLimitAllows) {
  const std::vector<float> scales(kMaxScales, 0.5F);
  MessageBuilder quantization;
  quantization.Floats(1, scales).Bytes(2, std::string(kMaxScales, '\1'));
  const std::string message = MessageBuilder()
                                  .Bytes(1, std::string(kMaxNameBytes, 'i'))
                                  .Bytes(2, std::string(kMaxNameBytes, 'm'))
                                  .Bytes(4, std::string(kMaxLabelBytes, 'l'))
                                  .Message(5, MessageBuilder().Message(5, quantization))
                                  .Number(7, kMaxTimeoutUs)
                                  .str();
  PredictRequestView view;
  const Status status = DecodePredictRequest(AsBytes(message), &view);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(view.inputs[0].quantization->scales, scales);
  EXPECT_EQ(view.inputs[0].quantization->zero_points, std::vector<int32_t>(kMaxScales, 1));
  EXPECT_EQ(view.timeout_us, kMaxTimeoutUs);
}

TEST(PredictDecoder, RefusesMoreScalesAndZeroPointsThanTheLimit) {
  const std::vector<float> scales(kMaxScales, 0.5F);
  const std::string ones(kMaxScales, '\1');
  const std::string one_float(4, '\1');
  const auto fails_at = [](const MessageBuilder& quantization) {
    PredictRequestView view;
    const MessageBuilder message = MessageBuilder().Message(5, MessageBuilder().Message(5, quantization));
    const Status status = DecodePredictRequest(message.bytes(), &view);
    return status.ok() ? "" : status.violations()[0].field;
  };
  const std::string scales_field = "inputs[0].quantization.scales";
  const std::string zero_points_field = "inputs[0].quantization.zero_points";
  EXPECT_EQ(fails_at(MessageBuilder().Floats(1, scales).Bytes(1, one_float)), scales_field);
  EXPECT_EQ(fails_at(MessageBuilder().Floats(1, scales).Tag(1, WireType::kFixed32).Raw(one_float)),
            scales_field);
  EXPECT_EQ(fails_at(MessageBuilder().Bytes(2, ones).Bytes(2, "\1")), zero_points_field);
  EXPECT_EQ(fails_at(MessageBuilder().Bytes(2, ones).Number(2, 1)), zero_points_field);
}

TEST(PredictDecoder, SaysWhatWasExpectedAndWhatCame) {
  const auto message_of = [](const MessageBuilder& message) {
    PredictRequestView view;
    return DecodePredictRequest(message.bytes(), &view).message();
  };
  EXPECT_EQ(message_of(MessageBuilder().Bytes(2, std::string(300, 'm'))),
            "model: expected at most 256 bytes, got 300");
  EXPECT_EQ(message_of(MessageBuilder().Bytes(1, "\xff")), "id: expected UTF-8, got bytes that are not");
  EXPECT_EQ(message_of(MessageBuilder().Number(7, -5)),
            "timeout_us: expected 0 to 86400000000 microseconds, got -5");
  EXPECT_EQ(message_of(MessageBuilder().Message(5, MessageBuilder().Bytes(3, std::string(17, '\1')))),
            "inputs[0].shape: expected at most 16 dimensions, got more");
  EXPECT_EQ(message_of(MessageBuilder().Message(6, MessageBuilder().Raw("\x0a"))),
            "outputs[0]: expected a protobuf message, got malformed bytes: truncated varint");
}

TEST(SplitPredictStreamRequest, ReadsAndRefusesWhatProtobufDoes) {
  const std::vector<GoldenCase> cases = GoldenCases("predict_stream");
  ASSERT_THAT(cases, Not(SizeIs(0)));
  std::vector<std::span<const std::byte>> requests;
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    const std::vector<std::byte> message = Exactly(c.message);
    const Status status = SplitPredictStreamRequest(message, &requests);
    ASSERT_EQ(status.ok(), c.valid);
    if (!c.valid) {
      EXPECT_EQ(status.violations()[0].field, c.expect);
      continue;
    }
    std::string text;
    PredictRequestView view;
    for (const auto request : requests) {
      ASSERT_TRUE(DecodePredictRequest(request, &view).ok());
      text += "requests {\n" + ViewText::Of(view, 2) + "}\n";
    }
    EXPECT_EQ(text, c.expect);
  }
}

TEST(SplitPredictStreamRequest, LeavesABadRequestToItsOwnDecoding) {
  const MessageBuilder message = MessageBuilder().Bytes(1, "\xff").Bytes(1, "");
  std::vector<std::span<const std::byte>> requests;
  ASSERT_TRUE(SplitPredictStreamRequest(message.bytes(), &requests).ok());
  ASSERT_THAT(requests, SizeIs(2));
  PredictRequestView view;
  EXPECT_FALSE(DecodePredictRequest(requests[0], &view).ok());
  EXPECT_TRUE(DecodePredictRequest(requests[1], &view).ok());
}

TEST(SplitPredictStreamRequest, TakesAsManyRequestsAsTheLimitAndNoMore) {
  MessageBuilder message;
  std::vector<std::span<const std::byte>> requests;
  for (size_t i = 0; i < kMaxStreamRequests; ++i) message.Bytes(1, "");
  ASSERT_TRUE(SplitPredictStreamRequest(message.bytes(), &requests).ok());
  EXPECT_THAT(requests, SizeIs(kMaxStreamRequests));
  message.Bytes(1, "");
  const Status status = SplitPredictStreamRequest(message.bytes(), &requests);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.message(), "requests: expected at most 4096 entries, got more");
}

TEST(PeekRequestId, FindsTheLastIdBeforeTheDamage) {
  EXPECT_EQ(PeekRequestId({}), "");
  EXPECT_EQ(PeekRequestId(MessageBuilder().Bytes(2, "m").Bytes(1, "a").Bytes(1, "b").bytes()), "b");
  EXPECT_EQ(PeekRequestId(MessageBuilder().Bytes(1, "a").Raw("\x0a\x05x").bytes()), "a");
  EXPECT_EQ(PeekRequestId(MessageBuilder().Bytes(1, "a").Raw("\x7e").Bytes(1, "b").bytes()), "a");
  EXPECT_EQ(PeekRequestId(MessageBuilder().Bytes(5, "\xff\xff").Bytes(1, "a").bytes()), "a");
}

TEST(PeekRequestId, FindsNoIdThatCouldNotBeSentBack) {
  EXPECT_EQ(PeekRequestId(MessageBuilder().Bytes(1, std::string(257, 'a')).bytes()), "");
  EXPECT_EQ(PeekRequestId(MessageBuilder().Bytes(1, "\xc3").bytes()), "");
}

}  // namespace
}  // namespace maas
