#include "maas/http2/headers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace maas {
namespace {

std::vector<HeaderField> TakeAll(std::string_view encoded) {
  std::vector<HeaderField> fields;
  while (!encoded.empty()) fields.push_back(TakeField(&encoded));
  return fields;
}

TEST(FindHeader, GivesTheFirstOfThatName) {
  const std::vector<HeaderField> fields = {{"a", "1"}, {"b", "2"}, {"b", "3"}};
  EXPECT_EQ(FindHeader(fields, "b"), "2");
  EXPECT_EQ(FindHeader(fields, "c"), "");
}

TEST(EncodeFields, OutliveWhatTheyWereMadeFrom) {
  std::string encoded;
  {
    const std::string path = "/a.B/C";
    const std::string binary("\0\xff", 2);
    const std::string large(20'000, 'v');
    const std::vector<HeaderField> fields = {
        {":path", path}, {"x", ""}, {"y-bin", binary}, {"x", "again"}, {"large", large}};
    encoded = EncodeFields(fields);
  }
  const std::vector<HeaderField> fields = TakeAll(encoded);
  ASSERT_EQ(fields.size(), 5U);
  EXPECT_EQ(fields[0].name, ":path");
  EXPECT_EQ(fields[0].value, "/a.B/C");
  EXPECT_EQ(fields[1].name, "x");
  EXPECT_EQ(fields[1].value, "");
  EXPECT_EQ(fields[2].value, std::string("\0\xff", 2));
  EXPECT_EQ(fields[3].value, "again");
  EXPECT_EQ(fields[4].value, std::string(20'000, 'v'));
}

TEST(EncodeFields, NoneAreNothing) {
  EXPECT_EQ(EncodeFields({}), "");
  EXPECT_TRUE(TakeAll("").empty());
}

TEST(EncodeFields, KeepsEmptyTexts) {
  const std::vector<HeaderField> fields = {{"grpc-message", ""}, {"", ""}};
  const std::string encoded = EncodeFields(fields);
  ASSERT_EQ(TakeAll(encoded).size(), 2U);
  EXPECT_EQ(TakeAll(encoded)[0].name, "grpc-message");
  EXPECT_EQ(TakeAll(encoded)[0].value, "");
  EXPECT_EQ(TakeAll(encoded)[1].name, "");
}

TEST(EncodeFields, NeedsNoMemoryForTheUsualTrailers) {
  const std::vector<HeaderField> trailers = {{"grpc-status", "0"}};
  EXPECT_LE(EncodeFields(trailers).capacity(), std::string().capacity());
}

}  // namespace
}  // namespace maas
