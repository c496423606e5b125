// Bodies received where they are read: whatever comes, streams see what they would see of bytes in one piece.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "maas/http2/session.h"
#include "maas/http2/session_testing.h"

namespace maas {
namespace {

constexpr size_t kFrame = 16384;

std::string Data(uint32_t stream, std::string_view payload, bool end = false) {
  return Frame(FrameType::kData, end ? FrameFlag::kEnd : 0, stream, payload);
}

std::string Text(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(size, 0);
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// A body in full frames, as most clients send it.
std::string Frames(uint32_t stream, std::string_view body, bool end = true) {
  std::string bytes;
  while (body.size() > kFrame) {
    bytes += Data(stream, body.substr(0, kFrame));
    body.remove_prefix(kFrame);
  }
  return bytes + Data(stream, body, end);
}

// Large bodies are no messages.
std::string Difference(const std::string& a, const std::string& b) {
  const auto at = std::ranges::mismatch(a, b).in1 - a.begin();
  return std::to_string(a.size()) + " and " + std::to_string(b.size()) + " bytes differ at " +
         std::to_string(at);
}

struct Server : LoneServer {
  explicit Server(size_t room = 0) { owner.room = room; }
  RecordingStream& Stream(int32_t id) { return *owner.streams.at(id); }
};

TEST(SessionRead, ReceivesALargeBodyWhereItIsRead) {
  const std::string body = Text(600'000, 1);
  const std::string bytes = GreetingAndAck() + RequestFrame(1, false) + Frames(1, body);
  for (const size_t at_most : {size_t{10'000}, size_t{65'536}, size_t{131'072}, SIZE_MAX}) {
    Server server(body.size());
    ASSERT_TRUE(ReadLikeASocket(&server.session, bytes, at_most));
    EXPECT_TRUE(server.Stream(1).body == body) << Difference(server.Stream(1).body, body);
    EXPECT_EQ(server.Stream(1).ends, 1);
    // All but what came with the fields, and what was too little to be worth it.
    EXPECT_GT(server.Stream(1).in_place, body.size() - 70'000) << at_most;
  }
}

TEST(SessionRead, ReceivesBodiesOfTwoStreamsInTurn) {
  const std::string one = Text(300'000, 1), two = Text(300'000, 2);
  std::string bytes = GreetingAndAck() + RequestFrame(1, false) + RequestFrame(3, false);
  for (size_t at = 0; at < one.size(); at += kFrame) {
    const bool end = at + kFrame >= one.size();
    bytes += Data(1, one.substr(at, kFrame), end) + Data(3, two.substr(at, kFrame), end);
  }
  Server server(one.size());
  ASSERT_TRUE(ReadLikeASocket(&server.session, bytes, 100'000));
  EXPECT_TRUE(server.Stream(1).body == one) << Difference(server.Stream(1).body, one);
  EXPECT_GT(server.Stream(1).in_place + server.Stream(3).in_place, one.size());
  EXPECT_TRUE(server.Stream(3).body == two) << Difference(server.Stream(3).body, two);
}

// Handlers of which one misbehaves in the middle of what was received at once.
struct Middle {
  Middle() : server(400'000) {
    server.owner.on_request = [this](int32_t id, RecordingStream* stream, bool) {
      if (id != 1) return;
      stream->on_body = [this, stream] {
        // The second part of one read that is in place.
        if (stream->in_place > 20'000 && act) std::exchange(act, nullptr)(stream);
      };
    };
  }
  bool Run() {
    return ReadLikeASocket(&server.session, GreetingAndAck() + RequestFrame(1, false) + Frames(1, body) +
                                                RequestFrame(3, false) + Frames(3, "other"));
  }
  const std::string body = Text(400'000, 3);
  std::function<void(RecordingStream*)> act;
  Server server;
};

TEST(SessionRead, GoesOnWhenAStreamIsResetAndItsRoomGoes) {
  Middle middle;
  middle.act = [&](RecordingStream* stream) {
    middle.server.session.Reset(stream, 8);
    stream->LoseMemory();
  };
  ASSERT_TRUE(middle.Run());
  EXPECT_EQ(middle.act, nullptr);
  EXPECT_LT(middle.server.Stream(1).body.size(), 100'000U);
  EXPECT_EQ(middle.server.Stream(1).ends, 0);
  EXPECT_EQ(middle.server.Stream(3).body, "other");
}

TEST(SessionRead, GoesOnWhenAStreamLeavesItsRoom) {
  Middle middle;
  middle.act = [&](RecordingStream* stream) {
    middle.server.session.LeaveRoom(stream);
    stream->LoseMemory();
  };
  ASSERT_TRUE(middle.Run());
  EXPECT_EQ(middle.act, nullptr);
  EXPECT_TRUE(middle.server.Stream(1).body == middle.body)
      << Difference(middle.server.Stream(1).body, middle.body);
  EXPECT_EQ(middle.server.Stream(1).ends, 1);
  EXPECT_EQ(middle.server.Stream(3).body, "other");
}

TEST(SessionRead, GoesOnWhenAStreamIsReplacedAndGoes) {
  RecordingStream other;
  Middle middle;
  std::string before;
  middle.act = [&](RecordingStream* stream) {
    middle.server.session.Replace(stream, &other);
    before = stream->body;
    stream->LoseMemory();
  };
  ASSERT_TRUE(middle.Run());
  EXPECT_EQ(middle.act, nullptr);
  EXPECT_TRUE(before + other.body == middle.body) << Difference(before + other.body, middle.body);
  EXPECT_EQ(other.ends, 1);
  EXPECT_EQ(middle.server.Stream(3).body, "other");
}

// What a conversation comes to, for comparison.
std::string Describe(const Server& server) {
  std::string text;
  for (const auto& [id, stream] : server.owner.streams) {
    text += std::to_string(id) + ": " + std::to_string(std::hash<std::string>{}(stream->body)) + " " +
            std::to_string(stream->body.size()) + " ends " + std::to_string(stream->ends) + " blocks " +
            std::to_string(stream->blocks.size()) + " closed " +
            (stream->closed ? std::to_string(*stream->closed) : "no") + "\n";
  }
  return text + "requests " + std::to_string(server.owner.requests.size());
}

// Streams with bodies in frames of many sizes, padded ones, trailers, resets, and other frames between.
std::string Conversation(std::mt19937_64* random) {
  const auto any = [random](size_t below) { return (*random)() % below; };
  std::string bytes = GreetingAndAck();
  std::vector<uint32_t> open;
  uint32_t next = 1;
  uint32_t usual = 0;  // Goes on for a while.
  std::string text = Text(40'000, any(1000));
  for (int i = 0; i < 250; ++i) {
    if (open.empty() || (any(30) == 0 && open.size() < 5)) {
      const std::string block = HeaderBlock(kRequest);
      if (any(4) == 0) {
        bytes += Frame(FrameType::kHeaders, 0, next, block.substr(0, 20));
        bytes += Frame(FrameType::kContinuation, FrameFlag::kEndHeaders, next, block.substr(20));
      } else {
        bytes += Frame(FrameType::kHeaders, FrameFlag::kEndHeaders, next, block);
      }
      open.push_back(next);
      next += 2;
    }
    if (usual == 0 || any(6) == 0 || std::ranges::find(open, usual) == open.end())
      usual = open[any(open.size())];
    const size_t size = any(4) == 0 ? any(40'000) : any(3) == 0 ? any(100) : kFrame;
    const std::string_view payload = std::string_view(text).substr(0, size);
    std::rotate(text.begin(), text.begin() + 1, text.end());
    const bool end = any(30) == 0;
    switch (any(14)) {
      case 0:
        bytes += Frame(FrameType::kPing, 0, 0, "12345678");
        continue;
      case 1:
        bytes += Frame(FrameType::kWindowUpdate, 0, any(2) == 0 ? 0 : usual, BigEndian(1, 4));
        continue;
      case 2: {
        const std::string padding(any(256), '\0');
        bytes +=
            Frame(FrameType::kData, static_cast<uint8_t>(FrameFlag::kPadded | (end ? FrameFlag::kEnd : 0)),
                  usual, static_cast<char>(padding.size()) + std::string(payload) + padding);
        break;
      }
      case 3:
        if (any(4) > 0) continue;
        bytes += Frame(FrameType::kRst, 0, usual, BigEndian(8, 4));
        std::erase(open, usual);
        continue;
      case 4:
        if (any(4) > 0) continue;
        bytes += RequestFrame(usual, true, {{"trailer", "value"}});
        std::erase(open, usual);
        continue;
      case 5:
        bytes += Frame(static_cast<uint8_t>(20 + any(50)), static_cast<uint8_t>(any(256)), usual, payload);
        continue;
      default:
        bytes += Data(usual, payload, end);
    }
    if (end) std::erase(open, usual);
  }
  return bytes;
}

TEST(SessionRead, TellsTheSameHoweverTheBytesCome) {
  size_t in_place = 0, all = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    std::mt19937_64 random(seed);
    const std::string bytes = Conversation(&random);
    Server whole;
    ASSERT_TRUE(whole.session.Received(AsBytes(bytes))) << seed;
    ASSERT_EQ(whole.session.error(), "") << seed;

    for (int how = 0; how < 4; ++how) {
      Server parts(how == 0 ? 0 : 1'000'000);
      std::string_view left = bytes;
      while (!left.empty()) {
        const size_t cut = 1 + random() % (how == 1 ? 300 : 150'000);
        ASSERT_TRUE(ReadLikeASocket(&parts.session, left.substr(0, cut), SIZE_MAX, 1 + random() % 40))
            << seed;
        left.remove_prefix(std::min(cut, left.size()));
      }
      ASSERT_EQ(Describe(parts), Describe(whole)) << seed << " " << how;
      if (how < 2) continue;
      for (const auto& [id, stream] : parts.owner.streams) {
        in_place += stream->in_place;
        all += stream->body.size();
      }
    }
  }
  EXPECT_GT(in_place, all / 5);
}

}  // namespace
}  // namespace maas
