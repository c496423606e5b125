#include "maas/front/unary_predict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/front/served_calls_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::StartsWith;

class UnaryPredictTest : public ServedCalls {};

TEST_F(UnaryPredictTest, APredictIsAnsweredByTheModel) {
  const Call* call = client_.Unary(kPredict, AskFor(3, "id"));
  EXPECT_EQ(call->status(), -1);
  RunAll();
  EXPECT_EQ(call->status(), 0);
  ASSERT_EQ(call->messages.size(), 1u);
  const DecodedAnswer answer(call->messages[0]);
  EXPECT_EQ(answer.id, "id");
  EXPECT_THAT(answer.outputs.at(0).Floats(), ElementsAre(6));
}

TEST_F(UnaryPredictTest, AModelInferIsAnsweredByTheModel) {
  const Call* call = client_.Unary(kModelInfer, InferFor(3, "id"));
  RunAll();
  EXPECT_EQ(call->status(), 0);
  ASSERT_EQ(call->messages.size(), 1u);
  Fields answer{std::string_view(call->messages[0])};
  EXPECT_EQ(answer.Text(1), "m");
  EXPECT_EQ(answer.Text(3), "id");
  EXPECT_EQ(answer.Text(6), BytesOf({6.0F}));
}

TEST_F(UnaryPredictTest, ManyCallsAreAnsweredEachWithItsOwn) {
  std::vector<const Call*> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(client_.Unary(kPredict, AskFor(static_cast<float>(i))));
  RunAll();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(calls[static_cast<size_t>(i)]->messages.size(), 1u);
    EXPECT_THAT(DecodedAnswer(calls[static_cast<size_t>(i)]->messages[0]).outputs.at(0).Floats(),
                ElementsAre(2 * static_cast<float>(i)));
  }
}

TEST_F(UnaryPredictTest, ARefusalIsAStatusWithDetails) {
  ExpectFailed(*client_.Unary(kPredict, AskFor(1, "", "other")),
               Status(Code::kNotFound, "MODEL_NOT_FOUND", "model 'other' is not known"));
  const Call* malformed = client_.Unary(kPredict, "\xFF");
  EXPECT_EQ(malformed->status(), static_cast<int>(Code::kInvalidArgument));
  EXPECT_NE(malformed->details(), "");
  EXPECT_TRUE(malformed->messages.empty());
}

TEST_F(UnaryPredictTest, AFailedRunIsAStatusWithDetails) {
  const Call* call = client_.Unary(kPredict, AskFor(1));
  model_.Begin();
  model_.Fail();
  Loop();
  ExpectFailed(*call, Status(Code::kInternal, "RUN_FAILED", "it broke"));
}

TEST_F(UnaryPredictTest, TheCallersDeadlineHolds) {
  const Call* call = client_.Unary(kPredict, AskFor(1), {{"grpc-timeout", "5m"}});
  EXPECT_EQ(model_.waiting(), 1);
  model_.clock.Advance(6'000'000);
  model_.engine.Sweep(model_.clock.Now());
  Loop();
  EXPECT_EQ(call->status(), static_cast<int>(Code::kDeadlineExceeded));
  EXPECT_EQ(model_.waiting(), 0);
}

TEST_F(UnaryPredictTest, TheCallersTenantIsTold) {
  model_.engine.tenants().Configure({.standard = {}, .by_name = {{"t", {.max_rows_in_flight = 1}}}});
  const Call* first = client_.Unary(kPredict, AskFor(1), {{"tenant", "t"}});
  const Call* second = client_.Unary(kPredict, AskFor(1), {{"tenant", "t"}});
  const Call* other = client_.Unary(kPredict, AskFor(1), {{"tenant", "u"}});
  EXPECT_EQ(second->status(), static_cast<int>(Code::kResourceExhausted));
  RunAll();
  EXPECT_EQ(first->status(), 0);
  EXPECT_EQ(other->status(), 0);
}

TEST_F(UnaryPredictTest, ACancelledCallLeavesTheQueueUnrun) {
  Call* call = client_.Unary(kPredict, AskFor(1));
  EXPECT_EQ(model_.waiting(), 1);
  client_.Cancel(call);
  EXPECT_EQ(model_.waiting(), 0);
  Loop();
  EXPECT_EQ(model_.sink.under_way(), 0u);
}

TEST_F(UnaryPredictTest, ACallThatIsCancelledAfterItsRunEndedIsNotAnswered) {
  Call* call = client_.Unary(kPredict, AskFor(1));
  const Call* other = client_.Unary(kPredict, AskFor(2));
  model_.RunBatch();
  client_.Cancel(call);
  Loop();
  EXPECT_TRUE(call->messages.empty());
  EXPECT_EQ(other->status(), 0);
}

TEST_F(UnaryPredictTest, ARunWhoseCallersHaveAllGoneIsInterrupted) {
  Call* call = client_.Unary(kPredict, AskFor(1));
  ExpectInterrupted(call);
}

TEST_F(UnaryPredictTest, AClosedFrontRefuses) {
  model_.sink.Close();
  const Status draining(Code::kUnavailable, "DRAINING", "the server stops");
  ExpectFailed(*client_.Unary(kPredict, AskFor(1)), draining);
  ExpectFailed(*client_.Unary(kModelInfer, InferFor(1)), draining);
  ExpectFailed(*client_.Unary(kTensorFlowPredict, ""), draining);
  EXPECT_EQ(model_.sink.refused(), 3u);
}

TEST_F(UnaryPredictTest, AModelThatDoesNotServeIsToldInTritonsWords) {
  ExpectFailed(*client_.Unary(kModelInfer, InferFor(1, "", "other")),
               Status(Code::kNotFound, "MODEL_NOT_FOUND",
                      "Request for unknown model: 'other' is not found: model 'other' is not known"));
  EXPECT_THAT(client_.Unary(kModelInfer, InferFor(1, "", "m", "7"))->message(),
              StartsWith("Request for unknown model: 'm' version 7 is not found: "));
  EXPECT_THAT(client_.Unary(kModelInfer, InferFor(1, "", "m", "2"))->message(),
              StartsWith("Request for unknown model: 'm' version 2 is not at ready state: "));
  EXPECT_THAT(client_.Unary(kModelInfer, InferFor(1, "", "m", "prod"))->message(),
              StartsWith("Request for unknown model: 'm' version prod is not found: "));
  EXPECT_THAT(client_.Unary(kModelInfer, InferFor(1, "", "empty"))->message(),
              StartsWith("Request for unknown model: 'empty' has no available versions: "));
  EXPECT_THAT(client_.Unary(kModelInfer, "\xFF")->message(), Not(StartsWith("Request for")));
}

TEST_F(UnaryPredictTest, AVersionThatGoesMeanwhileIsToldInTritonsWords) {
  const Call* call = client_.Unary(kModelInfer, InferFor(1, "", "m", "1"));
  Abort(Status(Code::kUnavailable, "VERSION_NOT_AVAILABLE", "unloaded"));
  ExpectFailed(*call, Status(Code::kUnavailable, "VERSION_NOT_AVAILABLE",
                             "Request for unknown model: 'm' version 1 is not at ready state: unloaded"));
}

std::string TensorFlowRequest(std::string_view model) {
  return MessageBuilder().Message(1, MessageBuilder().Bytes(1, model)).str();
}

TEST_F(UnaryPredictTest, ATensorFlowPredictOfAModelThatDoesNotServeIsHandedOver) {
  const std::string request = TensorFlowRequest("other");
  const Call* call = client_.Unary(kTensorFlowPredict, request);
  EXPECT_EQ(call->message(), "behind");
  EXPECT_THAT(behind_.taken, ElementsAre(Pair(kTensorFlowPredict, request)));
}

TEST_F(UnaryPredictTest, ATensorFlowPredictWhoseVersionGoesMeanwhileIsHandedOver) {
  const MessageBuilder tensor =
      MessageBuilder().Number(1, 1).Message(2, MessageBuilder().Message(2, MessageBuilder().Number(1, 1)));
  const std::string request = MessageBuilder()
                                  .Raw(TensorFlowRequest("m"))
                                  .Message(2, MessageBuilder().Bytes(1, "x").Message(
                                                  2, MessageBuilder(tensor).Bytes(4, BytesOf({1.0F}))))
                                  .str();
  const Call* call = client_.Unary(kTensorFlowPredict, request);
  ASSERT_EQ(call->status(), -1) << call->message();
  Abort(Status(Code::kUnavailable, "VERSION_NOT_AVAILABLE", "unloaded"));
  EXPECT_EQ(call->message(), "behind");
  EXPECT_THAT(behind_.taken, ElementsAre(Pair(kTensorFlowPredict, request)));
}

TEST_F(UnaryPredictTest, OtherFailuresOfATensorFlowPredictAreToldHere) {
  EXPECT_EQ(client_.Unary(kTensorFlowPredict, "\xFF")->status(), static_cast<int>(Code::kInvalidArgument));
  EXPECT_EQ(client_.Unary(kTensorFlowPredict, TensorFlowRequest("m"))->status(),
            static_cast<int>(Code::kInvalidArgument));
  EXPECT_TRUE(behind_.taken.empty());
}

}  // namespace
}  // namespace maas
