#include "maas/wire/tensorflow_predict_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "maas/wire/decoding.h"
#include "maas/wire/golden_testing.h"
#include "maas/wire/message_builder_testing.h"
#include "maas/wire/view_text_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

// On the heap and exactly as large as the message, so that a sanitizer sees the first byte read beyond it.
std::vector<std::byte> Exactly(std::string_view message) {
  const auto bytes = AsBytes(message);
  return {bytes.begin(), bytes.end()};
}

// A map has no order; the golden texts have that of the names.
std::string SortedText(PredictRequestView* view) {
  std::sort(view->inputs.begin(), view->inputs.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  return ViewText::Of(*view);
}

TEST(TensorFlowPredictDecoder, ReadsAndRefusesWhatProtobufAndTheLimitsSay) {
  const std::vector<GoldenCase> cases = GoldenCases("tensorflow_predict");
  ASSERT_THAT(cases, Not(SizeIs(0)));
  PredictRequestView view;  // One for all: nothing of a case may be left for the next.
  for (const GoldenCase& c : cases) {
    SCOPED_TRACE(c.name);
    const std::vector<std::byte> message = Exactly(c.message);
    const Status status = DecodeTensorFlowPredictRequest(message, &view);
    if (c.valid) {
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(SortedText(&view), c.expect);
    } else {
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.code(), Code::kInvalidArgument);
      ASSERT_THAT(status.violations(), SizeIs(1));
      EXPECT_EQ(status.violations()[0].field, c.expect);
    }
  }
}

TEST(TensorFlowPredictDecoder, RefusesAPrefixUnlessItEndsBetweenFields) {
  PredictRequestView view;
  for (const GoldenCase& c : GoldenCases("tensorflow_predict")) {
    if (!c.valid) continue;
    SCOPED_TRACE(c.name);
    Reader whole(AsBytes(c.message));
    std::vector<size_t> ends = {0};
    uint32_t tag;
    while (!whole.done() && whole.ReadTag(&tag) && whole.Skip(tag)) {
      ends.push_back(c.message.size() - whole.remaining());
    }
    for (size_t size = 0; size < c.message.size(); ++size) {
      const Status status =
          DecodeTensorFlowPredictRequest(Exactly(std::string_view(c.message).substr(0, size)), &view);
      const bool between = std::binary_search(ends.begin(), ends.end(), size);
      if (!between) {
        EXPECT_FALSE(status.ok()) << size;
      } else if (!status.ok()) {
        // It decodes, and may yet lack the model's name.
        EXPECT_EQ(status.violations().at(0).field, "model_spec.name") << size;
      }
    }
  }
}

TEST(TensorFlowPredictDecoder, SurvivesRandomBytesAndBitFlips) {
  std::mt19937 random(21);  // The same bytes in every run.
  PredictRequestView view;
  const std::vector<GoldenCase> cases = GoldenCases("tensorflow_predict");
  ASSERT_THAT(cases, Not(SizeIs(0)));
  int taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = cases[random() % cases.size()].message;
    for (size_t flips = 1 + random() % 4; flips > 0 && !text.empty(); --flips) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    taken += DecodeTensorFlowPredictRequest(Exactly(text), &view).ok() ? 1 : 0;
    EXPECT_LE(view.inputs.size(), kMaxTensors);
  }
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, 20000);
}

MessageBuilder Request(std::string_view signature) {
  return MessageBuilder().Message(1, MessageBuilder().Bytes(1, "m").Bytes(3, signature));
}

TEST(TensorFlowPredictDecoder, KnowsOneSignatureWhichNeedNotBeNamed) {
  PredictRequestView view;
  EXPECT_TRUE(DecodeTensorFlowPredictRequest(Request("").bytes(), &view).ok());
  EXPECT_TRUE(DecodeTensorFlowPredictRequest(Request("serving_default").bytes(), &view).ok());
  const Status status = DecodeTensorFlowPredictRequest(Request("predict_images").bytes(), &view);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.reason(), "SIGNATURE_NOT_FOUND");
  EXPECT_THAT(status.message(), HasSubstr("Serving signature key \"predict_images\" not found."));
}

TEST(TensorFlowPredictDecoder, AnEntryThatIsReplacedCostsNoMemory) {
  // 1000 entries, each of which would be 128 MiB of zeros: only the last is made.
  MessageBuilder large;
  large.Number(1, 4).Message(2, MessageBuilder().Message(2, MessageBuilder().Number(1, 1 << 27)));
  MessageBuilder request = Request("");
  for (int i = 0; i < 1000; ++i) {
    request.Message(2, MessageBuilder().Bytes(1, "x").Message(2, large));
  }
  request.Message(2, MessageBuilder().Bytes(1, "x").Message(2, MessageBuilder().Number(1, 4)));
  PredictRequestView view;
  ASSERT_TRUE(DecodeTensorFlowPredictRequest(request.bytes(), &view).ok());
  ASSERT_THAT(view.inputs, SizeIs(1));
  EXPECT_THAT(view.inputs[0].data, SizeIs(1));
}

}  // namespace
}  // namespace maas
