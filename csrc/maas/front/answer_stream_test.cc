// What both kinds of streams do.
#include "maas/front/answer_stream.h"

#include <gtest/gtest.h>

#include "maas/front/served_calls_testing.h"

namespace maas {
namespace {

// A service and a message with one request of it.
struct Kind {
  std::string_view path;
  std::string (*message)(float x, std::string_view model);
};

class AnswerStreamTest : public ServedCalls, public testing::WithParamInterface<Kind> {
 protected:
  static std::string Ask(std::string_view model = "m") { return GetParam().message(1, model); }
  Call* Start(bool reads = true) { return client_.Stream(GetParam().path, {}, reads); }
  static Status Draining() { return Status(Code::kUnavailable, "DRAINING", "the server stops"); }
};

TEST_P(AnswerStreamTest, AStreamWithoutRequestsEndsInOrder) {
  Call* call = Start();
  client_.HalfClose(call);
  EXPECT_EQ(call->status(), 0);
  EXPECT_TRUE(call->messages.empty());
}

TEST_P(AnswerStreamTest, AStreamEndsWhenItsLastRequestIsAnswered) {
  Call* call = Start();
  client_.Send(call, Ask());
  client_.HalfClose(call);
  EXPECT_EQ(call->status(), -1);
  RunAll();
  EXPECT_EQ(call->messages.size(), 1u);
  EXPECT_EQ(call->status(), 0);
  EXPECT_TRUE(call->closed);
}

TEST_P(AnswerStreamTest, AStoppingServerAnswersWhatItTookAndReadsNoMore) {
  Call* call = Start();
  client_.Send(call, Ask());
  connection_.StopStreams();
  client_.Send(call, Ask());
  EXPECT_EQ(call->status(), -1);
  EXPECT_EQ(model_.waiting(), 1);
  RunAll();
  EXPECT_EQ(call->messages.size(), 1u);
  ExpectFailed(*call, Draining());
}

TEST_P(AnswerStreamTest, AStoppingServerEndsAStreamWithNothingUnderWayAtOnce) {
  Call* call = Start();
  connection_.StopStreams();
  client_.Exchange();
  ExpectFailed(*call, Draining());
}

TEST_P(AnswerStreamTest, AStreamWhoseCallerIsDoneEndsInOrderThoughTheServerStops) {
  Call* call = Start();
  client_.Send(call, Ask());
  client_.HalfClose(call);
  connection_.StopStreams();
  RunAll();
  EXPECT_EQ(call->messages.size(), 1u);
  EXPECT_EQ(call->status(), 0);
}

TEST_P(AnswerStreamTest, AClosedFrontAnswersRequestsWithErrors) {
  Call* call = Start();
  model_.sink.Close();
  client_.Send(call, Ask());
  EXPECT_EQ(call->messages.size(), 1u);
  EXPECT_EQ(call->status(), -1);
  EXPECT_EQ(model_.sink.refused(), 1u);
}

TEST_P(AnswerStreamTest, AStreamIsReadNoFurtherWhileManySmallAnswersAreNotRead) {
  model_.sink.Close();  // Answers everything at once, and counts.
  Call* call = Start(false);
  constexpr size_t kRequests = 20'000;
  std::string messages;
  for (size_t i = 0; i < kRequests; ++i) messages += Framed(Ask());
  client_.SendRaw(call, messages, true);
  EXPECT_GE(model_.sink.refused(), AnswerStream::kMaxUnsentMessages);
  EXPECT_LT(model_.sink.refused(), kRequests / 2);
  EXPECT_EQ(call->status(), -1);
  while (!call->messages.empty() && call->status() == -1) {
    size_t read = 0;
    for (const std::string& message : std::exchange(call->messages, {}))
      read += kMessagePrefix + message.size();
    client_.session().Consumed(call, read);
    client_.Exchange();
  }
  EXPECT_EQ(model_.sink.refused(), kRequests);
  EXPECT_EQ(call->status(), 0);
}

TEST_P(AnswerStreamTest, WhatIsUnderWayIsCancelledWithTheConnection) {
  auto connection = std::make_unique<ServerConnection>(ServerConnection::Options(), &model_.clock, &peer_,
                                                       &table_, nullptr);
  {
    RpcClient client(connection.get());
    Call* call = client.Stream(GetParam().path);
    client.Send(call, Ask());
    client.Send(call, Ask());
    EXPECT_EQ(model_.waiting(), 2);
    connection.reset();
    EXPECT_EQ(model_.waiting(), 0);
  }
  model_.Loop();
  EXPECT_EQ(model_.sink.under_way(), 0u);
}

TEST_P(AnswerStreamTest, TheCallersDeadlineAndTenantHoldForEachRequest) {
  model_.engine.tenants().Configure({.standard = {}, .by_name = {{"t", {.max_rows_in_flight = 1}}}});
  Call* call = client_.Stream(GetParam().path, {{"tenant", "t"}, {"grpc-timeout", "5m"}});
  client_.Send(call, Ask());
  client_.Send(call, Ask());
  EXPECT_EQ(model_.waiting(), 1) << "the tenant may have one";
  model_.clock.Advance(6'000'000);
  model_.engine.Sweep(model_.clock.Now());
  EXPECT_EQ(model_.waiting(), 0);
  Loop();
  EXPECT_EQ(model_.sink.under_way(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    , AnswerStreamTest,
    testing::Values(Kind{kPredictStream,
                         [](float x, std::string_view model) {
                           return MessageBuilder().Bytes(1, AskFor(x, "", model)).str();
                         }},
                    Kind{kModelStreamInfer,
                         [](float x, std::string_view model) { return InferFor(x, "", model); }}),
    [](const auto& kind) {
      return std::string(kind.param.path == kPredictStream ? "PredictStream" : "ModelStreamInfer");
    });

}  // namespace
}  // namespace maas
