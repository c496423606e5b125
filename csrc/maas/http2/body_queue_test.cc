#include "maas/http2/body_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "maas/http2/session_testing.h"

namespace maas {
namespace {

std::string TakeAll(OutQueue* out) {
  std::string all;
  while (!out->empty()) {
    std::array<iovec, 4> pieces;
    const size_t count = out->Gather(pieces);
    size_t bytes = 0;
    for (const iovec& piece : std::span(pieces).first(count)) {
      all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
      bytes += piece.iov_len;
    }
    out->Pop(bytes);
  }
  return all;
}

TEST(BodyQueue, CopiesWhatIsSmallAndRefersToWhatIsLarge) {
  BodyQueue queue;
  OutQueue out;
  Chunk large = MakeChunk(std::string(3 * BodyQueue::kReferenced, 'x'));
  const std::byte* const lies = large.data();
  queue.Push(MakeChunk("..small"), 2);
  queue.Push(std::move(large), 0);
  EXPECT_EQ(queue.bytes(), 5 + 3 * BodyQueue::kReferenced);
  ASSERT_TRUE(queue.Move(5, &out));
  ASSERT_TRUE(queue.Move(2 * BodyQueue::kReferenced, &out));
  EXPECT_EQ(queue.bytes(), BodyQueue::kReferenced);
  std::array<iovec, 4> pieces;
  ASSERT_EQ(out.Gather(pieces), 2U);
  EXPECT_EQ(pieces[1].iov_base, lies);
  ASSERT_TRUE(queue.Move(BodyQueue::kReferenced, &out));
  EXPECT_EQ(queue.bytes(), 0U);
  EXPECT_EQ(TakeAll(&out), "small" + std::string(3 * BodyQueue::kReferenced, 'x'));
}

TEST(BodyQueue, KeepsAChunkUntilItsLastByteLeaves) {
  BodyQueue queue;
  OutQueue out;
  EXPECT_EQ(queue.kept(), 0U);
  queue.Push(MakeChunk(std::string(10'000, 'x')), 9000);
  const size_t one = queue.kept();
  EXPECT_GE(one, 10'000 + BodyQueue::kStreamBytes);
  queue.Push(MakeChunk(std::string(20'000, 'x')), 0);
  const size_t both = queue.kept();
  EXPECT_GE(both, one + 20'000);
  ASSERT_TRUE(queue.Move(999, &out));
  EXPECT_EQ(queue.kept(), both);
  ASSERT_TRUE(queue.Move(1, &out));
  EXPECT_LE(queue.kept(), both - 10'000);
  ASSERT_TRUE(queue.Move(19'999, &out));
  EXPECT_GE(queue.kept(), 20'000U) << "what is shared counts";
  ASSERT_TRUE(queue.Move(1, &out));
  EXPECT_EQ(queue.kept(), 0U);
  queue.Push(MakeChunk("abc"), 0);
  EXPECT_GT(queue.kept(), 0U);
  queue.Clear();
  EXPECT_EQ(queue.kept(), 0U);
}

TEST(BodyQueue, KeepsTheOrderHoweverItIsTaken) {
  std::mt19937_64 random(7);
  BodyQueue queue;
  OutQueue out;
  std::string pushed;
  for (int i = 0; i < 2000; ++i) {
    if (random() % 2 == 0) {
      const std::string text(1 + random() % (random() % 4 == 0 ? 9000 : 30), static_cast<char>('a' + i % 26));
      const size_t offset = random() % text.size();
      queue.Push(MakeChunk(text), offset);
      pushed += text.substr(offset);
    } else {
      ASSERT_TRUE(queue.Move(random() % (queue.bytes() + 1), &out));
    }
    ASSERT_EQ(queue.bytes() + out.size(), pushed.size());
  }
  ASSERT_TRUE(queue.Move(queue.bytes(), &out));
  EXPECT_EQ(TakeAll(&out), pushed);
}

TEST(BodyQueue, IsEmptyAfterClear) {
  BodyQueue queue;
  queue.Push(MakeChunk("one"), 0);
  queue.Push(MakeChunk("two"), 0);
  queue.Clear();
  EXPECT_EQ(queue.bytes(), 0U);
  queue.Push(MakeChunk("three"), 0);
  OutQueue out;
  ASSERT_TRUE(queue.Move(5, &out));
  EXPECT_EQ(TakeAll(&out), "three");
}

}  // namespace
}  // namespace maas
