#include "maas/rpc/server_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "maas/rpc/methods_testing.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint32_t kRefusedStream = 7;

// Answers what it is given with HTTP's 299 and one field that tells what it was.
class FakeFallback final : public Fallback {
 public:
  Http2Stream* OnRequest(Http2Session* session, int32_t stream, Headers headers, bool /*end*/) override {
    if (absent) return nullptr;
    const auto answered = streams.emplace_back(std::make_unique<Answered>()).get();
    session->Attach(stream, answered);
    Answer(session, answered, headers, "");
    return answered;
  }
  Http2Stream* OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                         std::span<const std::byte> message) override {
    if (absent) return nullptr;
    const auto answered = streams.emplace_back(std::make_unique<Answered>()).get();
    session->Replace(call, answered);
    Answer(session, answered, headers, TextOf(message));
    return answered;
  }
  bool refuses() const override { return refusing; }
  bool absent = false;
  bool refusing = false;

 private:
  class Answered final : public Http2Stream {
    void OnHeaders(Headers, bool) override {}
    void OnBody(std::span<const std::byte>) override {}
    void OnEnd() override {}
    void OnClosed(uint32_t) override {}
  };
  static void Answer(Http2Session* session, Http2Stream* stream, Headers headers, std::string_view message) {
    const std::string told = std::string(FindHeader(headers, ":path")) + " " +
                             std::string(FindHeader(headers, "x")) + " '" + std::string(message) + "'";
    const HeaderField fields[] = {{":status", "299"}, {"told", told}};
    session->SendHeadersAndEnd(stream, fields);
  }
  std::vector<std::unique_ptr<Http2Stream>> streams;
};

class ServerConnectionTest : public RpcTest {
 protected:
  ServerConnectionTest() : RpcTest(size_t{1} << 20, true) {
    unary_.on_request = [](ServerCall* call, Chunk) { call->Answer(AnswerOf("ok")); };
    options_.tenant_key = "tenant";
    Connect(&fallback_);
  }
  RpcClient::Call* WithField(const std::string& name, const std::string& value) {
    RpcClient::Fields fields = RpcClient::Request("/t.T/Unary");
    std::erase_if(fields, [&](const auto& field) { return field.first == name; });
    if (!value.empty()) fields.emplace(name[0] == ':' ? fields.begin() : fields.end(), name, value);
    return client_->Raw(fields, Framed("hi"), true);
  }

  FakeFallback fallback_;
};

TEST_F(ServerConnectionTest, PassesUnknownPathsOn) {
  RpcClient::Call* call = client_->Unary("/t.T/Other", "hi", {{"x", "y"}});
  EXPECT_EQ(call->Of(":status"), "299");
  EXPECT_EQ(call->Of("told"), "/t.T/Other y ''");
  EXPECT_EQ(connection_->passed_on(), 1U);
  EXPECT_EQ(connection_->served(), 0U);
  client_->Unary("/t.T/Unary", "hi");
  EXPECT_EQ(connection_->passed_on(), 1U);
  EXPECT_EQ(connection_->served(), 1U);
}

TEST_F(ServerConnectionTest, PassesOnWhatGrpcClientsDoNotSend) {
  EXPECT_EQ(WithField("te", "")->Of(":status"), "299");
  EXPECT_EQ(WithField("content-type", "application/json")->Of(":status"), "299");
  EXPECT_EQ(WithField("content-type", "")->Of(":status"), "299");
  EXPECT_EQ(WithField(":method", "PUT")->Of(":status"), "299");
  EXPECT_EQ(WithField("content-type", "application/grpc+proto")->status(), kOk);
  EXPECT_EQ(WithField("content-type", "application/grpc;x=y")->status(), kOk);
  EXPECT_EQ(unary_.requests.size(), 2U);
}

TEST_F(ServerConnectionTest, SaysSoWithoutAFallback) {
  Connect(nullptr);
  RpcClient::Call* call = client_->Unary("/t.T/Other", "hi");
  EXPECT_EQ(call->status(), kUnimplemented);
  EXPECT_EQ(call->message(), "Method not found!");
  EXPECT_EQ(WithField("content-type", "text/html")->status(), kInternal);
  fallback_.absent = true;
  Connect(&fallback_);
  EXPECT_EQ(client_->Unary("/t.T/Other", "hi")->status(), kUnavailable);
  EXPECT_EQ(connection_->passed_on(), 0U);
}

TEST_F(ServerConnectionTest, RefusesFieldsThatDoNotParse) {
  RpcClient::Call* call = WithField("grpc-timeout", "soon");
  EXPECT_EQ(call->status(), kInternal);
  EXPECT_EQ(call->message(), "Error parsing 'grpc-timeout' metadata");
  EXPECT_EQ(call->blocks.size(), 1U);
  EXPECT_EQ(WithField("grpc-encoding", "snappy")->message(), "Error parsing 'grpc-encoding' metadata");
  EXPECT_EQ(WithField("x-bin", "!")->status(), kInternal);
  EXPECT_TRUE(unary_.requests.empty());
  EXPECT_EQ(connection_->session().streams(), 0U);
}

TEST_F(ServerConnectionTest, RefusesTooManyHeaderFields) {
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi", {{"x", std::string(20'000, 'x')}});
  EXPECT_EQ(call->status(), kResourceExhausted);
  EXPECT_THAT(call->message(), HasSubstr("received metadata size exceeds hard limit"));
  EXPECT_EQ(client_->Unary("/t.T/Unary", "hi")->status(), kOk);
}

TEST_F(ServerConnectionTest, ReadsTenantsAndDeadlines) {
  std::vector<std::string> tenants;
  std::vector<int64_t> deadlines;
  unary_.on_request = [&](ServerCall* call, Chunk) {
    tenants.push_back(call->tenant());
    deadlines.push_back(call->deadline_ns());
    call->Answer(AnswerOf(""));
  };
  client_->Unary("/t.T/Unary", "", {{"tenant", "a"}, {"tenant", "b"}, {"grpc-timeout", "2S"}});
  client_->Unary("/t.T/Unary", "");
  client_->Unary("/t.T/Unary", "", {{"grpc-timeout", "99999999H"}});
  client_->Unary("/t.T/Unary", "", {{"grpc-timeout", "2562047H"}});
  EXPECT_THAT(tenants, ElementsAre("a, b", "", "", ""));
  EXPECT_THAT(deadlines, ElementsAre(3'000'000'000, kNever, kNever,
                                     1'000'000'000 + 2562047 * int64_t{3'600'000'000'000}));
}

TEST_F(ServerConnectionTest, SaturatesDeadlines) {
  clock_.Advance(int64_t{1} << 62);
  clock_.Advance(int64_t{1} << 61);
  unary_.on_request = nullptr;
  client_->Unary("/t.T/Unary", "", {{"grpc-timeout", "2562047H"}});
  EXPECT_EQ(unary_.calls[0]->deadline_ns(), kNever);
}

TEST_F(ServerConnectionTest, AnswersAtOnceWhatIsLateAlready) {
  for (const char* timeout : {"0S", "0n"}) {
    RpcClient::Call* call = client_->Unary("/t.T/Unary", "", {{"grpc-timeout", timeout}});
    EXPECT_EQ(call->status(), kDeadlineExceeded);
    EXPECT_EQ(call->message(), "Deadline Exceeded");
  }
  RpcClient::Call* call = client_->Stream("/t.T/Stream", {{"grpc-timeout", "0S"}});
  EXPECT_EQ(call->status(), kDeadlineExceeded);
  EXPECT_TRUE(unary_.requests.empty());
  EXPECT_TRUE(stream_.calls.empty());
}

TEST_F(ServerConnectionTest, EndsCallsWhoseDeadlinePasses) {
  unary_.on_request = nullptr;
  EXPECT_EQ(connection_->next_deadline(), kNever);
  RpcClient::Call* slow = client_->Unary("/t.T/Unary", "", {{"grpc-timeout", "3S"}});
  RpcClient::Call* quick = client_->Unary("/t.T/Unary", "", {{"grpc-timeout", "1S"}});
  RpcClient::Call* half = client_->Raw(RpcClient::Request("/t.T/Unary", {{"grpc-timeout", "1S"}}),
                                       Framed("hi").substr(0, 6), false);
  RpcClient::Call* stream = client_->Stream("/t.T/Stream", {{"grpc-timeout", "1S"}});
  RpcClient::Call* patient = client_->Unary("/t.T/Unary", "");
  stream_.calls[0]->Send(AnswerOf("1"));
  EXPECT_EQ(connection_->next_deadline(), 2'000'000'000);
  connection_->Expire(1'999'999'999);
  client_->Exchange();
  EXPECT_EQ(quick->status(), -1);
  connection_->Expire(2'000'000'000);
  client_->Exchange();
  for (RpcClient::Call* call : {quick, half, stream}) {
    EXPECT_EQ(call->status(), kDeadlineExceeded);
    EXPECT_EQ(call->message(), "Deadline Exceeded");
    EXPECT_TRUE(call->closed);
  }
  EXPECT_THAT(stream->messages, ElementsAre("1"));
  EXPECT_THAT(unary_.cancelled, ElementsAre(unary_.calls[1]));
  EXPECT_THAT(stream_.told, ElementsAre("<cancelled>", "<gone>"));
  EXPECT_EQ(slow->status(), -1);
  EXPECT_EQ(connection_->next_deadline(), 4'000'000'000);
  connection_->Expire(kNever - 1);
  client_->Exchange();
  EXPECT_EQ(slow->status(), kDeadlineExceeded);
  EXPECT_EQ(patient->status(), -1);
  EXPECT_EQ(connection_->next_deadline(), kNever);
}

TEST_F(ServerConnectionTest, HandsCallsOver) {
  unary_.on_request = [](ServerCall* call, Chunk request) { call->HandOver(std::move(request)); };
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi", {{"x", "y"}});
  EXPECT_EQ(call->Of("told"), "/t.T/Unary y 'hi'");
  EXPECT_EQ(connection_->passed_on(), 1U);
  EXPECT_EQ(connection_->session().streams(), 0U);
  EXPECT_TRUE(unary_.cancelled.empty());
}

TEST_F(ServerConnectionTest, HandsCallsOverLater) {
  std::optional<Chunk> kept;
  unary_.on_request = [&](ServerCall*, Chunk request) { kept = std::move(request); };
  RpcClient::Call* call = client_->Unary("/t.T/Unary", "hi", {{"x", std::string(5000, 'y')}});
  EXPECT_GT(budget_.used(), 5000U);
  unary_.calls[0]->HandOver(std::move(*kept));
  client_->Exchange();
  EXPECT_EQ(call->Of("told"), "/t.T/Unary " + std::string(5000, 'y') + " 'hi'");
  EXPECT_EQ(budget_.used(), 0U);
}

TEST_F(ServerConnectionTest, FailsWhatCannotBeHandedOver) {
  unary_.on_request = [](ServerCall* call, Chunk request) { call->HandOver(std::move(request)); };
  fallback_.absent = true;
  EXPECT_EQ(client_->Unary("/t.T/Unary", "hi")->status(), kUnavailable);
  Connect(nullptr);
  EXPECT_EQ(client_->Unary("/t.T/Unary", "hi")->status(), kUnavailable);
  EXPECT_EQ(connection_->passed_on(), 0U);
}

TEST_F(ServerConnectionTest, WhatTheFallbackRefusesMayBeTriedAgain) {
  fallback_.refusing = true;
  RpcClient::Call* call = client_->Unary("/t.T/Other", "hi");
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->error, kRefusedStream);
  unary_.on_request = [](ServerCall* served, Chunk request) { served->HandOver(std::move(request)); };
  call = client_->Unary("/t.T/Unary", "hi");
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->error, kRefusedStream);
  EXPECT_TRUE(unary_.cancelled.empty()) << "the method has let go of it";
  EXPECT_EQ(connection_->passed_on(), 0U);
  fallback_.refusing = false;
  EXPECT_EQ(client_->Unary("/t.T/Other", "hi")->Of(":status"), "299");
  EXPECT_EQ(connection_->session().streams(), 0U);
}

TEST_F(ServerConnectionTest, AStreamThatBeginsWhileTheServerStopsIsToldAtOnce) {
  stream_.on_stopping = [](ServerCall* call) { call->Fail(Status(Code::kUnavailable, "", "stops")); };
  RpcClient::Call* before = client_->Stream("/t.T/Stream");
  EXPECT_THAT(stream_.told, ElementsAre());
  connection_->StopStreams();
  client_->Exchange();
  EXPECT_EQ(before->status(), kUnavailable);
  stream_.told.clear();
  RpcClient::Call* after = client_->Stream("/t.T/Stream");
  EXPECT_EQ(stream_.told.at(0), "<stopping>");
  EXPECT_EQ(after->status(), kUnavailable);
  EXPECT_EQ(client_->Unary("/t.T/Unary", "hi")->status(), kOk);
}

TEST_F(ServerConnectionTest, CallsThatAreOverHaveNoDeadlineAnyMore) {
  unary_.on_request = nullptr;
  client_->Unary("/t.T/Unary", "", {{"grpc-timeout", "3S"}});
  RpcClient::Call* quick = client_->Unary("/t.T/Unary", "", {{"grpc-timeout", "1S"}});
  client_->Cancel(quick);
  EXPECT_EQ(connection_->next_deadline(), 4'000'000'000);
  unary_.calls[0]->Answer(AnswerOf(""));
  client_->Exchange();
  EXPECT_EQ(connection_->next_deadline(), kNever);
}

TEST_F(ServerConnectionTest, CountsManyCallsAgainstTheBudget) {
  unary_.on_request = nullptr;
  for (int i = 0; i < 60; ++i) client_->Stream("/t.T/Unary");
  EXPECT_EQ(budget_.used(), 0U);
  size_t refused = 0;
  for (int i = 0; i < 1000; ++i) {
    RpcClient::Call* call = client_->Stream("/t.T/Unary");
    if (call->closed) {
      EXPECT_EQ(call->error, kRefusedStream);
      ++refused;
    }
  }
  EXPECT_GT(refused, 400U);
  EXPECT_LT(refused, 600U);
  EXPECT_LE(budget_.used(), size_t{1} << 20);
}

TEST_F(ServerConnectionTest, TellsWhenThereIsSomethingToSend) {
  int told = 0;
  options_.on_unsent = [&] { ++told; };
  Connect(nullptr);
  unary_.on_request = nullptr;
  client_->Unary("/t.T/Unary", "1");
  client_->Unary("/t.T/Unary", "2");
  RpcClient::Call* stream = client_->Stream("/t.T/Stream");
  stream_.calls[0]->PauseReading();
  client_->Send(stream, "held");
  EXPECT_EQ(told, 0);
  const auto tells = [&](const auto& act) {
    const int before = told;
    act();
    return told > before && connection_->session().wants_write();
  };
  EXPECT_TRUE(tells([&] { unary_.calls[0]->Answer(AnswerOf("1")); }));
  EXPECT_TRUE(tells([&] { unary_.calls[1]->Fail(Status(Code::kInternal, "", "")); }));
  EXPECT_TRUE(tells([&] { stream_.calls[0]->Send(AnswerOf("1")); }));
  EXPECT_TRUE(tells([&] { stream_.calls[0]->ResumeReading(); }));
  EXPECT_TRUE(tells([&] { stream_.calls[0]->Finish(); }));
}

TEST_F(ServerConnectionTest, ServesManyCallsAtOnce) {
  unary_.on_request = nullptr;
  std::vector<RpcClient::Call*> calls;
  for (int i = 0; i < 50; ++i) calls.push_back(client_->Unary("/t.T/Unary", std::to_string(i)));
  EXPECT_EQ(connection_->session().streams(), 50U);
  for (size_t i = 0; i < 50; i += 2) client_->Cancel(calls[i]);
  EXPECT_EQ(unary_.cancelled.size(), 25U);
  for (size_t i = 1; i < 50; i += 2) unary_.calls[i]->Answer(AnswerOf(unary_.requests[i]));
  client_->Exchange();
  for (size_t i = 1; i < 50; i += 2) EXPECT_THAT(calls[i]->messages, ElementsAre(std::to_string(i)));
  EXPECT_EQ(connection_->session().streams(), 0U);
}

}  // namespace
}  // namespace maas
