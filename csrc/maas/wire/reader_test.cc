#include "maas/wire/reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "maas/wire/message_builder_testing.h"
#include "maas/wire/writer.h"

namespace maas {
namespace {

// Reads one varint from memory of exactly its size.
bool ReadVarint(std::string_view text, uint64_t* value, size_t* left) {
  const auto view = AsBytes(text);
  const std::vector<std::byte> bytes(view.begin(), view.end());
  Reader in(bytes);
  const bool ok = in.ReadVarint(value);
  *left = in.remaining();
  EXPECT_EQ(ok, in.error().empty());
  return ok;
}

TEST(Reader, ReadsBackEveryVarintThatTheWriterWrites) {
  std::mt19937_64 random(7);  // The same numbers in every run.
  for (int round = 0; round < 2000; ++round) {
    const uint64_t value = random() >> (random() % 64);
    std::vector<std::byte> bytes(VarintSize(value));
    Writer writer(bytes.data());
    writer.Varint(value);
    ASSERT_EQ(writer.position(), bytes.data() + bytes.size());
    Reader in(bytes);
    uint64_t read;
    ASSERT_TRUE(in.ReadVarint(&read));
    EXPECT_EQ(read, value);
    EXPECT_TRUE(in.done());
  }
}

TEST(Reader, KnowsTheSizeOfAVarintAtEveryBoundary) {
  EXPECT_EQ(VarintSize(0), 1U);
  for (int bits = 1; bits <= 64; ++bits) {
    const uint64_t most = bits == 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
    EXPECT_EQ(VarintSize(most), static_cast<size_t>((bits + 6) / 7)) << bits;
  }
  EXPECT_EQ(VarintSize(SignExtend(-1)), 10U);
}

TEST(Reader, StopsAtTheEndOfATruncatedVarint) {
  uint64_t value;
  size_t left;
  EXPECT_FALSE(ReadVarint("", &value, &left));
  EXPECT_FALSE(ReadVarint("\x80", &value, &left));
  EXPECT_FALSE(ReadVarint("\xff\xff\xff\xff\xff\xff\xff\xff\xff", &value, &left));
}

TEST(Reader, TakesTenBytesOfVarintAndNotEleven) {
  uint64_t value;
  size_t left;
  ASSERT_TRUE(ReadVarint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z", &value, &left));
  EXPECT_EQ(value, UINT64_MAX);
  EXPECT_EQ(left, 1U);
  ASSERT_TRUE(ReadVarint(std::string_view("\x81\x80\x80\x80\x80\x80\x80\x80\x80\x7e", 10), &value, &left));
  EXPECT_EQ(value, 1U);  // Bits beyond the 64th are dropped.
  EXPECT_FALSE(ReadVarint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", &value, &left));
}

std::string TagError(std::string_view text) {
  Reader in(AsBytes(text));
  uint32_t tag;
  return in.ReadTag(&tag) ? "" : std::string(in.error());
}

TEST(Reader, RefusesTagsThatProtobufRefuses) {
  EXPECT_EQ(TagError(""), "truncated tag");
  EXPECT_EQ(TagError("\x80"), "truncated tag");
  EXPECT_EQ(TagError(std::string_view("\0", 1)), "field number 0");
  EXPECT_EQ(TagError("\x07"), "field number 0");
  EXPECT_EQ(TagError("\x0e"), "unknown wire type");
  EXPECT_EQ(TagError("\x0f"), "unknown wire type");
  EXPECT_EQ(TagError("\x88\x80\x80\x80\x10"), "a tag is longer than 32 bits");
  EXPECT_EQ(TagError("\x88\x80\x80\x80\x80\x01"), "a tag is longer than 5 bytes");
  EXPECT_EQ(TagError("\xfd\xff\xff\xff\x0f"), "");
}

TEST(Reader, HandsOutBytesInsideTheMessageOnly) {
  std::span<const std::byte> value;
  Reader whole(
      AsBytes("\x03"
              "abc"));
  ASSERT_TRUE(whole.ReadBytes(&value));
  EXPECT_EQ(value.size(), 3U);
  EXPECT_TRUE(whole.done());
  Reader cut(
      AsBytes("\x04"
              "abc"));
  EXPECT_FALSE(cut.ReadBytes(&value));
  Reader huge(
      AsBytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
              "abc"));
  EXPECT_FALSE(huge.ReadBytes(&value));
  EXPECT_EQ(huge.error(), "a length goes past the end of the message");
}

TEST(Reader, ReadsFixed32AsLittleEndian) {
  uint32_t value;
  Reader in(AsBytes("\x01\x02\x03\x04\x05"));
  ASSERT_TRUE(in.ReadFixed32(&value));
  EXPECT_EQ(value, 0x04030201U);
  EXPECT_FALSE(in.ReadFixed32(&value));
}

TEST(Reader, ReadsFixed64AsLittleEndian) {
  uint64_t value;
  Reader in(AsBytes("\x01\x02\x03\x04\x05\x06\x07\x08\x09"));
  ASSERT_TRUE(in.ReadFixed64(&value));
  EXPECT_EQ(value, 0x0807060504030201U);
  EXPECT_FALSE(in.ReadFixed64(&value));
  EXPECT_EQ(in.error(), "truncated fixed64");
}

std::string SkipError(std::string_view text, int depth = kMaxDepth) {
  const auto view = AsBytes(text);
  const std::vector<std::byte> bytes(view.begin(), view.end());
  Reader in(bytes, depth);
  uint32_t tag;
  if (in.ReadTag(&tag) && in.Skip(tag)) return in.done() ? "" : "left something";
  return std::string(in.error());
}

TEST(Reader, SkipsAFieldOfEveryType) {
  EXPECT_EQ(SkipError("\x08\x96\x01"), "");
  EXPECT_EQ(SkipError("\x09"
                      "12345678"),
            "");
  EXPECT_EQ(SkipError("\x0a\x02"
                      "ab"),
            "");
  EXPECT_EQ(SkipError("\x0d"
                      "1234"),
            "");
  EXPECT_EQ(SkipError("\x0b\x08\x01\x13\x0a\x01z\x14\x0c"), "");
}

TEST(Reader, RefusesToSkipWhatIsNotThere) {
  EXPECT_EQ(SkipError("\x08\x96"), "truncated varint");
  EXPECT_EQ(SkipError("\x09"
                      "1234567"),
            "truncated value");
  EXPECT_EQ(SkipError("\x0d"
                      "123"),
            "truncated value");
  EXPECT_EQ(SkipError("\x0b\x08\x01"), "truncated group");
  EXPECT_EQ(SkipError("\x0b\x14"), "an end-group tag does not match its start");
  EXPECT_EQ(SkipError("\x0c"), "an end-group tag without its start");
}

TEST(Reader, CountsGroupsAndMessagesAgainstOneDepth) {
  const std::string two_groups = "\x0b\x13\x14\x0c";
  EXPECT_EQ(SkipError(two_groups, 2), "");
  EXPECT_EQ(SkipError(two_groups, 1), "nested too deeply");
  EXPECT_EQ(SkipError(two_groups, 0), "nested too deeply");
  const std::string message = "\x02\x0b\x0c";
  Reader inner;
  Reader at_the_limit(AsBytes(message), 1);
  ASSERT_TRUE(at_the_limit.ReadMessage(&inner));
  uint32_t tag;
  ASSERT_TRUE(inner.ReadTag(&tag));
  EXPECT_FALSE(inner.Skip(tag));
  Reader beyond(AsBytes(message), 0);
  EXPECT_FALSE(beyond.ReadMessage(&inner));
}

}  // namespace
}  // namespace maas
