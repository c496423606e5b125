#include "maas/rpc/metadata.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

#include "maas/rpc/rpc_testing.h"

namespace maas {
namespace {

TEST(ParseTimeout, KnowsAllUnits) {
  const struct {
    const char* text;
    int64_t ns;
  } kCases[] = {
      {"1H", 3'600'000'000'000},
      {"2M", 120'000'000'000},
      {"3S", 3'000'000'000},
      {"40m", 40'000'000},
      {"500u", 500'000},
      {"99999999n", 99'999'999},
      {"0S", 0},
      {"0n", 0},
      {"00000000001S", 1'000'000'000},
      {" 1S", 1'000'000'000},
      {"1 S", 1'000'000'000},
      {"1S ", 1'000'000'000},
      {"99999999S", 99'999'999'000'000'000},
      {"2562047H", 2562047 * int64_t{3'600'000'000'000}},
  };
  for (const auto& each : kCases) {
    int64_t ns = -1;
    EXPECT_TRUE(ParseTimeout(each.text, &ns)) << each.text;
    EXPECT_EQ(ns, each.ns) << each.text;
  }
}

TEST(ParseTimeout, TakesWhatIsTooLongForForever) {
  for (const char* text : {"99999999H", "2562048H", "123456789S", "123456789n", "99999999999999n",
                           "000000000000099999999999H", "18446744073709551617S"}) {
    int64_t ns = -1;
    EXPECT_TRUE(ParseTimeout(text, &ns)) << text;
    EXPECT_EQ(ns, INT64_MAX) << text;
  }
}

TEST(ParseTimeout, RefusesTheRest) {
  for (const char* text :
       {"", " ", "x", "5", "S", "1s", "1h", "-1S", "+1S", "1.5S", "1SS", "1S1", "0x1S", "1\tS"}) {
    int64_t ns = 0;
    EXPECT_FALSE(ParseTimeout(text, &ns)) << text;
  }
}

TEST(PercentEncode, LeavesPrintableAsciiAlone) {
  EXPECT_EQ(PercentEncode("plain ~ text!", 100), "plain ~ text!");
  EXPECT_EQ(PercentEncode("", 100), "");
}

TEST(PercentEncode, EncodesTheRestByteByByte) {
  EXPECT_EQ(PercentEncode("100%\r\n\x7fé", 100), "100%25%0D%0A%7F%C3%A9");
  EXPECT_EQ(PercentEncode(std::string_view("\0\xff", 2), 100), "%00%FF");
}

TEST(PercentEncode, CutsBetweenCharacters) {
  EXPECT_EQ(PercentEncode("abcdef", 4), "abcd");
  EXPECT_EQ(PercentEncode("ab%cd", 4), "ab");
  EXPECT_EQ(PercentEncode("ab%cd", 5), "ab%25");
  EXPECT_EQ(PercentEncode("aéé", 7), "a%C3%A9");
  EXPECT_EQ(PercentEncode("aéé", 12), "a%C3%A9");
  EXPECT_EQ(PercentEncode("aéé", 13), "a%C3%A9%C3%A9");
  EXPECT_EQ(PercentEncode("é", 5), "");
}

TEST(PercentEncode, IsUndoneByItsInverse) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  EXPECT_EQ(PercentDecode(PercentEncode(text, 1000)), text);
}

TEST(Base64, KnowsTheExamplesOfRfc4648) {
  const struct {
    const char* bytes;
    const char* plain;
    const char* padded;
  } kCases[] = {{"", "", ""},
                {"f", "Zg", "Zg=="},
                {"fo", "Zm8", "Zm8="},
                {"foo", "Zm9v", "Zm9v"},
                {"foob", "Zm9vYg", "Zm9vYg=="},
                {"fooba", "Zm9vYmE", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy", "Zm9vYmFy"}};
  for (const auto& each : kCases) {
    EXPECT_EQ(Base64Encode(each.bytes), each.plain);
    std::string bytes;
    EXPECT_TRUE(Base64Decode(each.plain, &bytes));
    EXPECT_EQ(bytes, each.bytes);
    EXPECT_TRUE(Base64Decode(each.padded, &bytes));
    EXPECT_EQ(bytes, each.bytes);
  }
}

TEST(Base64, GivesBackRandomBytes) {
  std::mt19937 random(5);
  for (size_t size = 0; size < 200; ++size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    std::string out;
    ASSERT_TRUE(Base64Decode(Base64Encode(bytes), &out));
    EXPECT_EQ(out, bytes);
  }
}

TEST(Base64, RefusesWhatIsNone) {
  for (const char* text :
       {"!!", "Z", "Zm9vY", "Zg=", "Zg===", "=", "====", "Zm9v====", "Zm 9", "Zm9-", "Z\x80"}) {
    std::string bytes;
    EXPECT_FALSE(IsBase64(text)) << text;
    EXPECT_FALSE(Base64Decode(text, &bytes)) << text;
  }
}

}  // namespace
}  // namespace maas
