#include "maas/front/pass_through.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "maas/front/upstream_testing.h"
#include "maas/net/socket_testing.h"
#include "maas/rpc/metadata.h"

namespace maas {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Not;
using testing::Pair;

// Listens on an abstract Unix socket and takes whoever comes.
class PassThroughTest : public FrontedClient {
 protected:
  PassThroughTest() { Listen(); }
  ~PassThroughTest() override {
    front_.reset();
    pass_through_.reset();
    EXPECT_EQ(budget_.used(), 0);
  }

  void Listen() { listening_ = ListenUnix(Path()); }
  std::string Path() const {
    return std::string("\0maas-pass-through-", 19) + std::to_string(getpid()) + "-" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  Http2Stream* Take(int32_t stream, Headers headers, bool end) override {
    if (pass_through_ == nullptr) {
      PassThrough::Options options;
      options.socket_path = Path();
      options.budget = &budget_;
      options.scratch = scratch_;
      options.max_streams = max_streams_;
      pass_through_ = std::make_unique<PassThrough>(options, loop_.get(), SteadyClock::Get(), &peer_,
                                                    [this] { ++produced_; });
    }
    if (whole_) {
      taken_.push_back(std::make_unique<RecordingStream>());
      taken_.back()->OnHeaders(headers, end);
      return taken_.back().get();
    }
    if (pass_through_->refuses()) return nullptr;
    return pass_through_->OnRequest(front_.get(), stream, headers, end);
  }
  std::vector<ServedSocket*> Servers() override {
    FileDescriptor socket(accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) sockets_.push_back(std::make_unique<ServedSocket>(std::move(socket)));
    std::vector<ServedSocket*> servers;
    for (const auto& each : sockets_) servers.push_back(each.get());
    return servers;
  }
  // Requests that all servers got.
  size_t asked() const {
    size_t requests = 0;
    for (const auto& each : sockets_) requests += each->recorded.requests.size();
    return requests;
  }
  bool StepUntilAsked(size_t times) {
    return StepUntil([&] { return asked() == times; });
  }
  ServedSocket& server() { return *sockets_.back(); }

  Peer peer_{"ipv4:192.0.2.7:4711", "", "", {}};
  bool whole_ = false;  // Requests are first taken by a stream of this test.
  size_t max_streams_ = PassThrough::Options{}.max_streams;
  int produced_ = 0;
  FileDescriptor listening_;
  std::vector<std::unique_ptr<ServedSocket>> sockets_;
  std::vector<std::unique_ptr<RecordingStream>> taken_;
  std::unique_ptr<PassThrough> pass_through_;
};

TEST_F(PassThroughTest, OneConnectionCarriesAllStreams) {
  RecordingStream* const first = client_.Open(kRequest, true);
  client_.Open(kRequest);
  ASSERT_TRUE(StepUntilAsked(2));
  EXPECT_EQ(sockets_.size(), 1);
  EXPECT_EQ(pass_through_->connections(), 1);
  EXPECT_EQ(pass_through_->streams(), 2);
  server().recorded.session.SendHeadersAndEnd(server().recorded.requests[0].get(), kRefusal);
  ASSERT_TRUE(StepUntil([&] { return first->closed; }));
  EXPECT_EQ(first->first, RecordingStream::Copy(kRefusal));
  EXPECT_GT(produced_, 0);
  EXPECT_EQ(pass_through_->streams(), 1);
}

TEST_F(PassThroughTest, SaysWhereTheClientIsAndNothingThatTheClientSaysOfItself) {
  std::vector<HeaderField> fields(kRequest.begin(), kRequest.end());
  fields.insert(fields.end(), {{"maas-peer", "ipv4:10.0.0.1:1"},
                               {"maas-peer-cert-bin", "Zm9yZ2Vk"},
                               {"maas-peer-name-bin", "Zm9yZ2Vk"},
                               {"maas-peers-to-come", "any"},
                               {"maas-other", "kept"}});
  client_.Open(fields, true);
  ASSERT_TRUE(StepUntilAsked(1));
  RecordingStream::Fields expected = RecordingStream::Copy(kRequest);
  expected.insert(expected.end(), {{"maas-other", "kept"}, {"maas-peer", "ipv4:192.0.2.7:4711"}});
  EXPECT_EQ(server().request()->first, expected);
}

TEST_F(PassThroughTest, SaysWhatAVerifiedCertificateSays) {
  peer_.certificate_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n";
  peer_.common_name = "Zo\xc3\xab";
  peer_.alternative_names = {"zoe.example", "spiffe://example/zoe"};
  client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked(1));
  EXPECT_THAT(server().request()->first,
              AllOf(Contains(Pair("maas-peer", peer_.address)),
                    Contains(Pair("maas-peer-cert-bin", Base64Encode(peer_.certificate_pem))),
                    Contains(Pair("maas-peer-name-bin", Base64Encode(peer_.common_name))),
                    Contains(Pair("maas-peer-alt-bin", Base64Encode("zoe.example"))),
                    Contains(Pair("maas-peer-alt-bin", Base64Encode("spiffe://example/zoe")))));
}

TEST_F(PassThroughTest, WithoutAVerifiedCertificateThereIsNoName) {
  peer_.common_name = "nobody";
  client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked(1));
  EXPECT_THAT(server().request()->first, Not(Contains(Pair("maas-peer-name-bin", testing::_))));
}

TEST_F(PassThroughTest, TakesNothingWhileNoServerIsThere) {
  listening_.Close();
  RecordingStream* const call = client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntil([&] { return call->closed; }));
  EXPECT_EQ(call->blocks, 0);
  EXPECT_EQ(pass_through_->connections(), 0);
  Listen();
  client_.Open(kRequest, true);
  EXPECT_TRUE(StepUntilAsked(1));
}

TEST_F(PassThroughTest, AfterAServerLeftThereIsANewConnection) {
  RecordingStream* const old = client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked(1));
  server().recorded.session.GoAway(0, "");
  Settle();
  RecordingStream* const next = client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked(2));
  EXPECT_EQ(sockets_.size(), 2);
  EXPECT_EQ(pass_through_->connections(), 2);
  for (const auto& each : sockets_) each->recorded.session.SendHeadersAndEnd(each->request(), kRefusal);
  ASSERT_TRUE(StepUntil([&] { return old->closed && next->closed; }));
  EXPECT_EQ(old->first, RecordingStream::Copy(kRefusal));
  EXPECT_EQ(next->first, RecordingStream::Copy(kRefusal));
  EXPECT_TRUE(StepUntil([&] { return pass_through_->connections() == 1 && sockets_[0]->ended; }));
}

TEST_F(PassThroughTest, AfterAServerBrokeThereIsANewConnection) {
  RecordingStream* const old = client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked(1));
  server().Close();
  ASSERT_TRUE(StepUntil([&] { return old->closed; }));
  EXPECT_THAT(old->first, Contains(Pair("grpc-status", "14")));
  client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked(2));
  EXPECT_TRUE(StepUntil([&] { return pass_through_->connections() == 1; }));
}

TEST_F(PassThroughTest, TheConnectionsEndWithTheClient) {
  client_.Open(kRequest);
  ASSERT_TRUE(StepUntilAsked(1));
  front_.reset();
  pass_through_.reset();
  server().Pump();
  server().Pump();
  EXPECT_TRUE(server().ended);
}

TEST_F(PassThroughTest, RefusesWhatIsMoreThanMayBeUnderWayOnEitherSide) {
  max_streams_ = 2;
  RecordingStream* const first = client_.Open(kRequest);
  client_.Open(kRequest);
  ASSERT_TRUE(StepUntilAsked(2));
  EXPECT_TRUE(pass_through_->refuses());
  RecordingStream* const third = client_.Open(kRequest);
  ASSERT_TRUE(StepUntil([&] { return third->closed; }));
  EXPECT_EQ(third->code, 7U);
  // The client has let go of it, and the server has not heard of that yet.
  client_.session.Reset(first, 8);
  Carry(&client_.session, front_.get());
  EXPECT_EQ(front_->streams(), 1);
  EXPECT_TRUE(pass_through_->refuses());
  ASSERT_TRUE(StepUntil([&] { return server().recorded.requests[0]->closed; }));
  EXPECT_FALSE(pass_through_->refuses());
  client_.Open(kRequest);
  EXPECT_TRUE(StepUntilAsked(3));
  EXPECT_EQ(asked(), 3);
}

TEST_F(PassThroughTest, TheConnectionsMayEndBeforeTheClient) {
  client_.Open(kRequest);
  RecordingStream* const talking = client_.Open(kRequest);
  ASSERT_TRUE(StepUntilAsked(2));
  client_.session.SendBody(talking, MakeChunk("waits to leave as one piece"));
  Carry(&client_.session, front_.get());
  pass_through_->Close();
  server().Pump();
  server().Pump();
  EXPECT_TRUE(server().ended);
  EXPECT_FALSE(server().recorded.requests[0]->closed) << "it was not reset alone";
  EXPECT_EQ(pass_through_->streams(), 2) << "of the client";
  front_.reset();
  EXPECT_EQ(pass_through_->streams(), 0);
}

TEST_F(PassThroughTest, AMessageThatCameWholeIsFramedAgain) {
  whole_ = true;
  RecordingStream* const call = client_.Open(kRequest);
  client_.session.SendEnd(call);
  ASSERT_TRUE(StepUntil([&] { return !taken_.empty() && taken_.back()->ended; }));
  const std::string message(70'000, 'x');
  Http2Stream* const joined = pass_through_->OnRequest(front_.get(), taken_.back().get(), kRequest,
                                                       std::as_bytes(std::span(message)));
  ASSERT_NE(joined, nullptr);
  taken_.clear();
  ASSERT_TRUE(StepUntilAsked(1));
  ASSERT_TRUE(StepUntil([&] { return server().request()->ended; }));
  EXPECT_EQ(server().request()->body, std::string("\0\0\1\x11\x70", 5) + message);
  EXPECT_THAT(server().request()->first, Contains(Pair("maas-peer", peer_.address)));
  server().recorded.session.SendHeadersAndEnd(server().request(), kRefusal);
  ASSERT_TRUE(StepUntil([&] { return call->closed; }));
  EXPECT_EQ(call->first, RecordingStream::Copy(kRefusal));
}

TEST_F(PassThroughTest, AMessageThatCannotBePassedOnStaysWhereItIs) {
  whole_ = true;
  RecordingStream* const call = client_.Open(kRequest);
  ASSERT_TRUE(StepUntil([&] { return !taken_.empty(); }));
  listening_.Close();
  EXPECT_EQ(pass_through_->OnRequest(front_.get(), taken_.back().get(), kRequest, {}), nullptr);
  EXPECT_TRUE(taken_.back()->open());
  front_->SendHeadersAndEnd(taken_.back().get(), kRefusal);
  ASSERT_TRUE(StepUntil([&] { return call->ended; }));
}

}  // namespace
}  // namespace maas
