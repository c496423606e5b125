// RPCs with streams in either direction.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/rpc/methods_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;

class StreamCallTest : public RpcTest {
 protected:
  StreamCallTest() : RpcTest(size_t{4} << 20) {
    options_.http2.stream_window = 65535;
    options_.max_message_bytes = size_t{1} << 20;
    Connect();
  }
  void Echo() {
    stream_.on_message = [](ServerCall* call, const std::string& message) { call->Send(AnswerOf(message)); };
    stream_.on_half_closed = [](ServerCall* call) { call->Finish(); };
  }
  // How many messages were given to the handler.
  size_t Messages() const {
    size_t n = 0;
    for (const std::string& each : stream_.told) n += each.starts_with('<') ? 0 : 1;
    return n;
  }
};

TEST_F(StreamCallTest, GivesMessagesAsTheyComeAndSendsThemAsTheyAre) {
  Echo();
  RpcClient::Call* call = client_->Stream("/t.T/Stream", {{"user-agent", "test"}});
  EXPECT_EQ(stream_.user_agent, "test");
  EXPECT_TRUE(call->blocks.empty());
  client_->Send(call, "1");
  EXPECT_THAT(call->messages, ElementsAre("1"));
  client_->SendRaw(call, Framed("2") + Framed("") + Framed("3").substr(0, 5), false);
  EXPECT_THAT(call->messages, ElementsAre("1", "2", ""));
  client_->SendRaw(call, "3", false);
  EXPECT_THAT(call->messages, ElementsAre("1", "2", "", "3"));
  EXPECT_EQ(call->status(), -1);
  client_->HalfClose(call);
  EXPECT_EQ(call->status(), kOk);
  EXPECT_EQ(call->error, 0U);
  EXPECT_THAT(stream_.told, ElementsAre("1", "2", "", "3", "<half-closed>", "<gone>"));
}

TEST_F(StreamCallTest, MayHaveNoMessages) {
  Echo();
  RpcClient::Call* call = client_->Raw(RpcClient::Request("/t.T/Stream"), "", true);
  EXPECT_EQ(call->status(), kOk);
  EXPECT_EQ(call->blocks.size(), 2U);
}

TEST_F(StreamCallTest, DropsHalfAMessageAtItsEnd) {
  Echo();
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  client_->SendRaw(call, Framed("1") + Framed("half").substr(0, 6), true);
  EXPECT_THAT(call->messages, ElementsAre("1"));
  EXPECT_EQ(call->status(), kOk);
}

TEST_F(StreamCallTest, FailsBeforeAndAfterItsFirstMessage) {
  stream_.on_message = [](ServerCall* call, const std::string& message) {
    if (message != "fail") return call->Send(AnswerOf(message));
    call->Fail(Status::Invalid("field", "wrong"));
  };
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  client_->SendRaw(call, Framed("1") + Framed("fail") + Framed("ignored"), false);
  EXPECT_THAT(call->messages, ElementsAre("1"));
  EXPECT_EQ(call->status(), kInvalidArgument);
  EXPECT_EQ(call->blocks.size(), 2U);
  EXPECT_TRUE(call->closed);
  call = client_->Stream("/t.T/Stream");
  client_->Send(call, "fail");
  EXPECT_EQ(call->status(), kInvalidArgument);
  EXPECT_EQ(call->blocks.size(), 1U);
  EXPECT_THAT(stream_.told, ElementsAre("1", "fail", "<gone>", "fail", "<gone>"));
}

TEST_F(StreamCallTest, MayFailWhenItStarts) {
  stream_.on_start = [](ServerCall* call) { call->Fail(Status(Code::kUnavailable, "", "not now")); };
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  EXPECT_EQ(call->status(), kUnavailable);
  EXPECT_EQ(connection_->session().streams(), 0U);
  EXPECT_THAT(stream_.told, ElementsAre("<gone>"));
}

TEST_F(StreamCallTest, EndsWhenTheCallerBreaksTheRules) {
  Echo();
  const struct {
    std::string bytes;
    int status;
  } kCases[] = {{Framed("x", 1), kInternal},
                {Framed("x", 7), kInternal},
                {Framed(std::string(size_t{1} << 20, 'x') + "x").substr(0, 10), kResourceExhausted}};
  for (const auto& each : kCases) {
    stream_.told.clear();
    RpcClient::Call* call = client_->Stream("/t.T/Stream");
    client_->SendRaw(call, Framed("1") + each.bytes + Framed("2"), false);
    EXPECT_THAT(call->messages, ElementsAre("1"));
    EXPECT_EQ(call->status(), each.status);
    EXPECT_THAT(stream_.told, ElementsAre("1", "<cancelled>", "<gone>"));
  }
}

TEST_F(StreamCallTest, IsCancelledOnce) {
  stream_.on_cancelled = [](ServerCall* call) { call->Fail(Status(Code::kInternal, "", "late")); };
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  client_->Send(call, "1");
  client_->Cancel(call);
  EXPECT_THAT(stream_.told, ElementsAre("1", "<cancelled>", "<gone>"));
}

TEST_F(StreamCallTest, IsCancelledWithItsConnection) {
  client_->Send(client_->Stream("/t.T/Stream"), "1");
  Disconnect();
  EXPECT_THAT(stream_.told, ElementsAre("1", "<cancelled>", "<gone>"));
}

TEST_F(StreamCallTest, IsNotCancelledAfterItsEnd) {
  Echo();
  RpcClient::Call* call = client_->Stream("/t.T/Stream", {}, false);
  client_->Send(call, std::string(200'000, 'x'));  // More than the client reads.
  client_->HalfClose(call);
  client_->Cancel(call);
  EXPECT_EQ(stream_.told.back(), "<gone>");
  EXPECT_THAT(stream_.told, testing::Not(testing::Contains("<cancelled>")));
}

TEST_F(StreamCallTest, HoldsThePeerBackWhilePaused) {
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  stream_.calls[0]->PauseReading();
  for (int i = 0; i < 400; ++i) client_->Send(call, std::string(1000, 'x'));
  EXPECT_EQ(Messages(), 0U);
  EXPECT_GT(call->unsent(), 300'000U);
  EXPECT_LE(budget_.used(), size_t{128} << 10);
  stream_.calls[0]->ResumeReading();
  client_->Exchange();
  EXPECT_EQ(Messages(), 400U);
  EXPECT_EQ(call->unsent(), 0U);
  EXPECT_EQ(budget_.used(), 0U);
}

TEST_F(StreamCallTest, PausesAfterAnyMessageAndKeepsTheOrder) {
  stream_.on_message = [](ServerCall* call, const std::string&) { call->PauseReading(); };
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  std::vector<std::string> sent;
  for (int i = 0; i < 500; ++i) {
    sent.push_back(std::to_string(i) + std::string(static_cast<size_t>(i) * 3, 'x'));
    client_->Send(call, sent.back());
  }
  client_->HalfClose(call);
  for (size_t i = 1; i < sent.size(); ++i) {
    EXPECT_EQ(Messages(), i);
    EXPECT_LE(budget_.used(), size_t{256} << 10);
    stream_.calls[0]->ResumeReading();
    client_->Exchange();
  }
  EXPECT_EQ(stream_.told, sent);
  stream_.calls[0]->ResumeReading();
  EXPECT_EQ(stream_.told.back(), "<half-closed>");
  stream_.calls[0]->ResumeReading();
  EXPECT_EQ(stream_.told.size(), sent.size() + 1);
}

TEST_F(StreamCallTest, MayPauseAndResumeWithinAMessage) {
  stream_.on_message = [](ServerCall* call, const std::string&) {
    call->PauseReading();
    call->ResumeReading();
  };
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  client_->SendRaw(call, Framed("1") + Framed("2") + Framed("3"), true);
  EXPECT_THAT(stream_.told, ElementsAre("1", "2", "3", "<half-closed>"));
}

TEST_F(StreamCallTest, TellsTheEndOnlyAfterWhatCameBefore) {
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  stream_.calls[0]->PauseReading();
  client_->SendRaw(call, Framed("1"), true);
  EXPECT_TRUE(stream_.told.empty());
  stream_.calls[0]->ResumeReading();
  EXPECT_THAT(stream_.told, ElementsAre("1", "<half-closed>"));
}

TEST_F(StreamCallTest, PausesInTheMiddleOfALargeMessage) {
  Echo();
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  std::string large(500'000, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 11 >> 6);
  const std::string framed = Framed(large);
  for (size_t at = 0; at < framed.size(); at += 50'000) {
    client_->SendRaw(call, framed.substr(at, 50'000), false);
    stream_.calls[0]->PauseReading();
    client_->SendRaw(call, "", false);
    if (at % 100'000 == 0) stream_.calls[0]->ResumeReading();
  }
  stream_.calls[0]->ResumeReading();
  client_->HalfClose(call);
  ASSERT_EQ(call->messages.size(), 1U);
  EXPECT_TRUE(call->messages[0] == large);
}

TEST_F(StreamCallTest, EndsWhenWhatItHoldsIsMoreThanTheBudget) {
  MemoryBudget small(8192);
  options_.budget = &small;
  Connect();
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  stream_.calls[0]->PauseReading();
  client_->Send(call, std::string(20'000, 'x'));
  EXPECT_EQ(call->status(), kResourceExhausted);
  EXPECT_THAT(stream_.told, ElementsAre("<cancelled>", "<gone>"));
  EXPECT_EQ(small.used(), 0U);
  Disconnect();
}

TEST_F(StreamCallTest, TellsWhenTheCallerReadsAgain) {
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  ServerCall* const server = stream_.calls[0];
  server->Send(AnswerOf(std::string(1'000'000, 'x')));
  EXPECT_GE(server->unsent(), 1'000'000U);
  client_->Exchange();
  EXPECT_THAT(stream_.told, ElementsAre("<room>"));
  EXPECT_EQ(server->unsent(), 0U);
  EXPECT_EQ(call->messages.size(), 1U);
}

TEST_F(StreamCallTest, SlowReadersKeepWhatTheyDoNotRead) {
  RpcClient::Call* slow = client_->Stream("/t.T/Stream", {}, false);
  RpcClient::Call* quick = client_->Stream("/t.T/Stream");
  for (ServerCall* call : stream_.calls) call->Send(AnswerOf(std::string(3'000'000, 'x')));
  client_->Exchange();
  EXPECT_TRUE(slow->messages.empty());
  EXPECT_GT(stream_.calls[0]->unsent(), Http2Session::kLowWater);
  EXPECT_EQ(quick->messages.size(), 1U);
}

TEST_F(StreamCallTest, IsToldThatTheServerStops) {
  stream_.on_stopping = [](ServerCall* call) { call->Fail(Status(Code::kUnavailable, "DRAINING", "stops")); };
  RpcClient::Call* first = client_->Stream("/t.T/Stream");
  RpcClient::Call* second = client_->Stream("/t.T/Stream");
  connection_->StopStreams();
  connection_->StopStreams();
  client_->Exchange();
  EXPECT_EQ(first->status(), kUnavailable);
  EXPECT_EQ(second->status(), kUnavailable);
  EXPECT_THAT(stream_.told, ElementsAre("<stopping>", "<stopping>", "<gone>", "<gone>"));
}

TEST_F(StreamCallTest, ReadsNothingAfterItsEnd) {
  stream_.on_message = [](ServerCall* call, const std::string&) { call->Finish(); };
  RpcClient::Call* call = client_->Stream("/t.T/Stream");
  client_->SendRaw(call, Framed("1") + Framed("2"), false);
  EXPECT_EQ(call->status(), kOk);
  EXPECT_THAT(stream_.told, ElementsAre("1", "<gone>"));
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->error, 0U);
}

}  // namespace
}  // namespace maas
