#include "maas/front/upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "maas/front/upstream_testing.h"

namespace maas {
namespace {

using testing::Contains;
using testing::Pair;

class UpstreamTest : public FrontedClient {
 protected:
  explicit UpstreamTest(bool slow = false) {
    std::array<int, 2> ends;
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    server_ = std::make_unique<ServedSocket>(FileDescriptor(ends[0]), slow);
    Upstream::Options options;
    options.budget = &budget_;
    options.scratch = scratch_;
    upstream_ = std::make_unique<Upstream>(
        options, loop_.get(), SteadyClock::Get(), MakePlainTransport(FileDescriptor(ends[1]), "unix:"),
        [this] { ++produced_; },
        [this](Upstream* upstream) {
          EXPECT_EQ(upstream, upstream_.get());
          upstream_.reset();
        });
    EXPECT_TRUE(upstream_->Start().ok());
  }
  ~UpstreamTest() override {
    front_.reset();
    upstream_.reset();
    EXPECT_EQ(budget_.used(), 0);
  }

  Http2Stream* Take(int32_t /*stream*/, Headers headers, bool end) override {
    return upstream_ == nullptr || !upstream_->usable() ? nullptr
                                                        : upstream_->Open(front_.get(), headers, end);
  }
  std::vector<ServedSocket*> Servers() override { return {server_.get()}; }

  bool StepUntilAsked(size_t times = 1) {
    return StepUntil([&] { return server_->recorded.requests.size() == times; });
  }

  std::unique_ptr<ServedSocket> server_;
  std::unique_ptr<Upstream> upstream_;
  int produced_ = 0;
};

class SlowUpstreamTest : public UpstreamTest {
 protected:
  SlowUpstreamTest() : UpstreamTest(true) {}
};

TEST_F(UpstreamTest, CarriesStreamsOverItsSocket) {
  RecordingStream* const call = client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked());
  EXPECT_EQ(server_->request()->first, RecordingStream::Copy(kRequest));
  EXPECT_EQ(upstream_->streams(), 1);
  EXPECT_EQ(produced_, 0);
  server_->recorded.session.SendHeadersAndEnd(server_->request(), kRefusal);
  ASSERT_TRUE(StepUntil([&] { return call->closed; }));
  EXPECT_EQ(call->first, RecordingStream::Copy(kRefusal));
  EXPECT_EQ(call->code, 0);
  EXPECT_GT(produced_, 0);
  EXPECT_TRUE(upstream_->usable());
  EXPECT_EQ(upstream_->streams(), 0);
}

TEST_F(UpstreamTest, LargeBodiesGoBothWays) {
  std::string large(size_t{9} << 20, 'x');
  for (size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>('a' + i / 1000 % 26);
  RecordingStream* const call = client_.Open(kRequest);
  client_.session.SendBody(call, MakeChunk(large));
  client_.session.SendEnd(call);
  ASSERT_TRUE(StepUntilAsked());
  ASSERT_TRUE(StepUntil([&] { return server_->request()->ended; }));
  EXPECT_EQ(server_->request()->body, large);
  server_->recorded.session.SendHeaders(server_->request(), std::array<HeaderField, 1>{{{":status", "200"}}});
  server_->recorded.session.SendBody(server_->request(), MakeChunk(large));
  server_->recorded.session.SendEnd(server_->request());
  ASSERT_TRUE(StepUntil([&] { return call->closed; }));
  EXPECT_EQ(call->body, large);
}

TEST_F(SlowUpstreamTest, WhatAServerDoesNotReadWaitsInPiecesUntilItDoes) {
  RecordingStream* const call = client_.Open(kRequest);
  ASSERT_TRUE(StepUntilAsked());
  client_.session.SendBody(call, MakeChunk(std::string(size_t{4} << 20, 'x')));
  client_.session.SendEnd(call);
  Settle();
  EXPECT_LT(budget_.used(), size_t{5} << 18);  // A window, and a quarter.
  for (size_t read = 0; !server_->request()->ended;) {
    ASSERT_TRUE(
        StepUntil([&] { return server_->request()->ended || server_->request()->body.size() > read; }));
    server_->recorded.session.Consumed(server_->request(), server_->request()->body.size() - read);
    read = server_->request()->body.size();
  }
  EXPECT_EQ(server_->request()->body.size(), size_t{4} << 20);
}

TEST_F(UpstreamTest, CallsEndWhenTheServerClosesTheConnection) {
  RecordingStream* const call = client_.Open(kRequest);
  ASSERT_TRUE(StepUntilAsked());
  server_->Close();
  ASSERT_TRUE(StepUntil([&] { return call->ended; }));
  EXPECT_THAT(call->first, Contains(Pair("grpc-status", "14")));
  client_.session.SendEnd(call);
  ASSERT_TRUE(StepUntil([&] { return upstream_ == nullptr; }));
}

TEST_F(UpstreamTest, CallsEndWhenTheServerTalksNonsense) {
  RecordingStream* const call = client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked());
  server_->SendRaw(std::string(100, '\xff'));
  ASSERT_TRUE(StepUntil([&] { return call->closed; }));
  EXPECT_THAT(call->first, Contains(Pair("grpc-status", "14")));
  ASSERT_TRUE(StepUntil([&] { return upstream_ == nullptr; }));
}

TEST_F(UpstreamTest, AServerThatLeavesFinishesWhatItHas) {
  RecordingStream* const call = client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked());
  server_->recorded.session.GoAway(0, "");
  ASSERT_TRUE(StepUntil([&] { return !upstream_->usable(); }));
  Settle();
  EXPECT_FALSE(call->closed);
  server_->recorded.session.SendHeadersAndEnd(server_->request(), kRefusal);
  ASSERT_TRUE(StepUntil([&] { return upstream_ == nullptr; }));
  ASSERT_TRUE(StepUntil([&] { return call->closed; }));
  EXPECT_EQ(call->first, RecordingStream::Copy(kRefusal));
}

TEST_F(UpstreamTest, AConnectionThatIsNotNeededAnyMoreIsClosed) {
  client_.Open(kRequest, true);
  ASSERT_TRUE(StepUntilAsked());
  front_.reset();
  upstream_.reset();
  server_->Pump();
  server_->Pump();
  EXPECT_TRUE(server_->ended);
}

}  // namespace
}  // namespace maas
