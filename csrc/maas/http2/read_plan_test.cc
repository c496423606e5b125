#include "maas/http2/read_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "maas/http2/session_testing.h"

namespace maas {
namespace {

constexpr size_t kFrame = 16384;

std::string Data(uint32_t stream, size_t size, char fill = 'x', uint8_t flags = 0) {
  return Frame(FrameType::kData, flags, stream, std::string(size, fill));
}

// Writes `bytes` into the pieces; returns how many fitted.
size_t Scatter(std::span<const iovec> pieces, std::string_view bytes) {
  size_t done = 0;
  for (const iovec& piece : pieces) {
    const size_t now = std::min(piece.iov_len, bytes.size() - done);
    std::copy_n(bytes.data() + done, now, static_cast<char*>(piece.iov_base));
    done += now;
  }
  return done;
}

struct Reader {
  explicit Reader(size_t room_bytes) : room(room_bytes), scratch(8192) {}
  // Feeds what came before.
  void Before(std::string_view bytes) {
    frames.Feed(AsBytes(bytes), [](const FrameHead&) { return true; });
  }
  // Receives what fits and tells the runs.
  std::span<const ReadPlan::Run> Read(std::string_view bytes, size_t most = 16) {
    std::vector<iovec> pieces(most);
    const size_t count = plan.Make(
        frames, [this](int32_t) { return std::span(room); }, scratch, pieces);
    received = Scatter(std::span(pieces).first(count), bytes);
    return plan.Resolve(received);
  }
  std::vector<std::byte> room, scratch;
  FrameTracker frames{0};
  ReadPlan plan;
  size_t received = 0;
};

std::string Join(std::span<const ReadPlan::Run> runs) {
  std::string all;
  for (const ReadPlan::Run& run : runs) all += AsText(run.bytes);
  return all;
}

size_t InRoom(std::span<const ReadPlan::Run> runs) {
  size_t bytes = 0;
  for (const ReadPlan::Run& run : runs) bytes += run.room_of != 0 ? run.bytes.size() : 0;
  return bytes;
}

TEST(FrameHead, ParsesItsNineBytes) {
  const std::string frame = BigEndian(0x010203, 3) + "\x04\x05" + BigEndian(0x86070809, 4);
  const FrameHead head = FrameHead::Parse(AsBytes(frame).data());
  EXPECT_EQ(head.length, 0x010203U);
  EXPECT_EQ(head.type, 4);
  EXPECT_EQ(head.flags, 5);
  EXPECT_EQ(head.stream, 0x06070809);  // The reserved bit does not count.
}

TEST(FrameTracker, FindsTheSameFramesHoweverTheBytesAreCut) {
  const std::string bytes =
      Greeting() + Data(1, 100) + Data(3, 0) + Frame(FrameType::kPing, 0, 0, "12345678");
  for (size_t cut = 1; cut < 40; ++cut) {
    FrameTracker frames(kPreface.size());
    std::vector<uint8_t> types;
    for (size_t at = 0; at < bytes.size(); at += cut) {
      frames.Feed(AsBytes(std::string_view(bytes).substr(at, cut)), [&](const FrameHead& head) {
        types.push_back(head.type);
        return true;
      });
    }
    EXPECT_EQ(types, (std::vector<uint8_t>{4, 0, 0, 6})) << cut;
    EXPECT_EQ(frames.left(), 0U);
    EXPECT_EQ(frames.body(), 3);
  }
}

TEST(FrameTracker, StopsWhenItIsTold) {
  FrameTracker frames(0);
  int seen = 0;
  EXPECT_FALSE(frames.Feed(AsBytes(Data(1, 1) + Data(1, 1)), [&](const FrameHead&) { return ++seen < 1; }));
  EXPECT_EQ(seen, 1);
}

TEST(FrameTracker, KnowsWhoseBodyComesNext) {
  FrameTracker frames(0);
  const auto feed = [&](const std::string& bytes) {
    frames.Feed(AsBytes(bytes), [](const FrameHead&) { return true; });
    return frames.body();
  };
  EXPECT_EQ(frames.body(), 0);
  EXPECT_EQ(feed(Frame(FrameType::kHeaders, 4, 5, "1234").substr(0, 11)), 0);
  EXPECT_EQ(feed("34"), 0);
  EXPECT_EQ(feed(Data(5, 100).substr(0, 50)), 5);
  EXPECT_EQ(feed(std::string(59, 'x')), 5);  // Perhaps another frame follows.
  EXPECT_EQ(feed(Frame(FrameType::kPing, 0, 0, "12345678")), 5);
  EXPECT_EQ(feed(Data(5, 100, 'x', FrameFlag::kPadded).substr(0, 50)), 0);
  EXPECT_EQ(feed(std::string(59, 'x')), 5);
  EXPECT_EQ(feed(Data(5, 10, 'x', FrameFlag::kEnd)), 0);
}

TEST(ReadPlan, LeavesBytesOfFramesThatFollowInTheRoom) {
  Reader reader(3 * kFrame + 100);
  const std::string first = Data(1, kFrame, 'a');
  const std::string rest = first.substr(1000) + Data(1, kFrame, 'b') + Data(1, kFrame, 'c') +
                           Data(1, 1091, 'd', FrameFlag::kEnd) + "tail";
  reader.Before(first.substr(0, 1000));
  const auto runs = reader.Read(rest);
  EXPECT_EQ(Join(runs), rest);
  EXPECT_EQ(InRoom(runs), reader.room.size());
  EXPECT_EQ(runs.front().bytes.data(), reader.room.data());
  EXPECT_EQ(AsText(reader.room), std::string(kFrame - 991, 'a') + std::string(kFrame, 'b') +
                                     std::string(kFrame, 'c') + std::string(1091, 'd'));
}

TEST(ReadPlan, ExpectsStreamsToTakeTurns) {
  FrameTracker frames(0);
  std::map<int32_t, std::vector<std::byte>> rooms;
  std::string bytes;
  for (int turn = 0; turn < 3; ++turn) {
    for (const uint32_t stream : {1U, 3U}) bytes += Data(stream, kFrame, static_cast<char>('a' + stream));
  }
  frames.Feed(AsBytes(std::string_view(bytes).substr(0, bytes.size() / 3 + 100)),
              [](const FrameHead&) { return true; });
  const std::string_view rest = std::string_view(bytes).substr(bytes.size() / 3 + 100);
  ReadPlan plan;
  std::vector<std::byte> scratch(100);
  std::vector<iovec> pieces(16);
  const auto room_of = [&](int32_t stream) {
    return std::span(rooms[stream] = std::vector<std::byte>(2 * kFrame));
  };
  const size_t count = plan.Make(frames, room_of, scratch, pieces);
  const size_t received = Scatter(std::span(pieces).first(count), rest);
  const auto runs = plan.Resolve(received);
  EXPECT_EQ(received, rest.size());
  EXPECT_TRUE(Join(runs) == rest);
  EXPECT_EQ(InRoom(runs), 4 * kFrame - 91);
  EXPECT_EQ(AsText(rooms[3]), std::string(2 * kFrame, 'd'));
}

TEST(FrameTracker, ForgetsStreamsThatEnd) {
  FrameTracker frames(0);
  const auto feed = [&](const std::string& bytes) {
    frames.Feed(AsBytes(bytes), [](const FrameHead&) { return true; });
  };
  for (const uint32_t stream : {1U, 3U, 5U, 1U, 3U, 5U}) feed(Data(stream, 10));
  EXPECT_EQ(frames.body(), 1);
  EXPECT_EQ(frames.After(3), 5);
  feed(Data(5, 10, 'x', FrameFlag::kEnd));
  EXPECT_EQ(frames.After(3), 1);
  EXPECT_EQ(frames.After(1), 3);
}

TEST(ReadPlan, BeginsBetweenFramesAndWithinAHeader) {
  for (const size_t known : {0U, 1U, 8U}) {
    Reader reader(2 * kFrame);
    const std::string next = Data(1, kFrame, 'b') + Data(1, kFrame, 'c');
    reader.Before(Data(1, kFrame) + next.substr(0, known));
    const auto runs = reader.Read(next.substr(known));
    EXPECT_EQ(Join(runs), next.substr(known));
    EXPECT_EQ(InRoom(runs), 2 * kFrame);
  }
}

TEST(ReadPlan, MovesWhatFollowsAnotherFrame) {
  Reader reader(4 * kFrame);
  const std::string first = Data(1, kFrame, 'a');
  const std::string rest = first.substr(9) + Frame(FrameType::kPing, 0, 0, "12345678") + Data(1, kFrame, 'b');
  reader.Before(first.substr(0, 9));
  const auto runs = reader.Read(rest);
  EXPECT_EQ(Join(runs), rest);
  EXPECT_EQ(InRoom(runs), kFrame);
}

TEST(ReadPlan, TakesTheStartOfALongerFrameAndAShorterFrameInPlace) {
  for (const size_t size : {kFrame + 1, kFrame - 1, size_t{1}, size_t{0}}) {
    Reader reader(4 * kFrame);
    const std::string first = Data(1, kFrame, 'a');
    const std::string rest = first.substr(9) + Data(1, size, 'b') + Data(1, kFrame, 'c');
    reader.Before(first.substr(0, 9));
    const auto runs = reader.Read(rest);
    EXPECT_EQ(Join(runs), rest);
    EXPECT_EQ(InRoom(runs), kFrame + std::min(size, kFrame));
  }
}

TEST(ReadPlan, UsesScratchAloneWhereNoRoomIsWorthIt) {
  Reader reader(ReadPlan::kMinRoom - 1);
  reader.Before(Data(1, kFrame).substr(0, 10));
  const std::string rest(5000, 'x');
  const auto runs = reader.Read(rest);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].bytes.data(), reader.scratch.data());
}

TEST(ReadPlan, UsesAsMuchScratchAsLatelyCameWithoutRoom) {
  Reader reader(0);
  reader.scratch.resize(4 * ReadPlan::kMinScratch);
  const std::string bytes(1 << 20, 'x');
  for (const size_t factor : {1U, 2U, 4U, 4U}) {
    reader.Read(bytes);
    EXPECT_EQ(reader.received, factor * ReadPlan::kMinScratch);
  }
  reader.room.resize(kFrame);
  reader.Before(Data(1, kFrame).substr(0, 9));
  EXPECT_EQ(InRoom(reader.Read(bytes)), kFrame);
  reader.room.clear();
  reader.Read(bytes);
  EXPECT_EQ(reader.received, ReadPlan::kMinScratch);
}

TEST(ReadPlan, LooksFurtherAheadWhileItIsRight) {
  Reader reader(64 * kFrame);
  std::string frames;
  for (int i = 0; i < 32; ++i) frames += Data(1, kFrame);
  const auto received = [&](const std::string& bytes) {
    reader.Read(bytes, 34);
    return reader.received;
  };
  constexpr size_t kWhole = FrameHead::kBytes + kFrame;
  reader.Before(Data(1, kFrame));
  for (const size_t parts : {4U, 8U, 16U, 16U}) EXPECT_EQ(received(frames), parts * kWhole);
  // The frames of another stream.
  EXPECT_EQ(received(Data(3, kFrame) + frames), 16 * kWhole);
  EXPECT_EQ(received(frames), 4 * kWhole);
  EXPECT_EQ(received(frames), 8 * kWhole);
}

TEST(ReadPlan, MovesWhatIsNotReadYetWhenTheRoomGoes) {
  Reader reader(3 * kFrame);
  const std::string first = Data(1, kFrame, 'a');
  const std::string rest = first.substr(9) + Data(1, kFrame, 'b') + Frame(FrameType::kPing, 0, 0, "12345678");
  reader.Before(first.substr(0, 9));
  const auto runs = reader.Read(rest);
  reader.plan.LeaveRoom(1, 1);
  std::ranges::fill(std::span(reader.room).subspan(kFrame), std::byte{0});
  EXPECT_EQ(Join(runs), rest);
  EXPECT_EQ(InRoom(runs), kFrame);
  const std::byte* const moved = runs.back().bytes.data();
  reader.plan.LeaveRoom(1, runs.size());  // Nothing is left to move: what is being read stays.
  EXPECT_EQ(runs.back().bytes.data(), moved);
  EXPECT_EQ(Join(runs), rest);
}

// Whatever comes, in whatever pieces: the runs are the bytes.
TEST(ReadPlan, LosesNothing) {
  std::mt19937_64 random(11);
  std::string bytes;
  const auto any = [&](size_t below) { return random() % below; };
  for (int i = 0; i < 3000; ++i) {
    const auto stream =
        static_cast<uint32_t>(1 + 2 * (i / 100 % 2 == 0 ? static_cast<size_t>(i) % 3 : any(10) / 9));
    const size_t size = any(4) == 0 ? any(20000) : (any(2) == 0 ? 16384 : any(64));
    const auto fill = static_cast<char>('a' + i % 26);
    switch (any(8)) {
      case 0:
        bytes += Frame(static_cast<uint8_t>(any(12)), 0, stream, std::string(any(300), fill));
        break;
      case 1:
        bytes += Data(stream, size, fill, static_cast<uint8_t>(any(16)));
        break;
      default:
        bytes += Data(stream, size, fill);
    }
  }
  size_t in_room = 0;
  FrameTracker frames(0);
  ReadPlan plan;
  std::vector<std::byte> scratch(8192);
  for (std::string_view left = bytes; !left.empty();) {
    std::map<int32_t, std::vector<std::byte>> rooms;
    const auto room_of = [&](int32_t stream) {
      return std::span(rooms[stream] = std::vector<std::byte>(any(4) == 0 ? 0 : any(200000)));
    };
    std::vector<iovec> pieces(1 + any(40));
    const size_t count = plan.Make(frames, room_of, scratch, pieces);
    ASSERT_LE(count, pieces.size());
    const size_t cut = any(3) == 0 ? any(30) + 1 : any(100000) + 1;
    const size_t received = Scatter(std::span(pieces).first(count), left.substr(0, cut));
    const auto runs = plan.Resolve(received);
    const size_t leave = any(4) == 0 ? any(runs.size() + 1) : runs.size();
    if (leave < runs.size()) plan.LeaveRoom(1, leave);
    ASSERT_EQ(Join(runs), left.substr(0, received));
    for (const ReadPlan::Run& run : runs) {
      // It is one frame's payload.
      if (run.room_of != 0) {
        ASSERT_LE(run.bytes.size(), frames.left());
      }
      frames.Feed(run.bytes, [](const FrameHead&) { return true; });
    }
    in_room += InRoom(runs);
    plan.Clear();
    left.remove_prefix(received);
  }
  EXPECT_GT(in_room, bytes.size() / 5);
}

}  // namespace
}  // namespace maas
