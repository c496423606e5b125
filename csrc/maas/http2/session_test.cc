#include "maas/http2/session.h"

#include <gtest/gtest.h>

#include "maas/http2/session_testing.h"

namespace maas {
namespace {

constexpr uint32_t kCancel = 8;
constexpr uint32_t kRefused = 7;

TEST(Http2Session, CarriesAUnaryCall) {
  RecordingStream call;
  Pair pair;
  ASSERT_TRUE(pair.Open(&call));
  pair.client.SendBody(&call, MakeChunk("question"));
  pair.client.SendEnd(&call);
  pair.Run();
  ASSERT_EQ(pair.server_owner.requests.size(), 1U);
  EXPECT_EQ(pair.server_owner.requests[0], kRequest);
  RecordingStream* const handler = pair.AtServer(call);
  EXPECT_EQ(handler->body, "question");
  EXPECT_EQ(handler->ends, 1);
  EXPECT_TRUE(pair.server.established());
  EXPECT_EQ(pair.server.streams(), 1U);

  pair.Answer(handler, "answer");
  EXPECT_EQ(handler->unsent(), 6U);
  pair.Run();
  ASSERT_EQ(call.blocks.size(), 2U);
  EXPECT_EQ(call.blocks[0], kAnswer);
  EXPECT_EQ(call.blocks[1], kTrailers);
  EXPECT_TRUE(call.headers_ended);
  EXPECT_EQ(call.body, "answer");
  EXPECT_EQ(call.ends, 1);
  EXPECT_EQ(call.closed, 0U);
  EXPECT_EQ(handler->closed, 0U);
  EXPECT_EQ(pair.server.streams(), 0U);
  EXPECT_EQ(pair.client.streams(), 0U);
}

TEST(Http2Session, MayBeAnsweredWithinOnRequest) {
  Pair pair;
  pair.server_owner.on_request = [&](int32_t id, RecordingStream* stream, bool end) {
    EXPECT_TRUE(end);
    pair.server.Attach(id, stream);
    pair.server.SendHeadersAndEnd(stream, Views({{":status", "200"}, {"grpc-status", "12"}}));
  };
  RecordingStream call;
  RecordingStream* const handler = pair.Begin(&call, true);
  ASSERT_EQ(call.blocks.size(), 1U);
  EXPECT_EQ(FindHeader(Views(call.blocks[0]), "grpc-status"), "12");
  EXPECT_EQ(call.closed, 0U);
  EXPECT_EQ(handler->ends, 1);
}

TEST(Http2Session, ResetsARequestThatGoesOnAfterItsAnswer) {
  Pair pair;
  pair.server_owner.on_request = [&](int32_t id, RecordingStream* stream, bool) {
    pair.server.Attach(id, stream);
    pair.Answer(stream, "enough");
  };
  RecordingStream call;
  RecordingStream* const handler = pair.Begin(&call);
  EXPECT_EQ(call.body, "enough");
  EXPECT_EQ(call.closed, 0U);
  EXPECT_EQ(handler->closed, 0U);
  EXPECT_EQ(handler->ends, 0);
}

TEST(Http2Session, SendsMessagesOfAStreamWhenTheyCome) {
  RecordingStream call;
  Pair pair;
  RecordingStream* const handler = pair.Begin(&call);
  pair.server.SendHeaders(handler, Views(kAnswer));
  pair.Run();
  EXPECT_EQ(call.blocks.size(), 1U);
  for (int i = 0; i < 3; ++i) {
    pair.client.SendBody(&call, MakeChunk("ping"));
    pair.Run();
    pair.server.SendBody(handler, MakeChunk("..pong"), 2);
    pair.Run();
  }
  EXPECT_EQ(handler->body, "pingpingping");
  EXPECT_EQ(call.body, "pongpongpong");
  pair.server.SendTrailers(handler, Views(kTrailers));
  pair.client.SendEnd(&call);
  pair.Run();
  EXPECT_EQ(call.closed, 0U);
}

TEST(Http2Session, EndsAnAnswerWithoutTrailers) {
  RecordingStream call;
  Pair pair;
  RecordingStream* const handler = pair.Begin(&call, true);
  pair.server.SendHeaders(handler, Views(kAnswer));
  pair.Run();
  pair.server.SendEnd(handler);
  pair.Run();
  EXPECT_EQ(call.ends, 1);
  EXPECT_EQ(call.closed, 0U);
}

TEST(Http2Session, SendsTrailersAfterNoBodyAtAll) {
  RecordingStream call;
  Pair pair;
  RecordingStream* const handler = pair.Begin(&call, true);
  pair.server.SendHeaders(handler, Views(kAnswer));
  pair.server.SendTrailers(handler, Views(kTrailers));
  pair.Run();
  ASSERT_EQ(call.blocks.size(), 2U);
  EXPECT_EQ(call.blocks[1], kTrailers);
  EXPECT_EQ(call.closed, 0U);
}

TEST(Http2Session, PassesAResetOn) {
  RecordingStream first, second;
  Pair pair;
  ASSERT_TRUE(pair.Open(&first));
  ASSERT_TRUE(pair.Open(&second));
  pair.Run();
  pair.client.Reset(&first, kCancel);
  pair.server.SendHeaders(pair.AtServer(second), Views(kAnswer));
  pair.server.SendBody(pair.AtServer(second), MakeChunk("dropped"));
  pair.server.Reset(pair.AtServer(second), 2);
  EXPECT_EQ(pair.AtServer(second)->unsent(), 0U);
  EXPECT_FALSE(pair.AtServer(second)->closed.has_value());
  pair.Run();
  EXPECT_EQ(first.closed, kCancel);
  EXPECT_EQ(pair.AtServer(first)->closed, kCancel);
  EXPECT_EQ(second.closed, 2U);
  EXPECT_TRUE(second.blocks.empty());
  EXPECT_EQ(pair.AtServer(second)->closed, 2U);
}

TEST(Http2Session, RefusesAStreamThatNobodyHandles) {
  RecordingStream call;
  Pair pair;
  pair.server_owner.refuse = true;
  ASSERT_TRUE(pair.Open(&call));
  pair.Run();
  EXPECT_EQ(call.closed, kRefused);
  EXPECT_EQ(pair.server.streams(), 0U);
}

TEST(Http2Session, IgnoresWhatIsSentOnAClosedStream) {
  RecordingStream call;
  Pair pair;
  RecordingStream* const handler = pair.Begin(&call);
  pair.client.Reset(&call, kCancel);
  pair.Run();
  ASSERT_TRUE(handler->closed.has_value());
  EXPECT_FALSE(handler->open());
  pair.Answer(handler, "late");
  pair.server.Reset(handler, kCancel);
  pair.server.Consumed(handler, 5);
  pair.Run();
  EXPECT_EQ(handler->unsent(), 0U);
  EXPECT_TRUE(call.blocks.empty());
}

TEST(Http2Session, ReplacesAHandlerWithItsUnsentBody) {
  RecordingStream call, other;
  Pair pair;
  RecordingStream* const handler = pair.Begin(&call);
  pair.server.SendHeaders(handler, Views(kAnswer));
  pair.server.SendBody(handler, MakeChunk("begun, "));
  pair.server.Replace(handler, &other);
  EXPECT_FALSE(handler->open());
  EXPECT_EQ(other.id(), call.id());
  pair.server_owner.streams.clear();
  pair.client.SendBody(&call, MakeChunk("more"));
  pair.client.SendEnd(&call);
  pair.Run();
  EXPECT_EQ(other.body, "more");
  EXPECT_EQ(other.ends, 1);
  pair.server.SendBody(&other, MakeChunk("done"));
  pair.server.SendTrailers(&other, Views(kTrailers));
  pair.Run();
  EXPECT_EQ(call.body, "begun, done");
  EXPECT_EQ(other.closed, 0U);
}

TEST(Http2Session, ClosesItsStreamsWhenItGoes) {
  RecordingStream call;
  {
    Pair pair;
    ASSERT_TRUE(pair.Open(&call));
    pair.Run();
    EXPECT_EQ(pair.client.streams(), 1U);
  }
  EXPECT_EQ(call.closed, kCancel);
}

TEST(Http2Session, TakesStreamsThatDestroyThemselvesWhenClosed) {
  Pair pair;
  auto call = std::make_unique<RecordingStream>();
  call->on_closed = [&] { call.reset(); };
  ASSERT_TRUE(pair.Open(call.get(), true));
  pair.server_owner.on_request = [&](int32_t id, RecordingStream* stream, bool) {
    stream->on_closed = [&, id] { pair.server_owner.streams.erase(id); };
    pair.server.Attach(id, stream);
    pair.Answer(stream, "bye");
  };
  pair.Run();
  EXPECT_EQ(call, nullptr);
  EXPECT_TRUE(pair.server_owner.streams.empty());
}

TEST(Http2Session, SendsNothingWhenThereIsNothing) {
  Pair pair;
  pair.Run();
  EXPECT_FALSE(pair.server.wants_write());
  EXPECT_FALSE(pair.client.wants_write());
  EXPECT_TRUE(pair.server.Produce());
  EXPECT_TRUE(pair.server.out().empty());
  EXPECT_FALSE(pair.server.over());
}

TEST(Http2Session, TellsWhenAPingIsAnswered) {
  Pair pair;
  pair.server.Ping();
  pair.Run();
  EXPECT_EQ(pair.server_owner.pings_answered, 1);
}

}  // namespace
}  // namespace maas
