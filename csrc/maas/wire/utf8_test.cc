#include "maas/wire/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace maas {
namespace {

std::string Encode(unsigned code) {
  const auto tail = [code](unsigned shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

TEST(Utf8, AcceptsEveryCodePointButSurrogates) {
  for (unsigned code = 0; code < 0x110000; ++code) {
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    ASSERT_EQ(IsUtf8(Encode(code)), !surrogate) << code;
  }
  EXPECT_FALSE(IsUtf8(Encode(0x110000)));
}

TEST(Utf8, RefusesBrokenSequencesWhereverTheyStand) {
  for (const std::string_view bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf0\x9f\x99", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff",
        "\xc3\x28", "\xe2\x28\xa1"}) {
    for (size_t before = 0; before < 20; ++before) {
      EXPECT_FALSE(IsUtf8(std::string(before, 'a').append(bad)));
      EXPECT_FALSE(IsUtf8(std::string(before, 'a').append(bad).append("tail of some bytes")));
    }
  }
}

TEST(Utf8, AcceptsAsciiOfEveryLength) {
  for (size_t size = 0; size < 40; ++size) EXPECT_TRUE(IsUtf8(std::string(size, '\x7f')));
}

TEST(Utf8, RepairsOnlyWhatIsBroken) {
  EXPECT_EQ(ToUtf8(""), "");
  EXPECT_EQ(ToUtf8("gr\xc3\xbcn"), "gr\xc3\xbcn");
  EXPECT_EQ(ToUtf8("a\xff"
                   "b\xc3"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd");
  EXPECT_TRUE(IsUtf8(ToUtf8("\xed\xa0\x80")));
}

}  // namespace
}  // namespace maas
