#include "maas/front/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "maas/front/relay_testing.h"

namespace maas {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Pair;

constexpr uint32_t kRefusedStream = 7;
constexpr uint32_t kCancel = 8;
constexpr uint32_t kEnhanceYourCalm = 11;

constexpr std::array<HeaderField, 7> kRequest{{{":method", "POST"},
                                               {":scheme", "http"},
                                               {":path", "/service/method"},
                                               {":authority", "here"},
                                               {"te", "trailers"},
                                               {"content-type", "application/grpc+proto"},
                                               {"key", "value"}}};
constexpr std::array<HeaderField, 4> kPlainRequest{
    {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "here"}}};
constexpr std::array<HeaderField, 2> kAnswer{{{":status", "200"}, {"content-type", "application/grpc"}}};
constexpr std::array<HeaderField, 1> kTrailers{{{"grpc-status", "0"}}};
constexpr std::array<HeaderField, 3> kRefusal{
    {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "5"}}};

// Client - (front | relays | behind) - server.
class RelayTest : public testing::Test, private Http2Session::Owner, private Relay::Owner {
 protected:
  explicit RelayTest(bool slow_server = false) : server_(&clock_, Small(), slow_server) {}

  ~RelayTest() override {
    front_.reset();
    behind_.reset();
    EXPECT_THAT(relays_, testing::IsEmpty());
    EXPECT_EQ(budget_.used(), 0);
  }

  static Http2Session::Options Small() {
    Http2Session::Options options;
    options.stream_window = kWindow;
    return options;
  }

  // Until nobody has anything to say. Returns how many bytes went.
  size_t Pump() {
    size_t all = 0;
    for (size_t moved = 1; moved > 0; all += moved) {
      moved = Carry(&client_.session, front_.get());
      if (behind_ != nullptr) moved += Carry(&server_.session, behind_.get());
      bool waits = true;
      while (waits) {  // As a connection does: what was sent makes room.
        waits = false;
        const std::vector<Relay*> held = std::exchange(held_, {});
        for (Relay* relay : held) {
          if (relay->Flush()) held_.push_back(relay);
        }
        const size_t sent = behind_ == nullptr ? 0 : Carry(behind_.get(), &server_.session);
        waits = sent > 0 && !held_.empty();
        moved += sent;
      }
      moved += Carry(front_.get(), &client_.session);
    }
    return all;
  }

  // To be opened at once.
  Relay* Join() {
    relays_.push_back(
        std::make_unique<Relay>(front_.get(), behind_.get(), &budget_, static_cast<Relay::Owner*>(this)));
    return relays_.back().get();
  }

  // The server is gone.
  void Break() {
    for (const auto& relay : relays_) relay->Break();
    behind_.reset();
  }

  RecordingStream* OpenAndPump(Headers fields = kRequest, bool end = false) {
    RecordingStream* const stream = client_.Open(fields, end);
    Pump();
    return stream;
  }
  RecordingStream* request() { return server_.requests.back().get(); }

  static constexpr size_t kBudget = size_t{8} << 20;
  static constexpr uint32_t kWindow = 65535;
  // What one direction of a relay may keep: a window, what the next session queues, and the streams.
  static constexpr size_t kMost = kWindow + 2 * Http2Session::kLowWater + 4096;

  FakeClock clock_;
  MemoryBudget budget_{kBudget};
  bool hand_over_ = false;  // Requests are first taken by a stream of this test.
  std::vector<std::unique_ptr<Relay>> relays_;
  std::vector<Relay*> held_;
  std::vector<std::unique_ptr<RecordingStream>> taken_;
  RecordingServer server_;
  RecordingClient client_{&clock_, Small()};
  std::unique_ptr<Http2Session> behind_ = std::make_unique<Http2Session>(
      Http2Session::Role::kClient, Small(), &clock_, static_cast<Http2Session::Owner*>(this));
  std::unique_ptr<Http2Session> front_ = std::make_unique<Http2Session>(
      Http2Session::Role::kServer, Small(), &clock_, static_cast<Http2Session::Owner*>(this));

 private:
  Http2Stream* OnRequest(int32_t /*stream*/, Headers headers, bool end) override {
    if (hand_over_) {
      taken_.push_back(std::make_unique<RecordingStream>());
      taken_.back()->OnHeaders(headers, end);
      return taken_.back().get();
    }
    if (Relay* const relay = Join(); relay->Open(headers, end)) return relay->client_stream();
    relays_.pop_back();
    return nullptr;
  }
  void OnHeld(Relay* relay) override { held_.push_back(relay); }
  void OnQueued(bool /*client*/) override {}
  void OnOver(Relay* relay) override {
    std::erase(held_, relay);
    std::erase_if(relays_, [relay](const auto& one) { return one.get() == relay; });
  }
};

class SlowServerTest : public RelayTest {
 protected:
  SlowServerTest() : RelayTest(true) {}
};

TEST_F(RelayTest, FieldsBodiesAndTrailersGoThroughUnchanged) {
  RecordingStream* const call = OpenAndPump();
  ASSERT_EQ(server_.requests.size(), 1);
  EXPECT_EQ(request()->first, RecordingStream::Copy(kRequest));
  EXPECT_FALSE(request()->ended);

  client_.session.SendBody(call, MakeChunk("question"));
  Pump();
  EXPECT_EQ(request()->body, "question");
  EXPECT_FALSE(request()->ended);
  client_.session.SendEnd(call);
  server_.session.SendHeaders(request(), kAnswer);
  server_.session.SendBody(request(), MakeChunk("answer"));
  Pump();
  EXPECT_TRUE(request()->ended);
  EXPECT_EQ(call->first, RecordingStream::Copy(kAnswer));
  EXPECT_EQ(call->body, "answer");
  EXPECT_FALSE(call->ended);

  server_.session.SendTrailers(request(), kTrailers);
  Pump();
  EXPECT_EQ(call->trailers, RecordingStream::Copy(kTrailers));
  EXPECT_TRUE(call->ended);
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->code, 0);
  EXPECT_TRUE(request()->closed);
  EXPECT_THAT(relays_, testing::IsEmpty());
}

TEST_F(RelayTest, RequestAndAnswerMayBeNothingButFields) {
  RecordingStream* const call = OpenAndPump(kRequest, true);
  EXPECT_TRUE(request()->ended);
  server_.session.SendHeadersAndEnd(request(), kRefusal);
  Pump();
  EXPECT_EQ(call->blocks, 1);
  EXPECT_EQ(call->first, RecordingStream::Copy(kRefusal));
  EXPECT_TRUE(call->ended);
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->code, 0);
}

TEST_F(RelayTest, TrailersOfARequestGoThroughBehindItsBody) {
  RecordingStream* const call = OpenAndPump();
  client_.session.SendBody(call, MakeChunk("question"));
  client_.session.SendTrailers(call, kTrailers);
  Pump();
  EXPECT_EQ(request()->body, "question");
  EXPECT_EQ(request()->trailers, RecordingStream::Copy(kTrailers));
  EXPECT_TRUE(request()->ended);
}

TEST_F(RelayTest, AnEmptyAnswerWithoutTrailersEnds) {
  RecordingStream* const call = OpenAndPump(kPlainRequest, true);
  server_.session.SendHeaders(request(), kAnswer);
  server_.session.SendEnd(request());
  Pump();
  EXPECT_TRUE(call->ended);
  EXPECT_TRUE(call->closed);
}

TEST_F(RelayTest, ResetsGoThroughWithTheirCodes) {
  RecordingStream* const first = OpenAndPump();
  client_.session.Reset(first, kCancel);
  Pump();
  EXPECT_TRUE(request()->closed);
  EXPECT_EQ(request()->code, kCancel);

  RecordingStream* const second = OpenAndPump();
  server_.session.SendHeaders(request(), kAnswer);
  Pump();
  server_.session.Reset(request(), kEnhanceYourCalm);
  Pump();
  EXPECT_TRUE(second->closed);
  EXPECT_FALSE(second->ended);
  EXPECT_EQ(second->code, kEnhanceYourCalm);
  EXPECT_THAT(relays_, testing::IsEmpty());
}

TEST_F(RelayTest, AClientThatDoesNotReadHoldsBackItsStreamAlone) {
  const std::string large(size_t{2} << 20, 'x');
  RecordingStream* const slow = client_.Open(kRequest, true, RecordingStream::Slow());
  Pump();
  RecordingStream* const answered = request();
  server_.session.SendHeaders(answered, kAnswer);
  server_.session.SendBody(answered, MakeChunk(large));
  server_.session.SendTrailers(answered, kTrailers);
  Pump();
  EXPECT_EQ(slow->body.size(), kWindow);
  EXPECT_GE(answered->unsent(), large.size() - kWindow - kMost);
  EXPECT_LE(budget_.used(), kMost);

  RecordingStream* const other = OpenAndPump(kRequest, true);
  server_.session.SendHeaders(request(), kAnswer);
  server_.session.SendBody(request(), MakeChunk(large));
  server_.session.SendTrailers(request(), kTrailers);
  Pump();
  EXPECT_EQ(other->body, large);
  EXPECT_TRUE(other->closed);
  EXPECT_FALSE(slow->ended);

  for (size_t read = 0; read < large.size();) {
    const size_t more = slow->body.size() - read;
    ASSERT_GT(more, 0);
    client_.session.Consumed(slow, more);
    read += more;
    Pump();
  }
  EXPECT_EQ(slow->body, large);
  EXPECT_EQ(slow->trailers, RecordingStream::Copy(kTrailers));
  EXPECT_EQ(slow->code, 0);
}

TEST_F(SlowServerTest, AServerThatDoesNotReadHoldsBackTheClient) {
  const std::string large(size_t{2} << 20, 'x');
  RecordingStream* const call = OpenAndPump();
  client_.session.SendBody(call, MakeChunk(large));
  client_.session.SendEnd(call);
  Pump();
  EXPECT_EQ(request()->body.size(), kWindow);
  EXPECT_GE(call->unsent(), large.size() - kWindow - kMost);
  EXPECT_LE(budget_.used(), kMost);
  for (size_t read = 0; read < large.size();) {
    const size_t more = request()->body.size() - read;
    ASSERT_GT(more, 0);
    server_.session.Consumed(request(), more);
    read += more;
    Pump();
  }
  EXPECT_EQ(request()->body, large);
  EXPECT_TRUE(request()->ended);
}

TEST_F(SlowServerTest, BytesThatComeOneByOneWaitTogether) {
  RecordingStream* const call = OpenAndPump();
  client_.session.SendBody(call, MakeChunk(std::string(kWindow, 'x')));
  Pump();
  for (int i = 0; i < 3000; ++i) {
    client_.session.SendBody(call, MakeChunk("y"));
    Pump();
  }
  EXPECT_TRUE(relays_.front()->Flush()) << "each went its own way";
  held_.push_back(relays_.front().get());
  server_.session.Consumed(request(), request()->body.size());
  Pump();
  EXPECT_EQ(request()->body.size(), kWindow + 3000);
}

TEST_F(RelayTest, WhatWasReceivedTogetherLeavesTogether) {
  RecordingStream* const call = OpenAndPump();
  for (int i = 0; i < 100; ++i) client_.session.SendBody(call, MakeChunk("y"));
  Pump();
  EXPECT_EQ(request()->body.size(), 100);
  EXPECT_EQ(request()->pieces, 1);
}

TEST_F(SlowServerTest, WithoutMemoryBothStreamsAreReset) {
  ASSERT_TRUE(budget_.Take(kBudget - 4000));
  RecordingStream* const call = OpenAndPump();
  client_.session.SendBody(call, MakeChunk(std::string(kWindow, 'x')));
  Pump();
  EXPECT_EQ(call->code, kEnhanceYourCalm);
  EXPECT_EQ(request()->code, kEnhanceYourCalm);
  EXPECT_THAT(relays_, testing::IsEmpty());
  budget_.Give(kBudget - 4000);
}

TEST_F(RelayTest, WhatComesAfterTheAnswerIsDropped) {
  RecordingStream* const call = OpenAndPump();
  client_.session.SendBody(call, MakeChunk(std::string(100'000, 'x')));
  server_.session.SendHeadersAndEnd(request(), kRefusal);
  Pump();
  EXPECT_EQ(call->first, RecordingStream::Copy(kRefusal));
  EXPECT_TRUE(call->ended);
  client_.session.SendBody(call, MakeChunk(std::string(100'000, 'x')));
  client_.session.SendEnd(call);
  Pump();
  EXPECT_TRUE(call->closed);
  EXPECT_EQ(call->unsent(), 0);
  EXPECT_THAT(relays_, testing::IsEmpty());
}

TEST_F(RelayTest, StreamsThatALeavingServerRefusesMayBeTriedElsewhere) {
  RecordingStream* const taken = OpenAndPump();
  server_.session.GoAway(0, "");
  RecordingStream* const refused = client_.Open(kRequest, true);
  Pump();
  EXPECT_TRUE(refused->closed);
  EXPECT_EQ(refused->code, kRefusedStream);
  EXPECT_FALSE(taken->closed);
  server_.session.SendHeadersAndEnd(request(), kRefusal);
  client_.session.SendEnd(taken);
  Pump();
  EXPECT_EQ(taken->first, RecordingStream::Copy(kRefusal));
}

TEST_F(RelayTest, CallsOfAServerThatBreaksEndWithUnavailable) {
  RecordingStream* const waiting = OpenAndPump();
  RecordingStream* const streaming = OpenAndPump();
  server_.session.SendHeaders(request(), kAnswer);
  server_.session.SendBody(request(), MakeChunk("part"));
  RecordingStream* const page = OpenAndPump(kPlainRequest, true);
  RecordingStream* const half_a_page = OpenAndPump(kPlainRequest, true);
  server_.session.SendHeaders(request(), kAnswer);
  Pump();
  Break();
  Pump();
  EXPECT_THAT(waiting->first, Contains(Pair("grpc-status", "14")));
  EXPECT_THAT(waiting->first, Contains(Pair(":status", "200")));
  EXPECT_TRUE(waiting->ended);
  EXPECT_EQ(streaming->body, "part");
  EXPECT_THAT(streaming->trailers, ElementsAre(Pair("grpc-status", "14"),
                                               Pair("grpc-message", "the server ended the connection")));
  EXPECT_TRUE(streaming->ended);
  EXPECT_THAT(page->first, ElementsAre(Pair(":status", "502")));
  EXPECT_TRUE(page->ended);
  EXPECT_TRUE(half_a_page->closed);
  EXPECT_FALSE(half_a_page->ended);
}

TEST_F(RelayTest, AClientThatGoesAwayCancelsItsCalls) {
  OpenAndPump();
  client_.session.SendBody(client_.streams.back().get(), MakeChunk("question"));
  OpenAndPump();
  front_.reset();
  Carry(behind_.get(), &server_.session);
  ASSERT_EQ(server_.requests.size(), 2);
  for (const auto& each : server_.requests) {
    EXPECT_TRUE(each->closed);
    EXPECT_NE(each->code, 0);
  }
}

TEST_F(RelayTest, ARequestThatCameWholeIsTakenOver) {
  hand_over_ = true;
  RecordingStream* const call = OpenAndPump();
  client_.session.SendBody(call, MakeChunk("question"));
  Pump();
  ASSERT_EQ(taken_.size(), 1);
  ASSERT_TRUE(Join()->Open(kRequest, MakeChunk("the question"), taken_.back().get()));
  taken_.clear();
  Pump();
  EXPECT_EQ(request()->body, "the question");
  EXPECT_TRUE(request()->ended);
  client_.session.SendBody(call, MakeChunk("afterthought"));
  client_.session.SendEnd(call);
  server_.session.SendHeaders(request(), kAnswer);
  server_.session.SendBody(request(), MakeChunk("answer"));
  server_.session.SendTrailers(request(), kTrailers);
  Pump();
  EXPECT_EQ(request()->body, "the question");
  EXPECT_EQ(call->body, "answer");
  EXPECT_EQ(call->trailers, RecordingStream::Copy(kTrailers));
  EXPECT_EQ(call->code, 0);
}

}  // namespace
}  // namespace maas
