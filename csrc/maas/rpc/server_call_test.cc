#include "maas/rpc/server_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "maas/rpc/methods_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;

std::string EncodeReason(const Status& status) { return status.reason() + ":" + status.message(); }

class UnaryCallTest : public RpcTest {
 protected:
  UnaryCallTest() : RpcTest(size_t{1} << 20) {
    options_.max_message_bytes = 1000;
    options_.encode_details = &EncodeReason;
    Connect();
  }
  void AnswerAtOnce() {
    unary_.on_request = [](ServerCall* call, Chunk request) {
      call->Answer(AnswerOf("re: " + TextOf(request.bytes())));
    };
  }
};

TEST_F(UnaryCallTest, IsAnsweredAtOnce) {
  AnswerAtOnce();
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi");
  EXPECT_THAT(call->messages, ElementsAre("re: hi"));
  EXPECT_EQ(call->status(), kOk);
  EXPECT_EQ(call->Of(":status"), "200");
  EXPECT_EQ(call->Of("content-type"), "application/grpc");
  EXPECT_EQ(call->Of("grpc-accept-encoding"), "identity, deflate, gzip");
  EXPECT_EQ(call->blocks.size(), 2U);
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->error, 0U);
  EXPECT_EQ(connection_->session().streams(), 0U);
  EXPECT_TRUE(unary_.cancelled.empty());
}

TEST_F(UnaryCallTest, IsAnsweredLater) {
  RpcClient::Call* first = client_->Unary("/t.T/Unary", "1");
  RpcClient::Call* second = client_->Unary("/t.T/Unary", "");
  EXPECT_THAT(unary_.requests, ElementsAre("1", ""));
  EXPECT_EQ(unary_.calls[0]->peer().address, "ipv4:127.0.0.1:1");
  unary_.calls[1]->Answer(AnswerOf(""));
  unary_.calls[0]->Answer(AnswerOf("one"));
  client_->Exchange();
  EXPECT_THAT(first->messages, ElementsAre("one"));
  EXPECT_THAT(second->messages, ElementsAre(""));
}

TEST_F(UnaryCallTest, FailsWithTrailersOnly) {
  unary_.on_request = [](ServerCall* call, Chunk) {
    call->Fail(Status::Invalid("inputs[0]", "é is 100% wrong\n"));
  };
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi");
  EXPECT_EQ(call->status(), kInvalidArgument);
  EXPECT_EQ(call->message(), "inputs[0]: é is 100% wrong\n");
  EXPECT_EQ(call->details(), "INVALID_REQUEST:inputs[0]: é is 100% wrong\n");
  EXPECT_EQ(call->blocks.size(), 1U);
  EXPECT_EQ(call->Of("content-type"), "application/grpc");
  EXPECT_TRUE(call->messages.empty());
}

TEST_F(UnaryCallTest, KeepsLongErrorsBelowWhatClientsTake) {
  size_t size = 0;
  unary_.on_request = [&](ServerCall* call, Chunk) {
    call->Fail(Status(Code::kInternal, "REASON", std::string(size, '%')));
  };
  for (size = 100; size < 100'000; size *= 3) {
    RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi");
    EXPECT_EQ(call->status(), kInternal);
    EXPECT_EQ(call->message(), std::string(std::min(size, size_t{2048} / 3), '%'));
    EXPECT_EQ(call->Has("grpc-status-details-bin"), size < 3800) << size;
    size_t bytes = 0;
    for (const auto& [name, value] : call->blocks[0]) bytes += name.size() + value.size() + 32;
    EXPECT_LT(bytes, 8192U);
  }
}

TEST_F(UnaryCallTest, HasNoDetailsWithoutAReason) {
  unary_.on_request = [](ServerCall* call, Chunk) { call->Fail(Status(Code::kInternal, "", "no")); };
  EXPECT_FALSE(client_->Unary("/t.T/Unary", "hi")->Has("grpc-status-details-bin"));
}

TEST_F(UnaryCallTest, EndsOnce) {
  unary_.on_request = [](ServerCall* call, Chunk) {
    call->Answer(AnswerOf("a"));
    call->Answer(AnswerOf("b"));
    call->Fail(Status(Code::kInternal, "", "no"));
    call->Send(AnswerOf("c"));
    call->Finish();
  };
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi");
  EXPECT_THAT(call->messages, ElementsAre("a"));
  EXPECT_EQ(call->status(), kOk);
}

TEST_F(UnaryCallTest, BeginsWithTheFirstMessageAndIgnoresTheRest) {
  AnswerAtOnce();
  RpcClient::Call* call = client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("1") + Framed("2"), true);
  EXPECT_THAT(call->messages, ElementsAre("re: 1"));
  call = client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("1") + Framed("2").substr(0, 4), true);
  EXPECT_THAT(call->messages, ElementsAre("re: 1"));
  EXPECT_EQ(unary_.requests.size(), 2U);
}

TEST_F(UnaryCallTest, IsResetInOrderWhenItsAnswerDoesNotWaitForItsEnd) {
  AnswerAtOnce();
  RpcClient::Call* call = client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("1"), false);
  EXPECT_THAT(call->messages, ElementsAre("re: 1"));
  EXPECT_EQ(call->status(), kOk);
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->error, 0U);
  EXPECT_EQ(connection_->session().streams(), 0U);
}

TEST_F(UnaryCallTest, ComesInAnyPieces) {
  AnswerAtOnce();
  RpcClient::Call* call = client_->Stream("/t.T/Unary");
  for (const char byte : Framed("message")) client_->SendRaw(call, std::string(1, byte), false);
  EXPECT_THAT(call->messages, ElementsAre("re: message"));
}

TEST_F(UnaryCallTest, NeedsAMessage) {
  RpcClient::Call* call = client_->Raw(RpcClient::Request("/t.T/Unary"), "", true);
  EXPECT_EQ(call->status(), kUnimplemented);
  call = client_->Stream("/t.T/Unary");
  client_->HalfClose(call);
  EXPECT_EQ(call->status(), kUnimplemented);
  call = client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("half").substr(0, 3), true);
  EXPECT_EQ(call->status(), kInternal);
  call = client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("half").substr(0, 7), true);
  EXPECT_EQ(call->status(), kInternal);
  EXPECT_TRUE(unary_.requests.empty());
}

TEST_F(UnaryCallTest, IsRefusedWhenItsMessageIsTooLarge) {
  AnswerAtOnce();
  RpcClient::Call* call = client_->Unary("/t.T/Unary", std::string(1000, 'x'));
  EXPECT_EQ(call->status(), kOk);
  call = client_->Unary("/t.T/Unary", std::string(1001, 'x'));
  EXPECT_EQ(call->status(), kResourceExhausted);
  EXPECT_EQ(call->message(), "SERVER: Received message larger than max (1001 vs. 1000)");
  EXPECT_FALSE(call->Has("grpc-status-details-bin"));
  // At once, without waiting for the rest.
  call = client_->Raw(RpcClient::Request("/t.T/Unary"), Framed(std::string(2000, 'x')).substr(0, 5), false);
  EXPECT_EQ(call->status(), kResourceExhausted);
  EXPECT_TRUE(call->closed);
}

TEST_F(UnaryCallTest, IsRefusedWhenItsPrefixIsNone) {
  EXPECT_EQ(client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("x", 1), true)->status(), kInternal);
  EXPECT_EQ(client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("x", 2), true)->status(), kInternal);
  EXPECT_TRUE(unary_.requests.empty());
}

TEST_F(UnaryCallTest, TellsItsMethodOnceThatTheCallerWent) {
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi");
  client_->Cancel(call);
  EXPECT_THAT(unary_.cancelled, ElementsAre(unary_.calls[0]));
  EXPECT_EQ(connection_->session().streams(), 0U);
}

TEST_F(UnaryCallTest, CannotBeAnsweredWhenTheCallerWent) {
  unary_.on_cancelled = [](ServerCall* call) {
    call->Answer(AnswerOf("late"));
    call->Fail(Status(Code::kInternal, "", "late"));
  };
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi");
  client_->Cancel(call);
  EXPECT_TRUE(call->messages.empty());
  EXPECT_EQ(call->status(), -1);
}

TEST_F(UnaryCallTest, TellsItsMethodNothingBeforeItsRequestIsComplete) {
  RpcClient::Call* call = client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("hi").substr(0, 6), false);
  client_->Cancel(call);
  EXPECT_TRUE(unary_.calls.empty());
  EXPECT_TRUE(unary_.cancelled.empty());
}

TEST_F(UnaryCallTest, IsCancelledWithItsConnection) {
  client_->Unary("/t.T/Unary", "1");
  client_->Unary("/t.T/Unary", "2");
  client_->Raw(RpcClient::Request("/t.T/Unary"), Framed("hi").substr(0, 6), false);
  Disconnect();
  EXPECT_THAT(unary_.cancelled, testing::UnorderedElementsAreArray(unary_.calls));
  EXPECT_EQ(unary_.calls.size(), 2U);
}

TEST_F(UnaryCallTest, IsNotCancelledAfterItsAnswer) {
  AnswerAtOnce();
  client_->Unary("/t.T/Unary", "1");
  connection_->session().Received(std::span<const std::byte>());
  Disconnect();
  EXPECT_TRUE(unary_.cancelled.empty());
}

TEST_F(UnaryCallTest, LeavesWhatItReceivedToItsMethod) {
  std::vector<Chunk> kept;
  unary_.on_request = [&](ServerCall*, Chunk request) { kept.push_back(std::move(request)); };
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "kept");
  client_->Cancel(call);
  EXPECT_EQ(TextOf(kept[0].bytes()), "kept");
}

TEST_F(UnaryCallTest, EndsWhenTheBudgetDoes) {
  options_.max_message_bytes = size_t{8} << 20;
  Connect();
  RpcClient::Call* call = client_->Unary("/t.T/Unary", std::string(size_t{2} << 20, 'x'));
  EXPECT_EQ(call->status(), kResourceExhausted);
  EXPECT_EQ(call->details(), "OUT_OF_MEMORY:no memory for the request");
  EXPECT_TRUE(unary_.requests.empty());
}

TEST_F(UnaryCallTest, ReceivesAndAnswersLargeMessagesWhole) {
  options_.max_message_bytes = size_t{8} << 20;
  options_.budget = nullptr;
  Connect();
  std::string large(size_t{5} << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 >> 5);
  AnswerAtOnce();
  RpcClient::Call* call = client_->Unary("/t.T/Unary", large);
  EXPECT_TRUE(unary_.requests[0] == large);
  ASSERT_EQ(call->messages.size(), 1U);
  EXPECT_TRUE(call->messages[0] == "re: " + large);
}

}  // namespace
}  // namespace maas
