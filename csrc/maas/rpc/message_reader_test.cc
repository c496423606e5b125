#include "maas/rpc/message_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "maas/rpc/rpc_testing.h"

namespace maas {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

std::string Gzip(std::string_view text) { return Compress(text, Encoding::kGzip); }

// Feeds all of `bytes`, in pieces of at most `piece`, into Room() where `in_place` and there is some.
Status Read(MessageReader* reader, std::string_view bytes, size_t piece, bool in_place,
            std::vector<std::string>* messages) {
  while (!bytes.empty()) {
    std::span<const std::byte> next = BytesOf(bytes.substr(0, piece));
    if (const std::span<std::byte> room = reader->Room(); in_place && !room.empty()) {
      next = next.first(std::min(next.size(), room.size()));
      std::memcpy(room.data(), next.data(), next.size());
      next = room.first(next.size());
    }
    bytes.remove_prefix(next.size());
    while (!next.empty()) {
      Chunk message;
      bool complete = false;
      MAAS_RETURN_IF_ERROR(reader->Feed(&next, &message, &complete));
      if (complete) messages->push_back(TextOf(message.bytes()));
    }
  }
  return {};
}

TEST(MessageReader, FindsMessagesHoweverTheirBytesCome) {
  std::string body;
  std::vector<std::string> sent;
  std::mt19937 random(1);
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{5}, size_t{0}, size_t{4096}, size_t{70000}, 3 * kMiB}) {
    std::string message(size, '\0');
    for (char& byte : message) byte = static_cast<char>(random());
    sent.push_back(message);
    body += Framed(message);
  }
  for (const size_t piece :
       {size_t{1}, size_t{3}, size_t{5}, size_t{1000}, size_t{16384}, kMiB, body.size()}) {
    for (const bool in_place : {false, true}) {
      MemoryBudget budget(16 * kMiB);
      MessageReader reader({.budget = &budget}, Encoding::kIdentity);
      std::vector<std::string> messages;
      ASSERT_TRUE(Read(&reader, body, piece, in_place, &messages).ok());
      EXPECT_EQ(messages, sent) << piece;
      EXPECT_FALSE(reader.inside());
      EXPECT_EQ(budget.used(), 0U);
    }
  }
}

TEST(MessageReader, IsInsideFromTheFirstByteOfThePrefix) {
  MessageReader reader({}, Encoding::kIdentity);
  std::vector<std::string> messages;
  EXPECT_FALSE(reader.inside());
  ASSERT_TRUE(Read(&reader, Prefix(2).substr(0, 1), 1, false, &messages).ok());
  EXPECT_TRUE(reader.inside());
  ASSERT_TRUE(Read(&reader, Prefix(2).substr(1) + "a", 1, false, &messages).ok());
  EXPECT_TRUE(reader.inside());
  ASSERT_TRUE(Read(&reader, "b", 1, false, &messages).ok());
  EXPECT_FALSE(reader.inside());
}

TEST(MessageReader, ReceivesLargeMessagesWhereTheyStay) {
  MessageReader reader({}, Encoding::kIdentity);
  EXPECT_TRUE(reader.Room().empty());
  std::vector<std::string> messages;
  ASSERT_TRUE(Read(&reader, Prefix(600'000), 5, false, &messages).ok());
  EXPECT_GE(reader.Room().size(), size_t{64} << 10);
  EXPECT_LT(reader.Room().size(), 600'000U);
  ASSERT_TRUE(Read(&reader, std::string(size_t{64} << 10, 'a'), SIZE_MAX, true, &messages).ok());
  const std::span<std::byte> rest = reader.Room();
  EXPECT_EQ(rest.size(), 600'000 - (size_t{64} << 10));
  std::fill(rest.begin(), rest.end(), std::byte{'b'});
  std::span<const std::byte> bytes = rest;
  Chunk message;
  bool complete = false;
  ASSERT_TRUE(reader.Feed(&bytes, &message, &complete).ok());
  ASSERT_TRUE(complete);
  EXPECT_EQ(message.data() + (size_t{64} << 10), rest.data());
  EXPECT_TRUE(reader.Room().empty());
}

TEST(MessageReader, GivesAUsualMessageItsMemoryWithItsFirstFrame) {
  MessageReader reader({}, Encoding::kIdentity);
  std::vector<std::string> messages;
  ASSERT_TRUE(Read(&reader, Prefix(600'000) + std::string(16'000, 'a'), SIZE_MAX, false, &messages).ok());
  EXPECT_EQ(reader.Room().size(), 584'000U);
}

TEST(MessageReader, GivesSmallMessagesTheirSizeAndNoBudget) {
  MemoryBudget budget(0);
  MessageReader reader({.budget = &budget}, Encoding::kIdentity);
  const std::string framed = Framed(std::string(100'000, 'x'));
  std::span<const std::byte> bytes = BytesOf(framed);
  Chunk message;
  bool complete = false;
  ASSERT_TRUE(reader.Feed(&bytes, &message, &complete).ok());
  ASSERT_TRUE(complete);
  EXPECT_EQ(message.capacity(), 100'000U);
}

TEST(MessageReader, TakesMemoryForWhatCameNotForWhatIsAnnounced) {
  MemoryBudget budget(64 * kMiB);
  {
    MessageReader reader({.budget = &budget}, Encoding::kIdentity);
    std::vector<std::string> messages;
    ASSERT_TRUE(Read(&reader, Prefix(64 * kMiB) + "x", SIZE_MAX, false, &messages).ok());
    EXPECT_LE(budget.used(), size_t{64} << 10);
    ASSERT_TRUE(Read(&reader, std::string(2 * kMiB, 'x'), 16384, true, &messages).ok());
    EXPECT_LE(budget.used(), 4 * kMiB);
    EXPECT_GE(budget.used(), 2 * kMiB);
  }
  EXPECT_EQ(budget.used(), 0U);
}

TEST(MessageReader, EndsWhereTheBudgetDoes) {
  for (const bool in_place : {false, true}) {
    MemoryBudget budget(kMiB / 2);
    {
      MessageReader reader({.budget = &budget}, Encoding::kIdentity);
      std::vector<std::string> messages;
      const Status status =
          Read(&reader, Prefix(8 * kMiB) + std::string(8 * kMiB, 'x'), 16384, in_place, &messages);
      ASSERT_EQ(status.code(), Code::kResourceExhausted);
      EXPECT_EQ(status.reason(), "OUT_OF_MEMORY");
    }
    EXPECT_EQ(budget.used(), 0U);
  }
}

TEST(MessageReader, RefusesAMessageByItsPrefix) {
  MessageReader reader({.max_message_bytes = 1000}, Encoding::kIdentity);
  std::vector<std::string> messages;
  const Status status = Read(&reader, Prefix(1001), 5, false, &messages);
  ASSERT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_EQ(status.message(), "SERVER: Received message larger than max (1001 vs. 1000)");
  MessageReader other({.max_message_bytes = 1000}, Encoding::kIdentity);
  ASSERT_TRUE(Read(&other, Framed(std::string(1000, 'x')), 100, false, &messages).ok());
  MessageReader largest({}, Encoding::kIdentity);
  EXPECT_EQ(Read(&largest, Prefix(0xFFFFFFFF), 5, false, &messages).code(), Code::kResourceExhausted);
}

TEST(MessageReader, Decompresses) {
  MessageReader reader({}, Encoding::kGzip);
  std::vector<std::string> messages;
  const std::string body =
      Framed(Gzip("one"), 1) + Framed("plain") + Framed("", 1) + Framed(Gzip(""), 1) + Framed(Gzip("two"), 1);
  ASSERT_TRUE(Read(&reader, body, 7, true, &messages).ok());
  EXPECT_EQ(messages, (std::vector<std::string>{"one", "plain", "", "", "two"}));
}

TEST(MessageReader, LimitsWhatComesOut) {
  MessageReader reader({.max_message_bytes = 1000}, Encoding::kGzip);
  std::vector<std::string> messages;
  ASSERT_TRUE(Read(&reader, Framed(Gzip(std::string(1000, 'a')), 1), SIZE_MAX, false, &messages).ok());
  const Status status = Read(&reader, Framed(Gzip(std::string(1001, 'a')), 1), SIZE_MAX, false, &messages);
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
}

TEST(MessageReader, RefusesWhatIsNoPrefix) {
  std::vector<std::string> messages;
  for (const int flag : {1, 2, 3, 128, 255}) {
    MessageReader reader({}, Encoding::kIdentity);
    const Status status = Read(&reader, Framed("x", static_cast<uint8_t>(flag)), 6, false, &messages);
    EXPECT_EQ(status.code(), Code::kInternal) << flag;
  }
  MessageReader compressed({}, Encoding::kGzip);
  EXPECT_EQ(Read(&compressed, Framed("x", 3), 6, false, &messages).code(), Code::kInternal);
  MessageReader damaged({}, Encoding::kGzip);
  EXPECT_EQ(Read(&damaged, Framed("x", 1), 6, false, &messages).code(), Code::kInternal);
}

}  // namespace
}  // namespace maas
