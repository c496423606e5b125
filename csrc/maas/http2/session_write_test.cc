// Large bodies, flow control, and how much of them is in memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "maas/http2/session.h"
#include "maas/http2/session_testing.h"

namespace maas {
namespace {

Http2Session::Options Windows(uint32_t stream, uint32_t connection = 16U << 20) {
  Http2Session::Options options;
  options.stream_window = stream;
  options.connection_window = connection;
  return options;
}

// A call whose request is done.
RecordingStream* Begin(Pair* pair, RecordingStream* call) {
  RecordingStream* const handler = pair->Begin(call, true);
  pair->server.SendHeaders(handler, Views(kAnswer));
  return handler;
}

TEST(SessionWrite, CarriesLargeBodiesBothWays) {
  RecordingStream call;
  Pair pair;
  const std::string request(3'000'000, 'q'), answer(5'000'000, 'a');
  ASSERT_TRUE(pair.Open(&call));
  pair.client.SendBody(&call, MakeChunk(request));
  pair.client.SendEnd(&call);
  pair.Run();
  EXPECT_TRUE(pair.AtServer(call)->body == request);
  pair.Answer(pair.AtServer(call), answer);
  pair.Run();
  EXPECT_TRUE(call.body == answer);
  EXPECT_EQ(call.closed, 0U);
  EXPECT_EQ(pair.server.body_bytes_sent(), answer.size());
  EXPECT_EQ(pair.server.unsent(), 0U);
}

TEST(SessionWrite, SendsALargeBodyFromWhereItLies) {
  RecordingStream call;
  Pair pair;
  RecordingStream* const handler = Begin(&pair, &call);
  pair.Run();
  Chunk body = MakeChunk(std::string(200'000, 'x'));
  const std::byte* const begin = body.data();
  const std::byte* const end = begin + body.size();
  pair.server.SendBody(handler, std::move(body));
  pair.server.Produce(1 << 20);
  std::vector<iovec> pieces(100);
  const size_t count = pair.server.out().Gather(pieces);
  size_t in_place = 0;
  for (const iovec& piece : std::span(pieces).first(count)) {
    const auto* const at = static_cast<const std::byte*>(piece.iov_base);
    if (at >= begin && at < end) in_place += piece.iov_len;
  }
  EXPECT_GT(in_place, 190'000U);
}

TEST(SessionWrite, ProducesAboutAsMuchAsIsEnough) {
  RecordingStream call;
  Pair pair({}, Windows(8U << 20));
  RecordingStream* const handler = Begin(&pair, &call);
  pair.server.SendBody(handler, MakeChunk(std::string(2'000'000, 'x')));
  EXPECT_TRUE(pair.server.Produce(100'000));
  EXPECT_GE(pair.server.out().size(), 100'000U);
  EXPECT_LT(pair.server.out().size(), 120'000U);
  EXPECT_TRUE(pair.server.wants_write());
  const size_t before = pair.server.out().size();
  EXPECT_TRUE(pair.server.Produce(100'000));
  EXPECT_EQ(pair.server.out().size(), before);
  pair.Run();
  EXPECT_EQ(call.body.size(), 2'000'000U);
}

TEST(SessionWrite, ASlowReaderHoldsBackItsOwnStreamOnly) {
  RecordingStream slow, fast;
  Pair pair({}, Windows(100'000));
  slow.HoldWindow();
  RecordingStream* const to_slow = Begin(&pair, &slow);
  RecordingStream* const to_fast = Begin(&pair, &fast);
  const std::string body(1'000'000, 'x');
  for (RecordingStream* const handler : {to_slow, to_fast}) {
    pair.server.SendBody(handler, MakeChunk(body));
    pair.server.SendTrailers(handler, Views(kTrailers));
  }
  pair.Run();
  EXPECT_EQ(slow.body.size(), 100'000U);
  EXPECT_EQ(fast.body.size(), body.size());
  EXPECT_EQ(fast.closed, 0U);
  EXPECT_EQ(to_slow->unsent(), 900'000U);
  EXPECT_EQ(pair.server.unsent(), 900'000U);
  while (slow.body.size() < body.size()) {
    const size_t before = slow.body.size();
    pair.client.Consumed(&slow, 60'000);
    pair.Run();
    ASSERT_GT(slow.body.size(), before);
    ASSERT_LE(slow.body.size(), before + 60'000);
  }
  EXPECT_EQ(slow.closed, 0U);
}

TEST(SessionWrite, HeldRequestsHoldTheClientBack) {
  RecordingStream call;
  Pair pair(Windows(70'000));
  pair.server_owner.on_request = [](int32_t, RecordingStream* stream, bool) { stream->HoldWindow(); };
  ASSERT_TRUE(pair.Open(&call));
  pair.client.SendBody(&call, MakeChunk(std::string(200'000, 'x')));
  pair.client.SendEnd(&call);
  pair.Run();
  RecordingStream* const handler = pair.AtServer(call);
  EXPECT_LE(handler->body.size(), 70'000U);
  EXPECT_EQ(handler->ends, 0);
  for (int i = 0; i < 5; ++i) {
    pair.server.Consumed(handler, std::min<size_t>(handler->body.size(), 70'000));
    pair.Run();
  }
  EXPECT_EQ(handler->body.size(), 200'000U);
  EXPECT_EQ(handler->ends, 1);
}

TEST(SessionWrite, TellsOnceWhenThereIsRoomAgain) {
  RecordingStream call;
  Pair pair({}, Windows(1U << 20));
  call.HoldWindow();
  RecordingStream* const handler = Begin(&pair, &call);
  pair.server.SendBody(handler, MakeChunk(std::string(1000, 'x')));
  pair.Run();
  EXPECT_EQ(handler->rooms, 0);
  pair.server.SendBody(handler, MakeChunk(std::string((1 << 20) + 90'000, 'x')));
  pair.Run();
  EXPECT_EQ(handler->rooms, 0);  // 91,000 wait.
  pair.client.Consumed(&call, 600'000);
  pair.Run();
  EXPECT_EQ(handler->rooms, 1);
  EXPECT_EQ(handler->unsent(), 0U);
}

TEST(SessionWrite, SendsWhatAStreamAddsWhenThereIsRoom) {
  RecordingStream call;
  Pair pair;
  RecordingStream* const handler = Begin(&pair, &call);
  int more = 20;
  handler->on_room = [&] {
    if (--more > 0) {
      pair.server.SendBody(handler, MakeChunk(std::string(100'000, 'x')));
    } else {
      pair.server.SendTrailers(handler, Views(kTrailers));
    }
  };
  pair.server.SendBody(handler, MakeChunk(std::string(100'000, 'x')));
  pair.Run();
  EXPECT_EQ(call.body.size(), 2'000'000U);
  EXPECT_EQ(call.closed, 0U);
}

TEST(SessionWrite, DropsTheBodyOfAStreamThatIsReset) {
  RecordingStream call;
  Pair pair({}, Windows(100'000));
  call.HoldWindow();
  RecordingStream* const handler = Begin(&pair, &call);
  pair.server.SendBody(handler, MakeChunk(std::string(500'000, 'x')));
  pair.Run();
  EXPECT_EQ(pair.server.unsent(), 400'000U);
  pair.client.Reset(&call, 8);
  pair.Run();
  EXPECT_EQ(pair.server.unsent(), 0U);
  EXPECT_EQ(handler->closed, 8U);
}

TEST(SessionWrite, CountsWhatAnswersKeepThatNobodyReads) {
  RecordingStream first, second, other;
  Pair pair({}, Windows(100'000));
  std::array<RecordingStream*, 3> calls{&first, &second, &other};
  std::array<RecordingStream*, 3> handlers{};
  for (size_t i = 0; i < calls.size(); ++i) {
    calls[i]->HoldWindow();
    handlers[i] = Begin(&pair, calls[i]);
    if (i < 2) handlers[i]->CountKept();
    pair.server.SendBody(handlers[i], MakeChunk(std::string(500'000, 'x')));
    pair.server.SendTrailers(handlers[i], Views(kTrailers));
  }
  pair.Run();
  EXPECT_EQ(pair.server.unsent(), 1'200'000U);
  // A chunk is kept as a whole until its last byte leaves.
  const size_t both = pair.server.kept();
  EXPECT_GE(both, 1'000'000U);
  EXPECT_LT(both, 1'010'000U);
  while (first.body.size() < 500'000) {
    ASSERT_EQ(pair.server.kept(), both);
    pair.client.Consumed(&first, 100'000);
    pair.Run();
  }
  EXPECT_EQ(pair.server.kept(), both / 2);
  pair.client.Reset(&second, 8);
  pair.Run();
  EXPECT_EQ(pair.server.kept(), 0U);
  EXPECT_EQ(pair.server.unsent(), 400'000U);
}

TEST(SessionWrite, WhatOneThatIsReplacedKeepsCountsAsItsSuccessorSays) {
  RecordingStream call, successor;
  Pair pair({}, Windows(1000));
  call.HoldWindow();
  RecordingStream* const handler = Begin(&pair, &call);
  handler->CountKept();
  pair.server.SendBody(handler, MakeChunk(std::string(5000, 'x')));
  EXPECT_GE(pair.server.kept(), 5000U);
  pair.server.Replace(handler, &successor);
  EXPECT_EQ(pair.server.kept(), 0U);
  EXPECT_EQ(pair.server.unsent(), 5000U);
  pair.client.Reset(&call, 8);
  pair.Run();
  EXPECT_EQ(pair.server.kept(), 0U);
  EXPECT_EQ(pair.server.unsent(), 0U);
}

TEST(SessionWrite, TakesTurnsBetweenStreams) {
  RecordingStream calls[4];
  Pair pair({}, Windows(1U << 20));
  for (RecordingStream& call : calls) {
    pair.server.SendBody(Begin(&pair, &call), MakeChunk(std::string(500'000, 'x')));
  }
  pair.server.Produce(800'000);
  const std::string sent = Drain(&pair.server, 1);
  ReadLikeASocket(&pair.client, sent);
  const auto [least, most] =
      std::minmax({calls[0].body.size(), calls[1].body.size(), calls[2].body.size(), calls[3].body.size()});
  EXPECT_LE(most - least, 2U * 16384);
  EXPECT_GT(least, 0U);
}

TEST(SessionWrite, WaitsForStreamsThatThePeerAllows) {
  Http2Session::Options options;
  options.max_concurrent_streams = 2;
  RecordingStream calls[5];
  Pair pair(options);
  pair.Run();
  for (RecordingStream& call : calls) ASSERT_TRUE(pair.Open(&call, true));
  pair.Run();
  EXPECT_EQ(pair.server.streams(), 2U);
  for (RecordingStream& call : calls) {
    pair.Answer(pair.AtServer(call), "x");
    pair.Run();
    EXPECT_EQ(call.closed, 0U);
  }
}

TEST(SessionWrite, AbandonsARequestThatHasNotLeft) {
  Http2Session::Options options;
  options.max_concurrent_streams = 1;
  RecordingStream first, second;
  Pair pair(options);
  pair.Run();
  ASSERT_TRUE(pair.Open(&first));
  ASSERT_TRUE(pair.Open(&second));
  pair.Run();
  pair.client.Reset(&second, 8);
  pair.Answer(pair.AtServer(first), "x");
  pair.Run();
  EXPECT_EQ(first.closed, 0U);
  EXPECT_EQ(second.closed, 8U);
  EXPECT_EQ(pair.server_owner.requests.size(), 1U);
}

}  // namespace
}  // namespace maas
