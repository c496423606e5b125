// The end of a connection, in order or not.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "maas/http2/session.h"
#include "maas/http2/session_testing.h"

namespace maas {
namespace {

constexpr int32_t kNotYet = (1U << 31) - 1;
constexpr uint32_t kRefused = 7;
constexpr uint32_t kCancel = 8;
constexpr uint32_t kCalm = 11;

using GoAways = std::vector<std::pair<int32_t, uint32_t>>;

// A server whose client has opened stream 1, and goes on with it.
struct AskedServer : LoneServer {
  explicit AskedServer(const Http2Session::Options& options = {}) : LoneServer(options) {
    Drain(&session);
    EXPECT_TRUE(session.Received(AsBytes(GreetingAndAck() + RequestFrame(1, false))));
  }
};

TEST(SessionShutdown, LosesNothingThatWasOnItsWay) {
  RecordingStream first, second;
  Pair pair;
  pair.Begin(&first, true);
  pair.server.BeginShutdown();
  const std::string notice = Drain(&pair.server);
  EXPECT_FALSE(pair.server.shutting_down());
  // Opened before the notice arrives.
  ASSERT_TRUE(pair.Open(&second, true));
  ReadLikeASocket(&pair.server, Drain(&pair.client));
  ASSERT_TRUE(pair.client.Received(AsBytes(notice)));
  EXPECT_EQ(pair.client_owner.go_aways, (GoAways{{kNotYet, 0}}));
  pair.Run();
  EXPECT_TRUE(pair.server.shutting_down());
  EXPECT_EQ(pair.client_owner.go_aways, (GoAways{{kNotYet, 0}, {second.id(), 0}}));
  EXPECT_EQ(pair.server_owner.pings_answered, 0);
  EXPECT_FALSE(pair.server.over());
  pair.Answer(pair.AtServer(first), "1");
  pair.Answer(pair.AtServer(second), "2");
  pair.Run();
  EXPECT_EQ(first.body + second.body, "12");
  EXPECT_EQ(second.closed, 0U);
  EXPECT_TRUE(pair.server.over());
  EXPECT_EQ(pair.server.abuse(), Abuse::kNone);
  EXPECT_EQ(pair.server.error(), "");
}

TEST(SessionShutdown, TellsTheClientThatItMayOpenNoMore) {
  RecordingStream first, second;
  Pair pair;
  pair.Begin(&first, true);
  pair.server.BeginShutdown();
  pair.server.BeginShutdown();
  pair.Run();
  EXPECT_FALSE(pair.Open(&second, true));
  EXPECT_FALSE(second.open());
  pair.Answer(pair.AtServer(first), "1");
  pair.Run();
  EXPECT_EQ(first.closed, 0U);
  EXPECT_TRUE(pair.client.over());
}

TEST(SessionShutdown, LimitsStreamsUntilTheEnd) {
  AskedServer server({.max_concurrent_streams = 1});
  Http2Session& session = server.session;
  session.BeginShutdown();
  Drain(&session);
  EXPECT_FALSE(session.shutting_down());
  ASSERT_TRUE(session.Received(AsBytes(RequestFrame(3, true))));
  EXPECT_EQ(Drain(&session), Frame(FrameType::kRst, 0, 3, BigEndian(kRefused, 4)));
  session.GoAway(0, "");
  Drain(&session);
  ASSERT_TRUE(session.Received(AsBytes(RequestFrame(5, true))));
  EXPECT_EQ(Drain(&session), "");
  EXPECT_EQ(server.owner.requests.size(), 1U);
  EXPECT_EQ(session.streams(), 1U);
}

TEST(SessionShutdown, IgnoresStreamsThatComeAfterTheEnd) {
  AskedServer server;
  Http2Session& session = server.session;
  session.GoAway(0, "bye");
  Drain(&session);
  EXPECT_TRUE(session.shutting_down());
  ASSERT_TRUE(session.Received(AsBytes(RequestFrame(3, true))));
  EXPECT_EQ(server.owner.requests.size(), 1U);
  EXPECT_FALSE(session.over());
}

TEST(SessionShutdown, GoAwayWithAnErrorLetsStreamsGoOn) {
  RecordingStream call;
  Pair pair;
  pair.Begin(&call, true);
  pair.server.GoAway(kCalm, "calm down");
  pair.Run();
  EXPECT_EQ(pair.client_owner.go_aways, (GoAways{{call.id(), kCalm}}));
  pair.Answer(pair.AtServer(call), "still");
  pair.Run();
  EXPECT_EQ(call.body, "still");
  EXPECT_TRUE(pair.server.over());
}

TEST(SessionShutdown, RefusesWhatTheServerDidNotTake) {
  RecordingStream taken, lost;
  Pair pair;
  pair.Begin(&taken, true);
  pair.server.GoAway(0, "");
  const std::string last = Drain(&pair.server);
  ASSERT_TRUE(pair.Open(&lost, true));
  Drain(&pair.client);
  ASSERT_TRUE(pair.client.Received(AsBytes(last)));
  EXPECT_EQ(lost.closed, 7U);
  EXPECT_FALSE(taken.closed.has_value());
}

TEST(SessionShutdown, OfAClientSaysSoAtOnce) {
  RecordingStream call;
  Pair pair;
  ASSERT_TRUE(pair.Open(&call, true));
  pair.client.BeginShutdown();
  pair.Run();
  EXPECT_TRUE(pair.client.shutting_down());
  EXPECT_EQ(pair.server_owner.go_aways.size(), 1U);
  pair.Answer(pair.AtServer(call), "x");
  pair.Run();
  EXPECT_EQ(call.closed, 0U);
  EXPECT_TRUE(pair.client.over());
}

TEST(SessionShutdown, IsQuietAfterTheEnd) {
  AskedServer server;
  Http2Session& session = server.session;
  EXPECT_FALSE(session.Received(AsBytes(std::string(1000, '\xff'))) && session.Produce());
  EXPECT_TRUE(session.over());
  Drain(&session);
  RecordingStream* const handler = server.owner.streams.at(1).get();
  session.SendHeaders(handler, Views(kAnswer));
  session.SendBody(handler, MakeChunk("x"));
  session.SendTrailers(handler, Views(kTrailers));
  session.Reset(handler, kCancel);
  session.BeginShutdown();
  session.GoAway(0, "");
  session.Ping();
  EXPECT_FALSE(session.wants_write());
  EXPECT_FALSE(session.Received(AsBytes("x")));
  EXPECT_TRUE(Drain(&session).empty());
  EXPECT_FALSE(handler->closed.has_value());
}

}  // namespace
}  // namespace maas
