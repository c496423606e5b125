#include "maas/net/out_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "maas/net/chunk_testing.h"

namespace maas {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::shared_ptr<const Chunk> ChunkOf(std::string_view text) {
  return std::make_shared<const Chunk>(MakeChunk(text));
}

// What Gather() shows in `pieces` pieces.
std::string Gathered(const OutQueue& queue, size_t pieces = 64) {
  std::vector<iovec> out(pieces);
  const size_t count = queue.Gather(out);
  std::string text;
  for (size_t i = 0; i < count; ++i) text.append(static_cast<const char*>(out[i].iov_base), out[i].iov_len);
  return text;
}

size_t Pieces(const OutQueue& queue) {
  std::array<iovec, 64> out;
  return queue.Gather(out);
}

TEST(OutQueue, SmallPiecesLieSideBySide) {
  OutQueue queue;
  EXPECT_TRUE(queue.empty());
  ASSERT_TRUE(queue.Append(Bytes("one ")));
  ASSERT_TRUE(queue.Append(Bytes("")));
  ASSERT_TRUE(queue.Append(ChunkOf("[two] "), 1, 3));
  ASSERT_TRUE(queue.Append(Bytes(" three")));
  EXPECT_EQ(Pieces(queue), 1U);
  EXPECT_EQ(Gathered(queue), "one two three");
  EXPECT_EQ(queue.size(), 13U);
}

TEST(OutQueue, LargePiecesAreNotCopiedAndKeepTheirPlace) {
  const std::string large(5000, 'x');
  const auto chunk = ChunkOf("[" + large + "]");
  OutQueue queue;
  ASSERT_TRUE(queue.Append(Bytes("a")));
  ASSERT_TRUE(queue.Append(chunk, 1, large.size()));
  ASSERT_TRUE(queue.Append(Bytes("b")));
  EXPECT_EQ(Pieces(queue), 3U);
  std::array<iovec, 3> out;
  queue.Gather(out);
  EXPECT_EQ(out[1].iov_base, chunk->data() + 1);
  EXPECT_EQ(Gathered(queue), "a" + large + "b");
}

TEST(OutQueue, AChunkIsLetGoOfAsSoonAsItIsWritten) {
  const auto chunk = ChunkOf(std::string(5000, 'x'));
  OutQueue queue;
  ASSERT_TRUE(queue.Append(chunk, 0, 5000));
  ASSERT_TRUE(queue.Append(Bytes("b")));
  queue.Pop(4999);
  EXPECT_EQ(chunk.use_count(), 2);
  EXPECT_EQ(Gathered(queue), "xb");
  queue.Pop(1);
  EXPECT_EQ(chunk.use_count(), 1);
  EXPECT_EQ(Gathered(queue), "b");
}

TEST(OutQueue, GathersWhatFits) {
  OutQueue queue;
  ASSERT_TRUE(queue.Append(Bytes("a")));
  ASSERT_TRUE(queue.Append(ChunkOf(std::string(2000, 'x')), 0, 2000));
  ASSERT_TRUE(queue.Append(Bytes("b")));
  EXPECT_EQ(Gathered(queue, 2), "a" + std::string(2000, 'x'));
  EXPECT_EQ(Gathered(queue, 1), "a");
}

TEST(OutQueue, WhatIsLargerThanABlockOfCopiesIsCopiedWhole) {
  OutQueue queue;
  const std::string large(100'000, 'y');
  ASSERT_TRUE(queue.Append(Bytes("a")));
  ASSERT_TRUE(queue.Append(Bytes(large)));
  ASSERT_TRUE(queue.Append(Bytes("b")));
  EXPECT_EQ(Gathered(queue), "a" + large + "b");
  EXPECT_LE(Pieces(queue), 3U);
}

// Compared with a string, by a random walk.
TEST(OutQueue, IsAStringOfBytes) {
  std::mt19937 random(5);
  OutQueue queue;
  std::string expected;
  char next = 0;
  for (int step = 0; step < 20'000; ++step) {
    const size_t size = random() % (random() % 20 == 0 ? 9000 : 60);
    switch (random() % 3) {
      case 0:
      case 1: {
        std::string text(size, ' ');
        for (char& c : text) c = next++;
        if (random() % 2 == 0) {
          ASSERT_TRUE(queue.Append(Bytes(text)));
        } else {
          ASSERT_TRUE(queue.Append(ChunkOf("1234" + text), 4, text.size()));
        }
        expected += text;
        break;
      }
      default: {
        const size_t gone = random() % 50 == 0 ? queue.size() : std::min(queue.size(), size * 2);
        queue.Pop(gone);
        expected.erase(0, gone);
      }
    }
    ASSERT_EQ(queue.size(), expected.size());
    const std::string shown = Gathered(queue, 8);
    ASSERT_EQ(shown, expected.substr(0, shown.size()));
    ASSERT_EQ(shown.empty(), expected.empty());
  }
  queue.Pop(queue.size());
  EXPECT_EQ(Pieces(queue), 0U);
}

}  // namespace
}  // namespace maas
