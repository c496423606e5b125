#include "maas/front/infer_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/front/served_calls_testing.h"
#include "maas/wire/model_infer_error.h"

namespace maas {
namespace {

using testing::ElementsAre;

class InferStreamTest : public ServedCalls {
 protected:
  // Ids of the answers so far, those that failed with a '!' before.
  static std::vector<std::string> IdsOf(const Call& call) {
    std::vector<std::string> ids;
    for (const std::string& message : call.messages) {
      Fields fields{std::string_view(message)};
      const std::string response = fields.Text(2);
      ids.push_back((fields.Text(1).empty() ? "" : "!") + Fields{std::string_view(response)}.Text(3));
    }
    return ids;
  }
};

TEST_F(InferStreamTest, EachRequestHasAnAnswerOfItsOwn) {
  Call* call = client_.Stream(kModelStreamInfer);
  for (int i = 1; i <= 3; ++i) client_.Send(call, InferFor(static_cast<float>(i), std::to_string(i)));
  client_.HalfClose(call);
  RunAll();
  EXPECT_THAT(IdsOf(*call), ElementsAre("1", "2", "3"));
  Fields fields{std::string_view(call->messages[2])};
  const std::string response = fields.Text(2);
  EXPECT_EQ(Fields{std::string_view(response)}.Text(6), BytesOf({6.0F}));
  EXPECT_EQ(call->status(), 0);
}

TEST_F(InferStreamTest, AnAnswerWaitsForThoseBeforeIt) {
  Call* call = client_.Stream(kModelStreamInfer);
  client_.Send(call, InferFor(1, "a"));
  client_.Send(call, InferFor(2, "b", "other"));
  client_.Send(call, InferFor(3, "c"));
  EXPECT_TRUE(call->messages.empty()) << "b is refused, and waits for a";
  RunAll();
  EXPECT_THAT(IdsOf(*call), ElementsAre("a", "!b", "c"));
}

TEST_F(InferStreamTest, AFailureIsAnAnswerThatNamesItsRequest) {
  Call* call = client_.Stream(kModelStreamInfer);
  client_.Send(call, InferFor(1, "a", "other", "5"));
  client_.Send(call, "\xFF");
  client_.Send(call, InferFor(1, "c"));
  ASSERT_EQ(call->messages.size(), 2u);
  const ModelInferNames names{"other", "5", "a"};
  EXPECT_EQ(
      call->messages[0],
      EncodeModelStreamInferError(
          WithTritonPhrase(Status(Code::kNotFound, "MODEL_NOT_FOUND", "model 'other' is not known"), names),
          names));
  EXPECT_THAT(IdsOf(*call), ElementsAre("!a", "!"));
  const Status gone(Code::kUnavailable, "VERSION_NOT_AVAILABLE", "unloaded");
  Abort(gone);
  ASSERT_EQ(call->messages.size(), 3u);
  EXPECT_EQ(call->messages[2], EncodeModelStreamInferError(gone, {"m", "", "c"}));
  EXPECT_EQ(call->status(), -1) << "the stream outlives them";
}

TEST_F(InferStreamTest, WhoeverAsksForAStatusGetsTheFirstFailureInItsTurn) {
  Call* call = client_.Stream(kModelStreamInfer, {{"triton_grpc_error", "true"}});
  client_.Send(call, InferFor(1, "a"));
  client_.Send(call, InferFor(2, "b", "other"));
  for (int i = 0; i < 20; ++i) client_.Send(call, InferFor(3, "c"));
  EXPECT_EQ(call->status(), -1);
  model_.RunBatch();
  Loop();
  EXPECT_THAT(IdsOf(*call), ElementsAre("a"));
  ExpectFailed(*call, Status(Code::kNotFound, "MODEL_NOT_FOUND",
                             "Request for unknown model: 'other' is not found: model 'other' is not known"));
  EXPECT_EQ(model_.waiting(), 0) << "the rest is cancelled";
  Loop();
  EXPECT_EQ(model_.sink.under_way(), 0u);
}

TEST_F(InferStreamTest, OnlyTheValueTrueAsksForAStatus) {
  Call* call = client_.Stream(kModelStreamInfer, {{"triton_grpc_error", "1"}});
  client_.Send(call, InferFor(2, "b", "other"));
  EXPECT_THAT(IdsOf(*call), ElementsAre("!b"));
  EXPECT_EQ(call->status(), -1);
}

TEST_F(InferStreamTest, CancellingAStreamCancelsItsOwnRequestsOnly) {
  Call* call = client_.Stream(kModelStreamInfer);
  Call* other = client_.Stream(kModelStreamInfer);
  client_.Send(call, InferFor(1, "a"));
  client_.Send(call, InferFor(2, "b", "other"));
  client_.Send(other, InferFor(3, "x"));
  client_.Send(call, InferFor(4, "d"));
  ExpectCancelledAlone(call, 1);
  EXPECT_THAT(IdsOf(*other), ElementsAre("x"));
}

TEST_F(InferStreamTest, AStreamIsReadNoFurtherWhileManyRequestsAreUnderWay) {
  Call* call = client_.Stream(kModelStreamInfer);
  std::string messages;
  for (int i = 0; i < 5000; ++i) messages += Framed(InferFor(1));
  client_.SendRaw(call, messages, true);
  EXPECT_EQ(model_.waiting(), static_cast<int64_t>(AnswerStream::kMaxPending));
  model_.RunBatch();
  Loop();
  EXPECT_EQ(model_.waiting(), static_cast<int64_t>(AnswerStream::kMaxPending));
  RunAll();
  EXPECT_EQ(call->messages.size(), 5000u);
  EXPECT_EQ(call->status(), 0);
}

TEST_F(InferStreamTest, AStreamIsReadNoFurtherWhileLargeRequestsAreUnderWay) {
  Call* call = client_.Stream(kModelStreamInfer);
  const std::string large =
      MessageBuilder().Raw(InferFor(1)).Bytes(99, std::string(size_t{1} << 20, 'x')).str();
  for (int i = 0; i < 70; ++i) client_.Send(call, large);
  EXPECT_EQ(model_.waiting(), 64);
  client_.HalfClose(call);
  RunAll();
  EXPECT_EQ(call->messages.size(), 70u);
  EXPECT_EQ(call->status(), 0);
}

}  // namespace
}  // namespace maas
