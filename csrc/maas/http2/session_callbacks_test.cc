// Peers that break rules, by intent or not: frames made by hand.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "maas/http2/read_plan.h"
#include "maas/http2/session.h"
#include "maas/http2/session_testing.h"

namespace maas {
namespace {

constexpr uint32_t kNoError = 0, kRefused = 7, kCalm = 11;

// The last GOAWAY in what a session sent: its error and text.
std::pair<uint32_t, std::string> GoAwayIn(const std::string& sent) {
  std::pair<uint32_t, std::string> found{UINT32_MAX, ""};
  for (size_t at = 0; at + 9 <= sent.size();) {
    const FrameHead head = FrameHead::Parse(AsBytes(sent).data() + at);
    if (head.type == FrameType::kGoAway) {
      // Errors are below 256.
      found = {static_cast<uint8_t>(sent[at + 16]), sent.substr(at + 17, head.length - 8)};
    }
    at += 9 + head.length;
  }
  return found;
}

struct Hostile : LoneServer {
  explicit Hostile(const Http2Session::Options& options = {}) : LoneServer(options) { Drain(&session); }
  bool Send(const std::string& bytes) {
    const bool more = ReadLikeASocket(&session, bytes);
    sent += Drain(&session);
    return more && !session.over();
  }
  std::string sent;
};

TEST(SessionAbuse, EndsWithGarbageBeforeThePreface) {
  for (const std::string garbage :
       {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x01\x01", "PRI * HTTP/2.1\r\n"}) {
    Hostile peer;
    EXPECT_FALSE(peer.Send(garbage));
    EXPECT_EQ(peer.session.abuse(), Abuse::kProtocol);
    EXPECT_NE(peer.session.error(), "");
    EXPECT_FALSE(peer.session.established());
    EXPECT_FALSE(peer.Send("more"));
  }
}

TEST(SessionAbuse, WaitsForTheRestOfThePreface) {
  Hostile peer;
  EXPECT_TRUE(peer.Send(Greeting().substr(0, 20)));
  EXPECT_FALSE(peer.session.established());
  EXPECT_TRUE(peer.Send(Greeting().substr(20)));
  EXPECT_TRUE(peer.session.established());
}

TEST(SessionAbuse, EndsWithAFirstFrameThatIsNotSettings) {
  Hostile peer;
  EXPECT_FALSE(peer.Send(kPreface + Frame(FrameType::kPing, 0, 0, "12345678")));
  EXPECT_EQ(peer.session.abuse(), Abuse::kProtocol);
}

TEST(SessionAbuse, EndsWithFramesThatAreNone) {
  const std::string too_long = BigEndian(1 << 21, 3) + std::string("\0\0\0\0\0\1", 6);
  for (const std::string& frame :
       {Frame(FrameType::kData, 0, 0, "x"), Frame(FrameType::kSettings, 0, 0, "12345"),
        Frame(FrameType::kPing, 0, 0, "short"), Frame(FrameType::kWindowUpdate, 0, 0, "1"),
        Frame(FrameType::kHeaders, 4, 1, "\xff\xff\xff\xff\xff\xff\xff\xff"),
        Frame(FrameType::kContinuation, 4, 1, "x"), too_long}) {
    Hostile peer;
    EXPECT_FALSE(peer.Send(GreetingAndAck() + frame));
    EXPECT_EQ(peer.session.abuse(), Abuse::kProtocol);
    EXPECT_NE(GoAwayIn(peer.sent).first, kNoError);
  }
}

TEST(SessionAbuse, ResetsStreamsWithFieldsThatAreNone) {
  Hostile peer;
  Fields fields = kRequest;
  fields.emplace_back("Upper", "case");
  EXPECT_TRUE(peer.Send(GreetingAndAck() + RequestFrame(1, false, fields) + RequestFrame(3, false)));
  EXPECT_EQ(peer.owner.requests.size(), 1U);
  EXPECT_EQ(peer.session.streams(), 1U);
}

TEST(SessionAbuse, BearsCancelledCallsButNotRapidReset) {
  Hostile peer({.reset_burst = 50, .resets_per_second = 10});
  ASSERT_TRUE(peer.Send(GreetingAndAck()));
  uint32_t id = 1;
  const auto open_and_reset = [&] {
    const std::string bytes = RequestFrame(id, false) + Frame(FrameType::kRst, 0, id, BigEndian(8, 4));
    id += 2;
    return peer.Send(bytes);
  };
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(open_and_reset());
  peer.clock.Advance(1'000'000'000);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(open_and_reset());
  EXPECT_FALSE(open_and_reset());
  EXPECT_EQ(peer.session.abuse(), Abuse::kRapidReset);
  EXPECT_EQ(GoAwayIn(peer.sent).first, kCalm);
}

TEST(SessionAbuse, CountsStreamsThatThePeerMakesUsReset) {
  Hostile peer({.reset_burst = 50, .resets_per_second = 0});
  ASSERT_TRUE(peer.Send(GreetingAndAck()));
  bool more = true;
  uint32_t opened = 0;
  for (; more && opened < 100; ++opened) {
    const uint32_t id = 1 + 2 * opened;
    more =
        peer.Send(RequestFrame(id, false) + Frame(FrameType::kWindowUpdate, 0, id, BigEndian(0x7fffffff, 4)));
  }
  EXPECT_EQ(opened, 51U);
  EXPECT_EQ(peer.session.abuse(), Abuse::kRapidReset);
}

TEST(SessionAbuse, DoesNotCountResetsOfAnsweredCalls) {
  Hostile peer({.reset_burst = 1, .resets_per_second = 0});
  peer.owner.on_request = [&](int32_t id, RecordingStream* stream, bool) {
    peer.session.Attach(id, stream);
    peer.session.SendHeaders(stream, Views(kAnswer));
    peer.session.SendTrailers(stream, Views(kTrailers));
  };
  ASSERT_TRUE(peer.Send(GreetingAndAck()));
  for (uint32_t id = 1; id < 100; id += 2) {
    ASSERT_TRUE(peer.Send(RequestFrame(id, false) + Frame(FrameType::kRst, 0, id, BigEndian(8, 4))));
  }
}

TEST(SessionAbuse, EndsPingsThatComeTooOften) {
  Hostile peer({.min_ping_interval_ns = 1'000'000'000});
  const std::string ping = Frame(FrameType::kPing, 0, 0, "12345678");
  ASSERT_TRUE(peer.Send(GreetingAndAck() + ping));
  EXPECT_TRUE(peer.Send(ping));
  EXPECT_TRUE(peer.Send(ping));
  EXPECT_FALSE(peer.Send(ping));
  EXPECT_EQ(peer.session.abuse(), Abuse::kPings);
  EXPECT_EQ(GoAwayIn(peer.sent), (std::pair<uint32_t, std::string>{kCalm, "too_many_pings"}));
}

TEST(SessionAbuse, BearsPingsBetweenAnswers) {
  Hostile peer({.min_ping_interval_ns = 1'000'000'000});
  const std::string ping = Frame(FrameType::kPing, 0, 0, "12345678");
  ASSERT_TRUE(peer.Send(GreetingAndAck() + RequestFrame(1, false)));
  peer.session.SendHeaders(peer.owner.streams.at(1).get(), Views(kAnswer));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(peer.Send(ping + ping));
    peer.session.SendBody(peer.owner.streams.at(1).get(), MakeChunk("x"));
    ASSERT_TRUE(peer.Send(""));
  }
}

TEST(SessionAbuse, EndsFloods) {
  const std::string half_block = RequestFrame(1, false);
  for (const std::string& frame :
       {Frame(FrameType::kSettings, 0, 0, ""), Frame(FrameType::kPing, 0, 0, "12345678"),
        Frame(FrameType::kPriority, 0, 1, std::string("\0\0\0\0\1", 5)), Frame(FrameType::kData, 0, 1, ""),
        Frame(FrameType::kWindowUpdate, 0, 0, BigEndian(1, 4)), Frame(77, 0, 0, "")}) {
    Hostile peer;
    ASSERT_TRUE(peer.Send(GreetingAndAck() + half_block));
    bool more = true;
    for (int i = 0; more && i < 20'000; ++i) more = peer.Send(frame);
    EXPECT_FALSE(more) << static_cast<int>(frame[3]);
    EXPECT_EQ(peer.session.abuse(), Abuse::kFlood);
    EXPECT_EQ(GoAwayIn(peer.sent).first, kCalm);
  }
}

TEST(SessionAbuse, BoundsWhatWaitsForAPeerThatDoesNotRead) {
  for (const std::string& frame :
       {Frame(FrameType::kSettings, 0, 0, ""), Frame(FrameType::kPing, 0, 0, "12345678")}) {
    Hostile peer;
    ASSERT_TRUE(peer.Send(GreetingAndAck()));
    bool more = true;
    int sent = 0;
    for (; more && sent < 20'000; ++sent) more = peer.session.Received(AsBytes(frame));
    EXPECT_LT(sent, 5000);
    EXPECT_EQ(peer.session.abuse(), Abuse::kFlood);
  }
  // Streams that are refused are answered as well.
  Hostile peer;
  peer.owner.refuse = true;
  ASSERT_TRUE(peer.Send(GreetingAndAck()));
  bool more = true;
  uint32_t opened = 0;
  for (; more && opened < 20'000; ++opened)
    more = peer.session.Received(AsBytes(RequestFrame(1 + 2 * opened, true)));
  EXPECT_LT(opened, 5000U);
  EXPECT_EQ(peer.session.abuse(), Abuse::kFlood);
}

TEST(SessionAbuse, EndsContinuationsWithoutEnd) {
  Hostile peer;
  const std::string block = HeaderBlock(kRequest);
  ASSERT_TRUE(peer.Send(GreetingAndAck() + Frame(FrameType::kHeaders, 0, 1, block)));
  bool more = true;
  int sent = 0;
  for (; more && sent < 20'000; ++sent) more = peer.Send(Frame(FrameType::kContinuation, 0, 1, ""));
  EXPECT_FALSE(more);
  EXPECT_EQ(peer.session.abuse(), Abuse::kFlood);
}

Fields LargeFields(size_t bytes) {
  Fields fields = kRequest;
  for (; bytes > 4000; bytes -= 4000) fields.emplace_back("large", std::string(4000 - 37, 'v'));
  return fields;
}

TEST(SessionAbuse, AnswersHeadersBeyondTheLimitItself) {
  Hostile peer;
  EXPECT_TRUE(
      peer.Send(GreetingAndAck() + RequestFrame(1, false, LargeFields(40'000)) + RequestFrame(3, false)));
  EXPECT_EQ(peer.owner.too_many, 1);
  ASSERT_EQ(peer.owner.requests.size(), 1U);
  EXPECT_EQ(peer.session.streams(), 1U);
  EXPECT_NE(peer.sent.find("431"), std::string::npos);
}

TEST(SessionAbuse, LetsTheOwnerAnswerHeadersBeyondTheLimit) {
  RecordingStream call;
  Pair pair;
  pair.server_owner.takes_too_many = true;
  ASSERT_TRUE(pair.Open(&call, false, LargeFields(40'000)));
  pair.Run();
  EXPECT_TRUE(pair.server_owner.requests.empty());
  pair.Answer(pair.AtServer(call), "");
  pair.Run();
  EXPECT_EQ(call.closed, 0U);
  EXPECT_EQ(call.blocks.back(), kTrailers);
}

TEST(SessionAbuse, EndsWithHeadersFarBeyondTheLimit) {
  Hostile peer;
  EXPECT_FALSE(peer.Send(GreetingAndAck() + RequestFrame(1, false, LargeFields(160'000))));
  EXPECT_EQ(peer.session.abuse(), Abuse::kHeaders);
  EXPECT_EQ(GoAwayIn(peer.sent).first, kCalm);
}

TEST(SessionAbuse, EndsWithHeadersBeyondTheLimitAgainAndAgain) {
  Hostile peer;
  ASSERT_TRUE(peer.Send(GreetingAndAck()));
  bool more = true;
  uint32_t opened = 0;
  for (; more && opened < 1000; ++opened) {
    more = peer.Send(RequestFrame(1 + 2 * opened, true, LargeFields(24'000)));
  }
  EXPECT_EQ(opened, 101U);
  EXPECT_EQ(peer.session.abuse(), Abuse::kHeaders);
}

TEST(SessionAbuse, ASmallBombDoesNotGrow) {
  // One large field in the table, and then indices of one byte each.
  Hostile peer;
  std::string block = HeaderBlock(kRequest);
  const std::string value(3000, 'v');
  block += std::string(
               "\x40\x05"
               "large",
               7) +
           HeaderBlock({{"", value}}).substr(2);
  block += std::string(10'000, static_cast<char>(0x80 | 62));
  EXPECT_FALSE(peer.Send(GreetingAndAck() + Frame(FrameType::kHeaders, FrameFlag::kEndHeaders, 1, block)));
  EXPECT_EQ(peer.session.abuse(), Abuse::kHeaders);
  EXPECT_TRUE(peer.owner.requests.empty());
}

TEST(SessionAbuse, RefusesTheStreamsBeyondTheLimitAndNoMore) {
  const auto reset = [](uint32_t id) { return Frame(FrameType::kRst, 0, id, BigEndian(kRefused, 4)); };
  Hostile peer({.max_concurrent_streams = 3});
  std::string bytes = GreetingAndAck();
  for (uint32_t id = 1; id <= 9; id += 2) bytes += RequestFrame(id, false);
  EXPECT_TRUE(peer.Send(bytes + Frame(FrameType::kData, 0, 7, "body") + RequestFrame(11, true)));
  EXPECT_EQ(peer.owner.requests.size(), 3U);
  EXPECT_EQ(peer.session.streams(), 3U);
  for (const uint32_t id : {7U, 9U, 11U}) EXPECT_NE(peer.sent.find(reset(id)), std::string::npos) << id;
  for (const uint32_t id : {1U, 3U, 5U}) EXPECT_EQ(peer.sent.find(reset(id)), std::string::npos) << id;
  // One that ends makes room for one.
  EXPECT_TRUE(peer.Send(Frame(FrameType::kRst, 0, 3, BigEndian(8, 4)) + RequestFrame(13, false) +
                        RequestFrame(15, false)));
  EXPECT_EQ(peer.owner.streams.count(13), 1U);
  EXPECT_EQ(peer.owner.streams.count(15), 0U);
  EXPECT_EQ(peer.session.abuse(), Abuse::kNone);
}

TEST(SessionAbuse, EndsWhenStreamsBeyondTheLimitComeWithoutEnd) {
  Hostile peer({.max_concurrent_streams = 1, .reset_burst = 50, .resets_per_second = 0});
  ASSERT_TRUE(peer.Send(GreetingAndAck() + RequestFrame(1, false)));
  uint32_t refused = 0;
  while (refused < 100 && peer.Send(RequestFrame(3 + 2 * refused, true))) ++refused;
  EXPECT_EQ(refused, 50U);
  EXPECT_EQ(peer.session.abuse(), Abuse::kRapidReset);
  EXPECT_EQ(GoAwayIn(peer.sent).first, kCalm);
}

TEST(SessionSettings, NameTheLimitOfStreams) {
  LoneServer server({.max_concurrent_streams = 7});
  const std::string sent = Drain(&server.session);
  const FrameHead head = FrameHead::Parse(AsBytes(sent).data());
  ASSERT_EQ(head.type, FrameType::kSettings);
  std::vector<std::string> limits;
  for (size_t at = 9; at < 9 + head.length; at += 6) {
    const std::string name = sent.substr(at, 2);
    EXPECT_LT(static_cast<uint8_t>(name[0]), 0xf0);
    if (name == BigEndian(3, 2)) limits.push_back(sent.substr(at + 2, 4));
  }
  EXPECT_EQ(limits, std::vector{BigEndian(7, 4)});
}

TEST(SessionAbuse, EndsABodyBeyondTheWindow) {
  Hostile peer;
  peer.owner.on_request = [](int32_t, RecordingStream* stream, bool) { stream->HoldWindow(); };
  std::string bytes = GreetingAndAck() + RequestFrame(1, false);
  for (int i = 0; i < 100; ++i) bytes += Frame(FrameType::kData, 0, 1, std::string(16384, 'x'));
  peer.Send(bytes);
  // The frame that went beyond it is the last that is told.
  EXPECT_LE(peer.owner.streams.at(1)->body.size(), (size_t{1} << 20) + 16384);
  EXPECT_TRUE(peer.owner.streams.at(1)->closed.has_value() || peer.session.over());
}

TEST(SessionAbuse, SurvivesRandomBytes) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 300; ++i) {
    Hostile peer;
    peer.owner.room = 20'000;
    std::string bytes = GreetingAndAck() + RequestFrame(1, false);
    const std::string good = bytes;
    for (int frame = 0; frame < 20; ++frame) {
      std::string payload(random() % 60, 0);
      for (char& c : payload) c = static_cast<char>(random());
      bytes += Frame(static_cast<uint8_t>(random() % 10), static_cast<uint8_t>(random()),
                     static_cast<uint32_t>(random() % 4), payload);
    }
    for (int flips = 0; flips < 3; ++flips) {
      bytes[good.size() + random() % (bytes.size() - good.size())] = static_cast<char>(random());
    }
    peer.Send(bytes);
    peer.Send(std::string(100, static_cast<char>(random())));
    EXPECT_EQ(peer.owner.requests.empty(), false);
  }
}

}  // namespace
}  // namespace maas
