#include "maas/rpc/compression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "maas/rpc/rpc_testing.h"

namespace maas {
namespace {

using testing::HasSubstr;

Status Undo(std::string_view bytes, Encoding encoding, size_t most, std::string* text) {
  Chunk out;
  const Status status = Decompress(encoding, BytesOf(bytes), most, &out);
  *text = TextOf(out.bytes());
  return status;
}

class BothEncodings : public testing::TestWithParam<Encoding> {};

TEST_P(BothEncodings, GiveBackWhatWentIn) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{1} << 20}) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * i >> 3);
    std::string out;
    ASSERT_TRUE(Undo(Compress(text, GetParam()), GetParam(), SIZE_MAX, &out).ok()) << size;
    EXPECT_EQ(out, text);
  }
}

TEST_P(BothEncodings, TakeExactlyTheLimitAndNotAByteMore) {
  const std::string bytes = Compress(std::string(5000, 'a'), GetParam());
  std::string out;
  EXPECT_TRUE(Undo(bytes, GetParam(), 5000, &out).ok());
  EXPECT_EQ(out.size(), 5000U);
  const Status status = Undo(bytes, GetParam(), 4999, &out);
  ASSERT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("Received message larger than max"));
  EXPECT_EQ(Undo(bytes, GetParam(), 0, &out).code(), Code::kResourceExhausted);
  EXPECT_TRUE(Undo(Compress("", GetParam()), GetParam(), 0, &out).ok());
}

TEST_P(BothEncodings, GiveABombNoMoreThanTheLimit) {
  const std::string bomb = Compress(std::string(size_t{8} << 20, '\0'), GetParam());
  ASSERT_LT(bomb.size(), size_t{16} << 10);
  Chunk out;
  EXPECT_EQ(Decompress(GetParam(), BytesOf(bomb), size_t{1} << 20, &out).code(), Code::kResourceExhausted);
  EXPECT_LE(out.capacity(), size_t{1} << 20);
}

TEST_P(BothEncodings, RefuseEveryTruncation) {
  const std::string bytes = Compress("some text that is compressed", GetParam());
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::string out;
    EXPECT_EQ(Undo(bytes.substr(0, size), GetParam(), 1000, &out).code(), Code::kInternal) << size;
  }
}

TEST_P(BothEncodings, RefuseWhatFollows) {
  const std::string bytes = Compress("one", GetParam());
  std::string out;
  EXPECT_EQ(Undo(bytes + bytes, GetParam(), 1000, &out).code(), Code::kInternal);
  EXPECT_EQ(Undo(bytes + "x", GetParam(), 1000, &out).code(), Code::kInternal);
}

TEST_P(BothEncodings, RefuseWhatIsDamaged) {
  std::string bytes = Compress("some text that is compressed", GetParam());
  bytes[bytes.size() - 6] = static_cast<char>(bytes[bytes.size() - 6] ^ 1);  // In the checksum, or before it.
  std::string out;
  const Status status = Undo(bytes, GetParam(), 1000, &out);
  ASSERT_EQ(status.code(), Code::kInternal);
  EXPECT_THAT(status.message(), HasSubstr(GetParam() == Encoding::kGzip ? "gzip" : "deflate"));
  EXPECT_EQ(Undo("nonsense", GetParam(), 1000, &out).code(), Code::kInternal);
}

TEST_P(BothEncodings, AreNotTakenForOneAnother) {
  const Encoding other = GetParam() == Encoding::kGzip ? Encoding::kDeflate : Encoding::kGzip;
  std::string out;
  EXPECT_EQ(Undo(Compress("text", other), GetParam(), 1000, &out).code(), Code::kInternal);
}

INSTANTIATE_TEST_SUITE_P(Decompress, BothEncodings, testing::Values(Encoding::kGzip, Encoding::kDeflate));

TEST(ParseEncoding, KnowsWhatIsAccepted) {
  Encoding encoding = Encoding::kGzip;
  EXPECT_TRUE(ParseEncoding("identity", &encoding));
  EXPECT_EQ(encoding, Encoding::kIdentity);
  EXPECT_TRUE(ParseEncoding("gzip", &encoding));
  EXPECT_EQ(encoding, Encoding::kGzip);
  EXPECT_TRUE(ParseEncoding("deflate", &encoding));
  EXPECT_EQ(encoding, Encoding::kDeflate);
  for (const char* name : {"", "snappy", "GZIP", "gzip ", "stream/gzip"}) {
    EXPECT_FALSE(ParseEncoding(name, &encoding)) << name;
  }
}

}  // namespace
}  // namespace maas
